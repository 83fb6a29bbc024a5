"""Copies to another metric or to an ARRAY with bits, and the copied settings."""

from __future__ import annotations

import numpy as np
import pytest
from milvus_alias_helpers import BITS, FIRST, SECOND, alias_plan, fill, same, whole
from milvus_helpers import NAME, carry_out, kind, plan, recall, take_back

import qadapt as qa
from qadapt.errors import UnsupportedError
from qadapt.model import Batch, Kind, Metric, Quantization, State, Vector
from qadapt.stores.base import SearchRequest
from qadapt.stores.change import ChangeRequest
from qadapt.stores.milvus import copy_switch
from qadapt.stores.milvus.store import MilvusStore
from qadapt.testing.data import Sample


def test_a_metric_change_copies_the_collection(either: MilvusStore, sample: Sample) -> None:
    fill(either, sample.rows, metric="euclidean")
    steps = either.plan_change(
        ChangeRequest(either.inspect(NAME), "", None, Vector(64, Metric.DOT))
    ).recreation
    carry_out(either, steps)
    vector = either.info(NAME).vectors[""]
    assert (vector.metric.value, vector.index["metric_type"]) == ("dot", "IP")
    assert recall(either, sample.queries, sample.rows, "dot") > 0.95
    take_back(either, steps)
    assert either.info(NAME).vectors[""].metric.value == "euclidean"


@pytest.mark.parametrize(
    ("raw", "noted"),
    [
        ({"properties": {"collection.ttl.seconds": "60"}}, True),
        ({"properties": {"mmap.enabled": "true"}}, False),
        ({}, False),
    ],
)
def test_a_copy_notes_that_the_time_to_live_restarts(raw: dict[str, object], noted: bool) -> None:
    assert ("time to live" in copy_switch._about_properties(raw)) == noted


@pytest.mark.long
def test_a_metric_change_is_planned_applied_and_undone(lite: MilvusStore, sample: Sample) -> None:
    fill(lite, sample.rows)
    with qa.open(lite.address) as database:
        collection = database[NAME]
        with pytest.raises(UnsupportedError, match="cannot be combined"):
            collection.plan("scalar", metric="dot")
        with pytest.raises(UnsupportedError, match="in place"):
            collection.plan(metric="dot", strategy="in-place")
        change = collection.plan(metric="dot").apply(yes=True)
        assert change.state == "applied"
        assert collection.info().vectors[""].metric.value == "dot"
        assert not collection.plan(metric="dot").changes
        scalar = collection.plan("scalar", strategy="alias").apply(yes=True)
        assert database.aliases() == {NAME: f"{NAME}_v3"}
        scalar.undo()
        change.undo()
        assert database.aliases() == {NAME: FIRST}
        assert collection.info().vectors[""].metric.value == "cosine"


def test_a_copy_keeps_schema_partitions_properties_and_indexes(server: MilvusStore) -> None:
    pymilvus = pytest.importorskip("pymilvus")
    client, types = server.connection.client, pymilvus.DataType
    made = client.create_schema(auto_id=False, enable_dynamic_field=True, description="of others")
    made.add_field("pk", types.INT64, is_primary=True)
    made.add_field("v", types.FLOAT_VECTOR, dim=8)
    made.add_field("topic", types.VARCHAR, max_length=20)
    made.add_field("years", types.ARRAY, element_type=types.INT64, max_capacity=4)
    made.add_field("more", types.JSON)
    settings = {"collection.ttl.seconds": "864000"}
    client.create_collection(
        FIRST, schema=made, properties=settings, consistency_level="Eventually"
    )
    params = client.prepare_index_params()
    params.add_index("v", "IVF_FLAT", "own", metric_type="L2", params={"nlist": 77})
    params.add_index("topic", "Trie", "by_topic")
    client.create_index(FIRST, params, timeout=60)
    client.create_partition(FIRST, "red", timeout=10)
    client.load_collection(FIRST, timeout=60)
    for partition, keys in (("red", range(-50, 0)), ("_default", range(50))):
        data = [
            {"pk": key, "v": [key / 7] * 8, "topic": str(key), "years": [key], "more": {"a": [key]},
             "free": key}
            for key in keys
        ]  # fmt: skip
        client.upsert(FIRST, data, partition_name=partition, timeout=30)
    server.switch_alias(NAME, FIRST)
    steps = server.plan_change(
        ChangeRequest(server.inspect(NAME), "v", Quantization.parse("scalar"), strategy="alias")
    ).steps
    assert "time to live" in steps[0].reason
    carry_out(server, steps)
    old, new = (client.describe_collection(name, timeout=10) for name in (FIRST, SECOND))
    for key in ("fields", "description", "enable_dynamic_field", "consistency_level_name"):
        clean = [
            [{k: v for k, v in each.items() if k != "field_id"} for each in reported[key]]
            if key == "fields"
            else reported[key]
            for reported in (old, new)
        ]
        assert clean[0] == clean[1], key
    assert settings.items() <= new["properties"].items()
    assert server.info(NAME).vectors["v"].index["params"] == {"nlist": "77"}
    assert client.describe_index(SECOND, "by_topic", timeout=10)["index_type"] == "Trie"
    for partition in ("red", "_default"):
        found = [
            client.query(name, "pk > -100", ["*"], partition_names=[partition], timeout=10,
                         consistency_level="Strong")
            for name in (FIRST, SECOND)
        ]  # fmt: skip
        assert len(found[0]) == 50
        key = lambda row: row["pk"]  # noqa: E731
        assert sorted(found[0], key=key) == sorted(found[1], key=key)
    assert server.count(f"{NAME}@red") == 50


