"""The recorded lifecycle of ``articles`` on a 1.16.3 server, from plan to undo."""

from __future__ import annotations

from typing import Any

import pytest
from qdrant_helpers import RecordedSequence, info_of, lifecycle, ok, recording, serve, telemetry_of

import qadapt as qa
from qadapt.api import Database
from qadapt.errors import ApplyError, StoreError, StoreTimeoutError, UnreachableError
from qadapt.model import Symbol
from qadapt.stores.base import Progress, silent
from qadapt.stores.qdrant.server import vector_index

SCALAR = qa.scalar(bits=7, quantile=0.99, codes="ram")
PATH = "/collections/articles"


def patches(story: Any) -> list[Any]:
    """The PATCH bodies that touched quantization."""
    return [body for body in story.bodies("PATCH", PATH) if "quantization_config" in body]


def database(story: Any) -> Database:
    """The collection of the public API."""
    return Database(story.store())


def test_a_lifecycle_sends_the_recorded_requests_and_is_active_after_each_step() -> None:
    story = lifecycle()
    articles = database(story)["articles"]
    assert articles.info().vectors[""].status.state is qa.State.ABSENT
    seen: list[Progress] = []
    changes = []
    for wanted in (
        SCALAR,
        SCALAR.replace(codes="disk"),
        qa.binary(codes="ram"),
        qa.product(codes="ram"),
        qa.none(),
    ):
        plan = articles.plan(wanted)
        assert [step.symbol for step in plan.steps] == [Symbol.BACKGROUND]
        changes.append(plan.apply(yes=True, progress=seen.append))
        goal = qa.State.ABSENT if wanted.kind is qa.Kind.NONE else qa.State.ACTIVE
        assert articles.info().vectors[""].status.state is goal
    recorded = [
        recording(f"life/{name}")["request"]["body"]
        for name in (
            "011_patch_none_to_scalar",
            "026_patch_scalar_always_ram_only",
            "035_patch_scalar_to_binary",
            "054_patch_binary_to_product",
            "072_patch_product_to_disabled",
        )
    ]
    assert patches(story) == recorded
    assert story.writes() == [("PATCH", PATH, body) for body in recorded]
    assert any(each.unit == "segments" and each.total == 1 for each in seen)
    assert all(change.state == "applied" for change in changes)


def test_undo_restores_the_former_configuration() -> None:
    story = lifecycle()
    articles = database(story)["articles"]
    (first,) = articles.plan(SCALAR).steps
    assert first.reverse == {
        "op": "qdrant.patch",
        "vector": "",
        "body": {"quantization_config": "Disabled"},
    }
    story.at = 1
    story.chapters[1] = story.chapters[1][-1:]
    (second,) = articles.plan("binary").steps
    assert second.reverse is not None
    assert second.reverse["body"] == recording("life/011_patch_none_to_scalar")["request"]["body"]


def test_planning_the_current_configuration_sends_nothing() -> None:
    story = lifecycle()
    story.at = 1
    story.chapters[1] = story.chapters[1][-1:]
    plan = database(story)["articles"].plan(SCALAR)
    assert [step.symbol for step in plan.steps] == [Symbol.NOTHING]
    assert plan.apply(yes=True).state == "nothing"
    assert story.writes() == []


def test_an_identical_patch_is_not_sent_during_a_build() -> None:
    """Facts section 3, patch/while_optimizing_runs: a PATCH during a build cancels it."""
    story = lifecycle()
    story.at = 1
    store = story.store()
    body = recording("life/011_patch_none_to_scalar")["request"]["body"]
    request = {"op": "qdrant.patch", "vector": "", "body": body}
    store.run("articles", request, silent, 10)
    store.run("articles", request, silent, 10)
    assert story.writes() == []


def test_a_build_in_progress_reports_its_share() -> None:
    story = lifecycle()
    story.at = 3
    status = story.store().info("articles").vectors[""].status
    assert status.state is qa.State.BUILDING
    assert status.progress == 0.0
    values = {each.signal: each.value for each in status.evidence}
    assert values["GET /collections: status"] == "yellow"
    assert values["GET /optimizations: running"] == 1


def test_apply_continues_after_a_lost_connection() -> None:
    import httpx

    story = lifecycle()
    articles = database(story)["articles"]
    plan = articles.plan(SCALAR)
    inner, down = story.reply, [False]

    def reply(request: httpx.Request, path: str) -> Any:
        if request.method == "PATCH":
            down[0] = True
        elif down[0]:
            return httpx.ConnectError("refused")
        return inner(request, path)

    story.reply = reply  # type: ignore[method-assign]
    with pytest.raises(ApplyError, match="the server is unreachable"):
        plan.apply(yes=True)
    down[0] = False
    story.reply = inner  # type: ignore[method-assign]
    change = articles.plan(SCALAR).apply(yes=True)
    assert change.state == "applied"
    assert len(patches(story)) == 1, "the setting was there already, so it was not sent again"


class Restarted(RecordedSequence):
    """Killed during a rebuild and restarted: grey until it is triggered."""

    def reply(self, request: Any, path: str) -> Any:
        if request.method == "PATCH" and self.at == 0:
            self.at = 1
            return ok(True)
        return super().reply(request, path)


