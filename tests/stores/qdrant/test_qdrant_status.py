"""States of a quantization: active, building, ignored, absent, unknown."""

from __future__ import annotations

import httpx
import numpy as np
import pytest
from qdrant_helpers import (
    BINARY,
    SCALAR,
    TELEMETRY,
    UNNAMED,
    Replay,
    answer,
    info_of,
    ok,
    recording,
    refused,
    serve,
    telemetry_of,
)
from recorded import recorded

import qadapt as qa
from qadapt.errors import UnsupportedError
from qadapt.model import State
from qadapt.stores.base import SearchRequest
from qadapt.stores.change import ChangeRequest
from qadapt.stores.qdrant.server import telemetry


def status_of(server: Replay, name: str = "") -> qa.model.Status:
    """The status of one vector."""
    return server.store().info("articles").vectors[name].status


def test_scalar_below_the_threshold_is_ignored_with_a_hint() -> None:
    """https://github.com/qdrant/qdrant-client/issues/1050: 998 points, nothing quantized."""
    observation = telemetry_of("articles", [{"": (2000, "plain", None)}])
    status = status_of(serve(info_of(UNNAMED, SCALAR), observation))
    assert status.state is State.IGNORED
    assert "at least 1,000 KB" in status.reason
    assert "750.0 KB" in status.reason
    assert "750 KB" in status.advice


def test_threshold_of_zero_is_reported() -> None:
    observation = telemetry_of("articles", [{"": (2000, "plain", None)}])
    status = status_of(serve(info_of(UNNAMED, SCALAR, threshold=0), observation))
    assert (status.state, "disables indexing" in status.reason) == (State.IGNORED, True)


def test_binary_is_active_without_an_index_since_1_16_only() -> None:
    observation = telemetry_of("articles", [{"": (2000, "plain", BINARY)}])
    assert status_of(serve(info_of(UNNAMED, BINARY), observation)).state is State.ACTIVE
    bare = telemetry_of("articles", [{"": (2000, "plain", None)}])
    assert status_of(serve(info_of(UNNAMED, BINARY), bare)).state is State.BUILDING
    old = serve(info_of(UNNAMED, BINARY), bare, version="1.15.5")
    assert status_of(old).state is State.IGNORED


def test_the_empty_appendable_segment_is_excluded() -> None:
    parts = [{"": (0, "plain", None)}, {"": (2000, "hnsw", SCALAR)}]
    status = status_of(serve(info_of(UNNAMED, SCALAR), telemetry_of("articles", parts)))
    assert (status.state, status.reason) == (State.ACTIVE, "")


def test_unindexed_rows_are_reported() -> None:
    parts = [{"": (100, "plain", None)}, {"": (1900, "hnsw", SCALAR)}]
    status = status_of(serve(info_of(UNNAMED, SCALAR), telemetry_of("articles", parts)))
    assert status.state is State.ACTIVE
    assert "100 of 2,000 rows" in status.reason


def test_an_indexed_segment_without_live_rows_is_excluded() -> None:
    """Observed on 1.19.0: ``num_vectors`` includes deleted and replaced points."""
    answer = recorded("qdrant-1.19.0", "restart/03_after_restart_telemetry")["response"]["body"]
    (shown,) = telemetry.collections(answer["result"]).values()
    observation = telemetry.of(shown)
    assert observation is not None
    found = {(each.rows, each.present) for each in observation.segments[""]}
    assert {(20_000, 9000), (9000, 0)} <= found
    parts = [{"": (100, "plain", None)}, {"": (1900, "hnsw", SCALAR)}]
    reported = telemetry_of("articles", parts)
    dead = reported["collections"]["collections"][0]["shards"][0]["local"]["segments"][1]
    dead["info"]["num_points"] = 0
    status = status_of(serve(info_of(UNNAMED, SCALAR), reported, count=100))
    assert status.state is State.IGNORED
    dead["info"]["num_points"] = 1
    assert status_of(serve(info_of(UNNAMED, SCALAR), reported, count=101)).state is State.ACTIVE


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (
            refused(403, "Forbidden: Global manage access is required"),
            "has no permission to read telemetry",
        ),
        (httpx.Response(404), "does not know this path"),
        (
            ok({"collections": {"collections": [{"id": "other"}]}}),
            "does not include this collection",
        ),
        (ok({"collections": {"collections": [{"id": "articles"}]}}), "no segments"),
    ],
)
def test_forbidden_telemetry_is_unknown(reply: httpx.Response, why: str) -> None:
    server = serve(info_of(UNNAMED, BINARY)).on("GET", TELEMETRY, reply)
    status = status_of(server)
    assert status.state is State.UNKNOWN
    assert why in status.reason
    assert "verify" in status.advice
    assert any(each.signal == "GET /telemetry" for each in status.evidence)
    assert server.store().info("articles").vectors[""].code_bytes is None


