"""Binary codes of 1.5 and 2 bits: one-bit recall if a segment was not built from its rows."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from fake_optimizer import FakeOptimizer
from qdrant_helpers import NEW, info_of, ok, recording, serve, telemetry_of

from qadapt.api import Database
from qadapt.model import State
from qadapt.stores.qdrant.server import optimizations

VECTOR = {"size": 256, "distance": "Cosine"}
WIDE = [("two_bits", "binary:bits=2"), ("one_and_half_bits", "binary:bits=1.5")]


def codes(encoding: str) -> dict[str, Any]:
    """A configuration."""
    return {"binary": {"encoding": encoding}}


def filled(encoding: str | None, **more: Any) -> FakeOptimizer:
    """5,000 rows below the threshold, in one segment without an index."""
    info = info_of(VECTOR, None if encoding is None else codes(encoding), threshold=10_000)
    return FakeOptimizer(info, 5_000, index="plain", **more)


@pytest.mark.parametrize(("encoding", "text"), WIDE)
def test_rows_added_to_an_empty_segment_are_not_active(encoding: str, text: str) -> None:
    """Created with codes, then filled: recall was .270 with 1 bit and with 2, .394 once indexed."""
    server = filled(encoding)
    articles = Database(server.store())["articles"]
    status = articles.info().vectors[""].status
    assert status.state is State.UNKNOWN
    assert "compared by 1 bit" in status.reason
    assert "indexing_threshold to 5,000 KB" in status.advice
    plan = articles.plan(text)
    (step,) = plan.steps
    assert step.action == "set indexing_threshold 10,000 KB -> 5,000 KB"
    assert step.request["body"] == {"optimizers_config": {"indexing_threshold": 5_000}}
    assert step.reverse is not None
    assert step.reverse["body"] == {"optimizers_config": {"indexing_threshold": 10_000}}
    assert "statistics of an indexed segment" in step.reason
    change = plan.apply(yes=True, timeout=5)
    assert change.status is not None and change.status.state is State.ACTIVE
    assert not articles.plan(text).changes


@pytest.mark.parametrize(("encoding", "text"), WIDE)
def test_a_segment_built_from_rows_is_active_without_an_index(encoding: str, text: str) -> None:
    """cells.jsonl of 1.19.0: .562 with 1 bit, .570 with 1.5, .643 with 2, all of them plain."""
    server = filled(None)
    articles = Database(server.store())["articles"]
    plan = articles.plan(text)
    assert plan.steps[0].request["body"] == {"quantization_config": codes(encoding)}
    change = plan.apply(yes=True, timeout=5)
    assert change.status is not None and change.status.state is State.ACTIVE
    assert articles.info().vectors[""].index["type"] == "plain"
    asked = [path for method, path, _ in server.sent if path.endswith("?with=completed")]
    assert asked


def test_without_segment_ids_an_index_is_built_at_once() -> None:
    """1.16.3: 5,183 x 384 below the threshold, two_bits .568 as 1 bit, .66 once indexed."""
    seen = telemetry_of("articles", [{"": (5_000, "plain", None)}])
    server = serve(info_of(VECTOR, threshold=10_000), seen, count=5_000)
    plan = Database(server.store())["articles"].plan("binary:bits=2")
    assert plan.steps[0].request["body"] == {
        "quantization_config": codes("two_bits"),
        "optimizers_config": {"indexing_threshold": 5_000},
    }


def test_one_bit_codes_need_no_statistics() -> None:
    server = filled("one_bit")
    articles = Database(server.store())["articles"]
    assert articles.info().vectors[""].status.state is State.ACTIVE
    assert not any(path.endswith("?with=completed") for _, path, _ in server.sent)
    assert not articles.plan("binary").changes


def test_newest_rows_are_reported_in_addition_to_indexed_rows() -> None:
    wide = codes("two_bits")
    parts = [{"": (500, "plain", wide)}, {"": (4_500, "hnsw", wide)}]
    server = serve(info_of(VECTOR, wide), telemetry_of("articles", parts), count=5_000, version=NEW)
    status = server.store().info("articles").vectors[""].status
    assert status.state is State.ACTIVE
    assert "500 of 5,000 rows" in status.reason
    assert "compared by 1 bit until they are indexed" in status.reason


def test_too_few_rows_for_an_index_are_reported_as_not_active() -> None:
    wide = codes("two_bits")
    shown = telemetry_of("articles", [{"": (1, "plain", wide)}])
    server = serve(info_of({"size": 96, "distance": "Dot"}, wide), shown, count=1, version=NEW)
    articles = Database(server.store())["articles"]
    assert articles.info().vectors[""].status.state is State.UNKNOWN
    assert not articles.plan("binary:bits=2").changes


def test_an_empty_built_segment_has_no_statistics() -> None:
    """Recorded: a change of codes also rebuilds the empty segment, without rows."""
    made = copy.deepcopy(recording("life/020_optimizations_completed", NEW))
    found = made["response"]["body"]["result"]
    found["completed"][0]["segments"] = [{"uuid": "x", "points_count": 0}]
    built = found["completed"][0]["uuid"]
    wide = codes("two_bits")
    shown = telemetry_of("articles", [{"": (300, "plain", wide)}])
    segment = shown["collections"]["collections"][0]["shards"][0]["local"]["segments"][0]
    segment["info"]["uuid"] = built
    server = serve(info_of(VECTOR, wide), shown, count=300, version=NEW)
    path = "/collections/articles/optimizations"
    server.on("GET", path + "?with=completed", ok(found))
    store = server.store()
    assert optimizations.built_from(store.connection, "articles")[built] == 0
    assert store.info("articles").vectors[""].status.state is State.UNKNOWN


def test_doctor_finds_segments_without_statistics() -> None:
    server = filled("two_bits")
    path = "/collections/articles/points/scroll"
    server.on("POST", path, ok({"points": [], "next_page_offset": None}))
    found = Database(server.store())["articles"].doctor(only=["one-bit-until-indexed"]).findings
    assert [each.code for each in found] == ["one-bit-until-indexed"]
    assert "binary:bits=2" in found[0].command


def test_recorded_lifecycles_contain_segment_uuids() -> None:
    found = recording("life/020_optimizations_completed", NEW)["response"]["body"]["result"]
    server = serve(info_of(VECTOR), telemetry_of("articles", []), version=NEW)
    server.on("GET", "/collections/articles/optimizations?with=completed", ok(found))
    built = optimizations.built_from(server.store().connection, "articles")
    assert 20_000 in built.values()
