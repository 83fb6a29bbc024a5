"""What the server accepts and does not do, and what qadapt reports instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.errors import NotFoundError, UnsupportedError
from qadapt.testing.data import Sample


def put_type(raw: Any, name: str, kind: str, **more: Any) -> Any:
    """Change the type of the field, as an application does."""
    definition = raw("GET", f"/{name}")[name]["mappings"]["properties"]["embedding"]
    options = {"type": kind, **more}
    field = {**definition, "index_options": options}
    return raw("PUT", f"/{name}/_mapping", {"properties": {"embedding": field}})


def status(collection: Collection) -> qa.Status:
    return collection.info().vectors[""].status


def test_a_type_in_the_mapping_is_building_until_segments_are_merged(
    database: Database, raw: Any, name: str, articles: Collection, sample: Sample
) -> None:
    """The server acknowledges bbq and merges "successfully", and all codes are still int8."""
    articles.plan("scalar").apply(yes=True)
    assert status(articles).state is qa.State.ACTIVE
    assert put_type(raw, name, "bbq_hnsw") == {"acknowledged": True}
    merged = raw("POST", f"/{name}/_forcemerge?max_num_segments=1")
    assert merged["_shards"]["failed"] == 0
    shown = raw("GET", f"/{name}")[name]["mappings"]["properties"]["embedding"]
    assert shown["index_options"]["type"] == "bbq_hnsw"
    found = status(articles)
    assert found.state is qa.State.BUILDING
    assert "segments" in found.reason
    signals = {each.signal for each in found.evidence}
    age = "segments that may be older than the type"
    assert {"bytes of veq", "bytes of vec"} <= signals or age in signals  # 9.1 and newer, or older
    assert "bytes of veb" not in signals
    assert any(each.code == "mapping-only" for each in qa.doctor(articles).findings)
    # The plan is to merge; the same request again is then nothing to do.
    plan = articles.plan("binary")
    assert [step.request["op"] for step in plan.steps] == ["elasticsearch.set_options"]
    plan.apply(yes=True)
    assert status(articles).state is qa.State.ACTIVE
    assert not articles.plan("binary").changes


def test_bbq_disk_is_acknowledged_and_every_write_is_refused(
    database: Database, raw: Any, name: str, since: Callable[[str], None]
) -> None:
    """Only the segments' writer checks the licence; qadapt never creates this type."""
    since("9.2.0")
    field = {"type": "dense_vector", "dims": 64, "index_options": {"type": "bbq_disk"}}
    assert raw("PUT", f"/{name}", {"mappings": {"properties": {"embedding": field}}})[
        "acknowledged"
    ]
    refused = raw("POST", f"/{name}/_doc?refresh=true", {"embedding": [1.0] * 64})
    assert refused["status"] == 403
    assert "non-compliant" in str(refused)
    collection = database[name]
    with pytest.raises(UnsupportedError, match="non-compliant for"):
        collection.write(qa.Batch(["a"], {"": np.ones((1, 64))}))
    assert any(each.code == "licensed-codes" for each in qa.doctor(collection).findings)
    with pytest.raises(UnsupportedError, match="Enterprise licence"):
        collection.plan("binary:bits=2")


def test_confidence_interval_is_kept_and_changes_nothing(
    database: Database, raw: Any, name: str, sample: Sample, since: Callable[[str], None]
) -> None:
    since("9.4.0")
    sizes = []
    for at, interval in enumerate((0.9, 1.0)):
        options = {"type": "int8_flat", "confidence_interval": interval}
        field = {"type": "dense_vector", "dims": 64, "index_options": options}
        index = f"{name}_{at}"
        raw("PUT", f"/{index}", {"mappings": {"properties": {"embedding": field}}})
        collection = database[index]
        keys = [f"k{row}" for row in range(200)]
        collection.write(qa.Batch(keys, {"": sample.rows[:200]}))
        found = collection.search(sample.queries[:5], k=5, rescore=qa.Rescore(source="off"))
        sizes.append((collection.info().vectors[""].code_bytes, found.scores.tolist()))
        findings = {each.code for each in qa.doctor(collection).findings}
        assert {"no-effect", "guessed-fields"} <= findings
    assert sizes[0] == sizes[1]
    plan = database.create(f"{name}_2", dim=64).plan(qa.scalar(native={"confidence_interval": 0.9}))
    assert any("confidence_interval has no effect" in each for each in plan.match.differences)