def test_a_copy_keeps_the_partition_key(server: MilvusStore) -> None:
    pymilvus = pytest.importorskip("pymilvus")
    client, types = server.connection.client, pymilvus.DataType
    made = client.create_schema(auto_id=False, enable_dynamic_field=False)
    made.add_field("pk", types.INT64, is_primary=True)
    made.add_field("v", types.FLOAT_VECTOR, dim=4)
    made.add_field("who", types.VARCHAR, max_length=20, is_partition_key=True)
    client.create_collection(FIRST, schema=made, num_partitions=3)
    params = client.prepare_index_params()
    params.add_index("v", "FLAT", "own", metric_type="IP", params={})
    client.create_index(FIRST, params, timeout=60)
    client.load_collection(FIRST, timeout=60)
    data = [{"pk": key, "v": [key] * 4, "who": f"u{key % 5}"} for key in range(30)]
    client.insert(FIRST, data, timeout=30)
    server.switch_alias(NAME, FIRST)
    carry_out(
        server,
        server.plan_change(
            ChangeRequest(server.inspect(NAME), "v", Quantization.parse("scalar"), strategy="alias")
        ).steps,
    )
    assert len(client.list_partitions(SECOND, timeout=10)) == 3
    for who in range(5):
        assert server.count(NAME, {"who": f"u{who}"}) == 6
    server.write(NAME, Batch([7, 30], {"v": np.ones((2, 4))}, [{"who": "u2"}, {"who": "u0"}]))
    assert [server.count(NAME, {"who": f"u{who}"}) for who in range(5)] == [7, 6, 6, 6, 6]
    with pytest.raises(UnsupportedError, match="partition key"):
        server.info(f"{NAME}@_default_0")


def test_a_collection_with_auto_id_is_not_copied(either: MilvusStore) -> None:
    client = either.connection.client
    client.create_collection(FIRST, dimension=4, auto_id=True, metric_type="L2")
    either.switch_alias(NAME, FIRST)
    with pytest.raises(UnsupportedError, match="auto_id"):
        either.plan_change(
            ChangeRequest(
                either.inspect(NAME), "vector", Quantization.parse("scalar"), strategy="alias"
            )
        )


def test_a_new_collection_stores_vectors_in_an_array_if_bin_flat_is_requested(
    server: MilvusStore, sample: Sample
) -> None:
    if not server.connection.version.startswith("2.3"):
        pytest.skip("this server is newer: it has bits as a second vector")
    for text, form in (("binary", "FLOAT_VECTOR"), (BITS, "ARRAY")):
        server.create(NAME, {"": Vector(64)}, {"": Quantization.parse(text)})
        server.write(NAME, Batch(range(500), {"": sample.rows[:500]}))
        info = server.info(NAME)
        types = {each["name"]: each["type"] for each in info.config["fields"]}
        assert types["vector"] == form
        assert info.vectors[""].quantization.kind is Kind.BINARY
        assert not plan(server, "binary")
        hits = server.search(NAME, sample.rows[:5], SearchRequest(k=1))
        assert hits.ids.ravel().tolist() == list(range(5))
        server.drop(NAME)


def test_sign_bits_by_alias_use_an_array_and_undo_restores_the_vector(
    server: MilvusStore, sample: Sample
) -> None:
    if not server.connection.version.startswith("2.3"):
        pytest.skip("this server is newer: it has bits as a second vector")
    fill(server, sample.rows)
    original = whole(server, NAME)
    there = alias_plan(server, "binary")
    carry_out(server, there)
    vector = server.info(NAME).vectors[""]
    assert (vector.quantization.kind, vector.status.state) == (Kind.BINARY, State.ACTIVE)
    assert same(whole(server, NAME), original)
    server.write(NAME, Batch([9000], {"": sample.queries[:1]}, [{"group": 3}]))
    hits = server.search(NAME, sample.queries[:1], SearchRequest(k=1))
    assert (hits.ids.tolist(), hits.how.scores) == ([[9000]], "approximate")
    hits = server.search(NAME, sample.queries[:3], SearchRequest(k=5, filter={"group": 3}))
    assert all(key % 7 == 3 or key == 9000 for key in hits.ids.ravel())
    assert hits.how.searcher == "store", "the filter acts while bits are searched"
    assert recall(server, sample.queries, sample.rows, exact=True) > 0.99
    with pytest.raises(UnsupportedError, match="ARRAY"):
        plan(server, "scalar")
    back = alias_plan(server, "none")
    carry_out(server, back)
    assert kind(server) == "HNSW"
    assert server.info(NAME).vectors[""].quantization.kind is Kind.NONE
    assert server.count(NAME) == 2001
