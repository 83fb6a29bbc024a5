"""Placement of original vectors: recorded on 1.19.0 (``placement``), changed and undone."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from fake_optimizer import FakeOptimizer
from qdrant_helpers import NEW, UNNAMED, Replay, info_of, ok, recording, result

import qadapt as qa
from qadapt.api import Database
from qadapt.errors import UnsupportedError
from qadapt.model import State
from qadapt.stores.base import silent
from qadapt.testing.quantization import SETTINGS

ON_DISK = "placement/01_on_disk_true_info"
LOOP = "placement/03_5_s_later_info"


def placed(**fields: Any) -> FakeOptimizer:
    """The recorded collection, with other fields of placement."""
    info = copy.deepcopy(result(ON_DISK))
    vector = info["config"]["params"]["vectors"]
    del vector["on_disk"]
    vector.update(fields)
    return FakeOptimizer(info)


def fields_of(server: FakeOptimizer) -> dict[str, Any]:
    """The placement of a vector."""
    vector = server.vectors[""]
    return {key: vector[key] for key in ("on_disk", "memory") if key in vector}


def test_memory_with_on_disk_is_the_recorded_rebuild_loop() -> None:
    """The fake behaves as recorded, which the tests below rely on."""
    server = placed(on_disk=True)
    server.patch(recording("placement/02_patch_memory_cached", NEW)["request"]["body"])
    assert server.vectors == {"": result(LOOP)["config"]["params"]["vectors"]}
    assert server.endless
    server.patch(recording("placement/05_patch_on_disk_false", NEW)["request"]["body"])
    green = result("placement/06_green_again_info")
    assert server.vectors == {"": green["config"]["params"]["vectors"]}
    assert not server.endless


@pytest.mark.parametrize("wanted", ["none:originals=ram", "binary:codes=ram,originals=ram"])
@pytest.mark.parametrize(
    "former", [{"on_disk": True}, {"on_disk": True, "memory": "cold"}, {"memory": "cold"}]
)
def test_originals_moved_to_disk_are_restored_exactly(former: dict[str, Any], wanted: str) -> None:
    server = placed(**former)
    articles = Database(server.store())["articles"]
    before = copy.deepcopy(server.info)
    reading = articles.info().vectors[""].quantization
    assert reading.originals == "disk"
    change = articles.plan(wanted).apply(yes=True, timeout=5)
    assert not server.endless
    now = fields_of(server)
    assert now.get("on_disk") in (False, None)
    assert now.get("memory") in ("cached", None)
    assert set(now) == set(former), "a field that was null cannot be brought back to null"
    assert not articles.plan(wanted).changes
    change.undo(timeout=5)
    assert server.info == before
    assert articles.info().vectors[""].quantization == reading


@pytest.mark.parametrize("wanted", ["scalar:codes=ram,originals=disk", "none:originals=disk"])
def test_undo_restores_the_configuration_of_a_default_collection(wanted: str) -> None:
    server = placed()
    articles = Database(server.store())["articles"]
    assert str(articles.info().vectors[""].quantization) == "none"
    change = articles.plan(wanted).apply(yes=True, timeout=5)
    assert articles.info().vectors[""].quantization.originals == "disk"
    change.undo(timeout=5)
    assert str(articles.info().vectors[""].quantization) == "none"
    assert fields_of(server) == {"on_disk": False}, "the default, which null stands for"
    assert articles.plan("none").steps[0].symbol is qa.model.Symbol.NOTHING


@pytest.mark.parametrize("wanted", [*SETTINGS, "scalar:codes=disk", "binary:originals=disk"])
@pytest.mark.parametrize("former", [None, {"scalar": {"type": "int8", "always_ram": True}}])
def test_undo_restores_the_whole_configuration_or_the_plan_says_what_remains(
    wanted: str, former: dict[str, Any] | None
) -> None:
    """The rules of 1.19.0, as recorded."""
    server = placed()
    server.info["config"]["quantization_config"] = former
    server = FakeOptimizer(server.info)
    before = copy.deepcopy(server.info)
    articles = Database(server.store())["articles"]
    try:
        plan = articles.plan(wanted)
    except UnsupportedError as error:
        assert error.hint
        return
    if not plan.changes:
        return
    plan.apply(yes=True, timeout=5).undo(timeout=5)
    said = "".join(step.reason for step in plan.steps)
    if "originals" in wanted:
        assert "an undo sets on_disk to false, the default" in said
        assert fields_of(server) == {"on_disk": False}
        del server.vectors[""]["on_disk"]
    else:
        assert "an undo sets" not in said
    assert server.info == before


def test_originals_in_ram_need_no_rebuild() -> None:
    for fields in ({}, {"on_disk": False}, {"memory": "cached"}):
        server = placed(**fields)
        assert not Database(server.store())["articles"].plan("none:originals=ram").changes


def test_a_conflicting_memmap_threshold_is_overridden() -> None:
    """The optimizer would map large segments again if ``on_disk`` is null."""
    server = placed()
    server.info["config"]["optimizer_config"]["memmap_threshold"] = 1000
    plan = Database(server.store())["articles"].plan("none:originals=ram")
    assert plan.steps[0].request["body"] == {"vectors": {"": {"on_disk": False}}}
    server = placed(memory="cold")
    server.info["config"]["optimizer_config"]["memmap_threshold"] = 1000
    plan = Database(server.store())["articles"].plan("none:originals=ram")
    body = {"vectors": {"": {"memory": "cached", "on_disk": False}}}
    assert plan.steps[0].request["body"] == body


def test_a_rebuild_loop_without_codes_is_reported() -> None:
    server = placed(on_disk=True, memory="cached")
    status = Database(server.store())["articles"].info().vectors[""].status
    assert (status.state, "contradict each other" in status.reason) == (State.ABSENT, True)


def test_an_endless_rebuild_is_reported_and_fixed_by_the_next_plan() -> None:
    server = placed(on_disk=True, memory="cached")
    server.patch({"quantization_config": {"binary": {}}})
    articles = Database(server.store())["articles"]
    status = articles.info().vectors[""].status
    assert status.state is State.BUILDING
    assert "contradict each other" in status.reason
    plan = articles.plan("binary")
    (step,) = plan.steps
    assert step.action == "keep the original vectors in RAM"
    assert step.request["body"] == {"vectors": {"": {"on_disk": False}}}
    change = plan.apply(yes=True, timeout=5)
    assert articles.info().vectors[""].status.state is State.ACTIVE
    change.undo(timeout=5)
    assert not server.endless, "an undo does not bring back what never ends"


def test_a_placement_change_is_described_separately_from_codes() -> None:
    plan = Database(placed(on_disk=True).store())["articles"].plan("none:originals=ram")
    (step,) = plan.steps
    assert step.action == "keep the original vectors in RAM"
    assert step.reverse is not None
    assert step.reverse["body"] == {"vectors": {"": {"on_disk": True}}}


def test_named_vectors_are_placed_separately() -> None:
    vectors = {"a": {"size": 96, "distance": "Dot", "on_disk": True}, "b": dict(UNNAMED)}
    server = FakeOptimizer(info_of(vectors, points=20_000))
    articles = Database(server.store())["articles"]
    change = articles.plan("none:originals=ram", vector="a").apply(yes=True, timeout=5)
    assert (server.vectors["a"]["on_disk"], "on_disk" in server.vectors["b"]) == (False, False)
    change.undo(timeout=5)
    assert server.vectors["a"]["on_disk"] is True


def test_creation_in_ram_overrides_both_server_defaults() -> None:
    server = Replay(NEW).on("PUT", "/collections/t", ok(True))
    made = {**UNNAMED, "memory": "cached", "on_disk": False}
    server.on("GET", "/collections/t", ok(info_of(made)))
    server.store().create("t", {"": qa.Vector(96)}, {"": qa.none(originals="ram")})
    assert server.bodies("PUT", "/collections/t") == [{"vectors": made}]


def test_an_older_server_supports_on_disk_only() -> None:
    server = FakeOptimizer(info_of({**UNNAMED, "on_disk": True}, points=20_000), version="1.16.3")
    plan = Database(server.store())["articles"].plan("none:originals=ram")
    assert plan.steps[0].request["body"] == {"vectors": {"": {"on_disk": False}}}
    server.store().run("articles", plan.steps[0].request, silent, 5)
    assert server.vectors[""]["on_disk"] is False
