"""The status derived from shards, on recordings of 1.39.0 and variations of them."""

from __future__ import annotations

from typing import Any

import pytest
from weaviate_recordings import observation, recorded, recorded_layout, recorded_shards, shard

from qadapt.model import Evidence, State
from qadapt.stores.weaviate import schema
from qadapt.stores.weaviate import snapshot as weaviate_snapshot
from qadapt.stores.weaviate.status import status_of

RQ = {"vectorIndexType": "hnsw", "vectorIndexConfig": {"rq": {"enabled": True, "bits": 8}}}
BQ = {"vectorIndexType": "hnsw", "vectorIndexConfig": {"bq": {"enabled": True}}}
PQ = {"vectorIndexType": "hnsw", "vectorIndexConfig": {"pq": {"enabled": True, "segments": 96}}}
SQ = {"vectorIndexType": "hnsw", "vectorIndexConfig": {"sq": {"enabled": True}}}
NONE = {"vectorIndexType": "hnsw", "vectorIndexConfig": {"rq": {"enabled": False}}}
DYNAMIC = {
    "vectorIndexType": "dynamic",
    "vectorIndexConfig": {"threshold": 9000, "hnsw": {"bq": {"enabled": True}}, "flat": {}},
}
CODES = [shard(compressed=True)]


@pytest.mark.parametrize(
    ("schema_of", "nodes", "state", "says"),
    [
        ("schema_hnsw_rq8", "nodes_hnsw_rq8_5000_sync", State.ACTIVE, ""),
        ("schema_hnsw_pq", "nodes_hnsw_pq_5000_sync_not_compressed", State.IGNORED, "not train"),
        ("schema_hnsw_pq", "nodes_during_pq_compression", State.BUILDING, "READONLY"),
        ("schema_hnsw_pq", "nodes_hnsw_pq_5000_after_update_compressed", State.ACTIVE, ""),
        ("schema_hnsw_pq", "nodes_async_pq_trained", State.ACTIVE, ""),
        ("schema_hnsw_none", "nodes_hnsw_pq_5000_sync_not_compressed", State.ABSENT, ""),
        ("schema_hnsw_none", "nodes_hnsw_rq8_5000_sync", State.IGNORED, "keeps the codes"),
    ],
)
def test_on_recordings(schema_of: str, nodes: str, state: State, says: str) -> None:
    field = recorded_layout(schema_of).field("")
    status = status_of(observation(field.native, shards=recorded_shards(nodes)))
    assert status.state is state
    assert says in status.reason
    assert status.evidence


@pytest.mark.parametrize(
    ("native", "changes", "state", "says", "advice"),
    [
        (PQ, {}, State.IGNORED, "rows written later", "apply"),
        (SQ, {}, State.IGNORED, "rows written later", "apply"),
        (PQ, {"count": 99}, State.IGNORED, "256", "256"),
        (BQ, {}, State.IGNORED, "at its next", "restart"),
        (RQ, {}, State.IGNORED, "have no codes", "apply"),
        (RQ, {"shards": None}, State.UNKNOWN, "may not read", ""),
        (RQ, {"shards": []}, State.UNKNOWN, "no shard is running", ""),
        (RQ, {"count": 0, "shards": [shard(empty=True)]}, State.UNKNOWN, "no rows", ""),
        (RQ, {"count": 0, "shards": [shard(compressed=True, empty=True)]}, State.UNKNOWN, "no", ""),
        (BQ, {"count": 0, "shards": CODES}, State.UNKNOWN, "no rows", ""),
        (RQ, {"shards": [shard(compressed=True, queue=5000)]}, State.BUILDING, "5,000 rows", ""),
        (PQ, {"count": 0}, State.UNKNOWN, "no rows", "apply"),
        (RQ, {"shards": [shard(queue=7)]}, State.BUILDING, "7 rows waiting", ""),
        (RQ, {"shards": [*CODES, shard(name="b")]}, State.IGNORED, "1 of 2 shards", "apply"),
        (RQ, {"shards": [*CODES, shard(empty=True)]}, State.ACTIVE, "", ""),
        (DYNAMIC, {}, State.IGNORED, "flat up to 9,000", "9,000"),
        (DYNAMIC, {"shards": CODES}, State.UNKNOWN, "currently flat or hnsw", ""),
        (DYNAMIC, {"shards": CODES, "rescored": True}, State.ACTIVE, "", ""),
        (NONE, {"shards": CODES}, State.IGNORED, "keeps the codes", "alias"),
        (NONE, {"shards": CODES, "quantized": 1, "several": 2}, State.ABSENT, "", ""),
        (NONE, {"shards": CODES, "quantized": 1, "rescored": True}, State.IGNORED, "keeps", "a"),
    ],
)
def test_status_from_evidence(
    native: dict[str, Any], changes: dict[str, Any], state: State, says: str, advice: str
) -> None:
    status = status_of(observation(native, **changes))
    assert status.state is state
    assert says in status.reason
    assert advice in status.advice