def test_a_search_of_an_unknown_field_is_an_error(
    raw: Any, name: str, articles: Collection
) -> None:
    """The server answers 200 without hits."""
    articles.count()
    body = {"knn": {"field": "embeding", "query_vector": [1.0] * 64, "k": 3}}
    assert raw("POST", f"/{name}/_search", body)["hits"]["hits"] == []
    with pytest.raises(NotFoundError, match="embeding"):
        articles.search(np.ones(64), vector="embeding")
    with pytest.raises(qa.errors.DimensionError):
        articles.search(np.ones(63))


def test_a_field_without_a_type_is_quantized(
    database: Database, raw: Any, name: str, since: Callable[[str], None]
) -> None:
    """The default depends on dimensions, version and licence: int8 below 384, bbq from there on."""
    since("9.1.0")
    for dims, kind in ((64, "scalar"), (384, "binary")):
        index = f"{name}_{dims}"
        field = {"type": "dense_vector", "dims": dims}
        raw("PUT", f"/{index}", {"mappings": {"properties": {"embedding": field}}})
        assert database[index].info().vectors[""].quantization.kind.value == kind
    made = database.create(f"{name}_none", dim=384)
    assert made.info().vectors[""].index["type"] == "hnsw"


def test_cosine_vectors_of_another_index_differ_in_the_last_digit(
    database: Database, raw: Any, name: str, since: Callable[[str], None]
) -> None:
    """The server stores them at length 1, and a document does not show them."""
    since("9.2.0")
    field = {"type": "dense_vector", "dims": 64, "index_options": {"type": "hnsw"}}
    raw("PUT", f"/{name}", {"mappings": {"properties": {"embedding": field}}})
    rows = 3 * np.random.default_rng(3).standard_normal((200, 64)).astype(np.float32)
    collection = database[name]
    collection.write(qa.Batch([f"k{at:03}" for at in range(200)], {"": rows}))
    hit = raw("GET", f"/{name}/_doc/k007")
    assert "embedding" not in hit["_source"]
    back = collection.fetch([f"k{at:03}" for at in range(200)]).vectors[""]
    assert (back != rows).any()
    np.testing.assert_allclose(back, rows, rtol=3e-7)


def test_the_first_value_decides_the_type_of_a_mapped_field(
    database: Database, raw: Any, name: str
) -> None:
    """In an index of qadapt all JSON is stored; in another one the server refuses the row."""
    payloads: list[dict[str, Any]] = [
        {"a": 1},
        {"a": "x"},
        {"a": {"b": [1, None]}},
        {"": 1, "c.d": 2},
    ]
    keys = [f"k{at}" for at in range(4)]
    rows = np.eye(4, 64, dtype=np.float32)
    own = database.create(f"{name}_own", dim=64)
    own.write(qa.Batch(keys, {"": rows}, payloads))
    assert own.fetch(keys).payloads == payloads
    field = {"type": "dense_vector", "dims": 64}
    raw("PUT", f"/{name}", {"mappings": {"properties": {"embedding": field}}})
    other = database[name]
    other.write(qa.Batch(keys[:1], {"": rows[:1]}, payloads[:1]))
    with pytest.raises(qa.errors.InputError, match="'k1'; 1 of 1 rows were refused"):
        other.write(qa.Batch(keys[1:2], {"": rows[1:2]}, payloads[1:2]))