def test_replicas_on_other_nodes_are_not_active() -> None:
    observation = telemetry_of("articles", [{"": (2000, "hnsw", BINARY)}], remote=[{"shard_id": 0}])
    status = status_of(serve(info_of(UNNAMED, BINARY), observation))
    assert status.state is State.UNKNOWN
    assert "other nodes" in status.reason


def test_remaining_codes_after_disabling_are_building() -> None:
    parts = [{"": (1000, "hnsw", BINARY)}, {"": (1000, "hnsw", None)}]
    status = status_of(serve(info_of(UNNAMED), telemetry_of("articles", parts)))
    assert (status.state, status.progress) == (State.BUILDING, 0.5)


def test_a_read_only_key_can_inspect() -> None:
    info = recording("errors/readonly_get")["response"]["body"]["result"]
    server = serve(info, name="x", count=1)
    server.on("GET", TELEMETRY, answer("errors/readonly_telemetry"))
    server.on("GET", "/collections/x/optimizations", answer("errors/readonly_optimizations"))
    assert server.store().info("x").vectors[""].status.state is State.ABSENT


def test_multivectors_are_quantized_and_not_searched() -> None:
    many = {"size": 8, "distance": "Cosine", "multivector_config": {"comparator": "max_sim"}}
    info = info_of({"": {"size": 4, "distance": "Dot"}, "colbert": many}, BINARY)
    parts = [{"": (2000, "hnsw", BINARY), "colbert": (2000, "hnsw", BINARY)}]
    server = serve(info, telemetry_of("articles", parts))
    store = server.store()
    about = store.info("articles")
    assert about.vectors["colbert"].status.state is State.ACTIVE
    assert about.vectors["colbert"].index["multivector"] == "max_sim"
    (step,) = store.plan_change(
        ChangeRequest(store.inspect("articles"), "colbert", qa.scalar(bits=7))
    ).steps
    body = {"vectors": {"colbert": {"quantization_config": SCALAR}}}
    assert step.request["body"] == body
    with pytest.raises(UnsupportedError, match="is a multivector"):
        store.search("articles", np.ones((1, 8)), SearchRequest(k=1, vector="colbert"))


def test_sparse_and_manhattan_vectors_are_reported_and_not_changed() -> None:
    info = info_of(
        {"l1": {"size": 4, "distance": "Manhattan"}, "a": {"size": 4, "distance": "Dot"}},
        params={"sparse_vectors": {"s": {}}},
    )
    server = serve(info, telemetry_of("articles", [{"a": (2000, "hnsw", None)}]))
    store = server.store()
    about = store.info("articles")
    assert list(about.vectors) == ["a"]
    for name, why in (("s", "never quantized"), ("l1", "Manhattan")):
        with pytest.raises(UnsupportedError, match=why):
            store.plan_change(ChangeRequest(store.inspect("articles"), name, qa.binary()))


# -- finer points --------------------------------------------------------------------------------


def test_a_running_rebuild_is_building_even_with_all_codes() -> None:
    log = [{"name": "config mismatch", "status": "optimizing"}]
    observation = telemetry_of("articles", [{"": (2000, "hnsw", BINARY)}], log=log)
    status = status_of(serve(info_of(UNNAMED, BINARY, status="yellow"), observation))
    assert (status.state, "being rebuilt" in status.reason) == (State.BUILDING, True)
    log[0]["name"] = "indexing"
    assert (
        status_of(serve(info_of(UNNAMED, BINARY, status="yellow"), observation)).state
        is State.ACTIVE
    )


def test_a_shard_on_another_node_is_not_active() -> None:
    observation = telemetry_of("articles", [{"": (2000, "hnsw", BINARY)}])
    observation["collections"]["collections"][0]["shards"].append(
        {"id": 1, "local": None, "remote": []}
    )
    assert status_of(serve(info_of(UNNAMED, BINARY), observation)).state is State.UNKNOWN