def restarted() -> Restarted:
    """The recordings of ``restart``."""
    return Restarted(
        "articles",
        [
            [
                (
                    "restart/06_info_3s_later_still_grey",
                    "restart/05_optimizations_after_restart",
                    "restart/04_telemetry_after_restart",
                )
            ],
            [
                ("restart/08_info_yellow", None, "restart/04_telemetry_after_restart"),
                ("restart/09_info_green", None, "restart/10_telemetry_active"),
            ],
        ],
        count=10_000,
    )


def test_a_grey_collection_after_a_kill_is_triggered() -> None:
    """Facts section 3; https://github.com/qdrant/qdrant/pull/4940."""
    story = restarted()
    articles = database(story)["articles"]
    status = articles.info().vectors[""].status
    assert status.state is qa.State.BUILDING
    assert "grey" in status.reason
    change = articles.plan(qa.binary(codes="ram")).apply(yes=True)
    assert change.state == "applied"
    nudge = recording("restart/07_nudge_patch_optimizers_config")["request"]["body"]
    assert story.writes() == [("PATCH", PATH, nudge)]
    assert articles.info().vectors[""].status.state is qa.State.ACTIVE


UNNAMED = {"size": 64, "distance": "Cosine"}
BINARY = {"binary": {}}


def test_premature_green_status_is_ignored() -> None:
    """Since 1.18.1 the status may be green right after a PATCH (docs/engines/qdrant.md#status)."""
    old = telemetry_of("articles", [{"": (2000, "hnsw", None)}])
    new = telemetry_of("articles", [{"": (2000, "hnsw", BINARY)}])
    server = serve(info_of(UNNAMED, BINARY), old)
    status = server.store().info("articles").vectors[""].status
    assert status.state is qa.State.BUILDING
    assert "green nevertheless" in status.reason
    server.on("GET", "/telemetry?details_level=4", *[ok(old)] * 4, ok(new))
    request = {"op": "qdrant.patch", "vector": "", "body": {"quantization_config": BINARY}}
    server.sent.clear()
    server.store().run("articles", request, silent, 10)
    looks = len(server.bodies("GET", "/telemetry?details_level=4"))
    assert looks == 4 + vector_index.CALM


def test_a_red_collection_fails_with_the_optimizer_error() -> None:
    """No space left: https://github.com/qdrant/qdrant/issues/4072."""
    reported = {"error": "Service internal error: No space left on device"}
    info = info_of(UNNAMED, BINARY, status="red", optimizer_status=reported)
    server = serve(info, telemetry_of("articles", [{"": (2000, "hnsw", None)}]))
    status = server.store().info("articles").vectors[""].status
    assert (status.state, "No space left" in status.reason) == (qa.State.IGNORED, True)
    request = {"op": "qdrant.patch", "vector": "", "body": {"quantization_config": BINARY}}
    with pytest.raises(StoreError, match=r"failed: .*No space left"):
        server.store().run("articles", request, silent, 10)


def test_an_endless_build_times_out() -> None:
    """max_optimization_threads=0 stays yellow: .../issues/2463."""
    info = info_of(UNNAMED, BINARY, status="yellow")
    server = serve(info, telemetry_of("articles", [{"": (2000, "hnsw", None)}]))
    request = {"op": "qdrant.patch", "vector": "", "body": {"quantization_config": BINARY}}
    with pytest.raises(StoreTimeoutError, match="yellow after 0 seconds"):
        server.store().run("articles", request, silent, 0)


def test_an_unreachable_server_is_an_error_and_not_a_status() -> None:
    import httpx

    server = serve(info_of(UNNAMED))
    server.on("GET", "/telemetry?details_level=4", httpx.ConnectError("refused"))
    with pytest.raises(UnreachableError):
        server.store().info("articles")


@pytest.mark.parametrize(
    ("name", "wanted", "datatype"),
    [
        ("no_quantization", qa.none(), "float32"),
        ("scalar", SCALAR, "float32"),
        ("scalar_min", qa.scalar(), "float32"),
        ("product", qa.product(codes="disk"), "float32"),
        ("all_product_x4", qa.product(4), "float32"),
        ("binary", qa.binary(), "float32"),
        ("binary_ram", qa.binary(codes="ram"), "float32"),
        ("binary_two_bits", qa.binary(bits=2), "float32"),
        ("binary_one_half", qa.binary(bits=1.5, query_bits=4), "float32"),
        ("binary_qbin", qa.binary(query_bits=1), "float32"),
        ("on_disk_binary", qa.binary(codes="ram", originals="disk"), "float32"),
        ("datatype_uint8", qa.none(), "uint8"),
        ("datatype_float16", qa.float16(), "float32"),
    ],
)
def test_recorded_creations_are_sent_and_read_back(
    name: str, wanted: qa.Quantization, datatype: Any
) -> None:
    made = recording(f"create/{name}")
    server = serve(info_of(UNNAMED))
    server.on("PUT", "/collections/t", ok(True))
    server.on(
        "GET",
        "/collections/t",
        ok(recording(f"create/{name}__read_back")["response"]["body"]["result"]),
    )
    server.store().create("t", {"": qa.Vector(8, datatype=datatype)}, {"": wanted})
    assert server.writes() == [("PUT", "/collections/t", made["request"]["body"])]