@pytest.mark.parametrize(
    ("rescored", "state", "says"),
    [
        (None, State.UNKNOWN, "one flag for all 2 vectors"),
        (True, State.ACTIVE, ""),
        (False, State.IGNORED, "does not rescore"),
    ],
)
def test_with_several_vectors_the_flag_of_the_shard_is_not_sufficient(
    rescored: bool | None, state: State, says: str
) -> None:
    status = status_of(observation(RQ, shards=CODES, several=2, quantized=2, rescored=rescored))
    assert status.state is state
    assert says in status.reason
    assert Evidence("vectors that share the flag compressed", 2) in status.evidence


def test_tenants_that_are_not_active_are_named() -> None:
    status = status_of(observation(RQ, shards=CODES, cold=["b", "c"], tenants=3))
    assert status.state is State.ACTIVE
    assert "2 of 3 tenants are not active, and neither verified nor changed: b, c" in status.reason


# -- layouts -------------------------------------------------------------------------------------


def test_named_vectors_and_a_legacy_collection_with_a_named_one() -> None:
    assert set(recorded_layout("schema_after_add_vector").vectors) == {"a", "b"}
    both = recorded_layout("schema_legacy_plus_named")
    assert "" in both.vectors
    assert both.field("").target is None


def test_unsupported_vectors_are_reported_and_not_changed() -> None:
    layout = recorded_layout("schema_after_delete_vector_index")
    gone = [name for name, why in layout.others.items() if "no longer has an index" in why]
    assert gone
    with pytest.raises(schema.UnsupportedError, match="no longer has an index"):
        layout.field(gone[0])
    layout = recorded_layout("schema_hnsw_sq_manhattan")
    assert "manhattan" in layout.others[""]


def test_the_note_is_added_to_the_users_description() -> None:
    raw = recorded("schema_hnsw_none")["response"]["body"]
    noted = {**raw, "description": "Our articles.\n" + schema.note({"": 7})}
    assert schema.layout(noted, raw["class"], {"": 9}).field("").dim == 7
    assert schema.layout(raw, raw["class"], {"": 9}).field("").dim == 9
    for text in ("qadapt: {", "qadapt: [1]", 'qadapt: {"dims": {"": 7}}\nthe last line'):
        assert schema.note_of({**raw, "description": text}) == {}


def test_an_unknown_dimension_is_reported_and_not_guessed() -> None:
    raw = recorded("schema_hnsw_none")["response"]["body"]
    layout = schema.layout(raw, raw["class"])
    with pytest.raises(schema.UnsupportedError, match="is unknown"):
        _ = layout.field("").vector
    snapshot = weaviate_snapshot.Snapshot(
        layout, 0, [], {"": observation(layout.field("").native, count=0)}
    )
    info = weaviate_snapshot.collection_info(
        raw["class"], weaviate_snapshot.Server("weaviate"), snapshot
    )
    assert info.vectors == {}
    assert info.config["vectors of unknown dimension"] == [""]
