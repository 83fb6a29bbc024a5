"""A copy and an alias that is moved to it, live: nothing is lost, and a cut is finished."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from milvus_help import NAME, carry_out, kind, plan, recall, status, take_back

import qadapt as qa
from qadapt.errors import (
    AlreadyExistsError,
    NotFoundError,
    SpecError,
    StoreError,
    StoreTimeoutError,
    UnsupportedError,
)
from qadapt.model import Batch, Kind, Metric, Quantization, State, Step, Vector
from qadapt.stores.base import Progress, Search, silent
from qadapt.stores.milvus import copying, rows
from qadapt.stores.milvus.connection import Connection
from qadapt.stores.milvus.store import MilvusStore
from qadapt.testing.data import Sample

BITS = 'binary:native={"index_type":"BIN_FLAT"}'
FIRST, SECOND = f"{NAME}_v1", f"{NAME}_v2"
PLAIN = f"{NAME}_plain"
CHANGES = {
    "create_collection",
    "create_partition",
    "create_index",
    "load_collection",
    "insert",
    "upsert",
    "delete",
    "flush",
    "alter_collection_properties",
    "alter_alias",
    "drop_collection",
}


@pytest.fixture(params=["server", "lite"])
def either(request: pytest.FixtureRequest) -> MilvusStore:
    """The server, and Lite."""
    return request.getfixturevalue(request.param)  # type: ignore[no-any-return]


def fill(store: MilvusStore, array: np.ndarray[Any, Any], metric: str = "cosine") -> None:
    """``articles_v1`` with these rows, written out of order, and the alias ``articles``."""
    store.create(FIRST, {"": Vector(array.shape[1], Metric.of(metric))}, {})
    order = np.random.default_rng(0).permutation(len(array)).tolist()
    payloads = [{"group": row % 7, "tags": ["a", {"b": row}]} for row in order]
    store.write(FIRST, Batch(order, {"": array[order]}, payloads))
    store.switch_alias(NAME, FIRST)


def alias_plan(store: MilvusStore, text: str) -> list[Step]:
    """Steps by a copy."""
    return store.alias_steps(store.info(NAME), "", Quantization.parse(text))


def whole(store: MilvusStore, name: str) -> Batch:
    """All rows by key."""
    return Batch.concat(list(store.read(name)))


def same(left: Batch, right: Batch) -> bool:
    """Whether ids, floats and payloads are equal, bit for bit."""
    floats = left.vectors[""].tobytes() == right.vectors[""].tobytes()
    return left.ids == right.ids and left.payloads == right.payloads and floats


class Killed(BaseException):
    """As when the process ends."""


@contextmanager
def killed_at(store: MilvusStore, number: int) -> Iterator[list[str]]:
    """The process ends after the request of this number that changes something."""
    seen: list[str] = []
    real = Connection.call

    def call(self: Connection, doing: str, function: Callable[..., Any], *a: Any, **k: Any) -> Any:
        name = getattr(function, "__name__", "")
        counts = self is store.connection and name in CHANGES
        if counts:
            seen.append(name)
        found = real(self, doing, function, *a, **k)
        if counts and len(seen) == number:
            raise Killed
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Connection, "call", call)
        yield seen


@pytest.mark.timeout(600)
def test_a_change_that_was_killed_at_any_request_is_finished_by_the_next(
    either: MilvusStore, sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "CHUNK_ROWS", 120)
    fill(either, sample.rows[:300])
    original = whole(either, NAME)
    steps = alias_plan(either, "scalar")
    cuts: list[str] = []
    while True:
        with killed_at(either, len(cuts) + 1) as seen:
            try:
                carry_out(either, steps)
                break
            except Killed:
                cuts.append(seen[-1])
        # Whatever was cut, the alias stands at whole data.
        assert either.count(NAME) == len(original)
        carry_out(either, steps)
        assert either.aliases().get(NAME) == SECOND
        assert same(whole(either, NAME), original)
        assert kind(either) == steps[0].request["becomes"]["indexes"]["vector"]["index_type"]
        assert status(either).state is not State.BUILDING
        take_back(either, steps)
        assert either.aliases().get(NAME) == FIRST
        assert (kind(either), same(whole(either, NAME), original)) == ("HNSW", True)
        assert SECOND in either.collections(), "the copy may hold newer rows: it stays"
        either.drop(SECOND)
    write = "insert" if either.connection.lite else "upsert"
    begun = ["create_collection", "create_index", "load_collection", write, write, write, "flush"]
    assert [name for name in cuts if name != "load_collection"] == [
        *(name for name in begun if name != "load_collection"),
        "alter_collection_properties",
        "alter_alias",
    ]
    carry_out(either, steps)
    assert same(whole(either, SECOND), original), "done twice is done once"
    assert not alias_plan(either, "scalar")


def test_taken_back_before_the_switch_the_half_copy_is_gone(
    either: MilvusStore, sample: Sample
) -> None:
    fill(either, sample.rows)
    steps = alias_plan(either, "scalar")
    with killed_at(either, 4), pytest.raises(Killed):
        carry_out(either, steps)
    assert SECOND in either.collections()
    take_back(either, steps)
    assert SECOND not in either.collections()
    assert {NAME, FIRST} <= set(either.collections())
    assert either.aliases().get(NAME) == FIRST


def test_searches_never_stop(server: MilvusStore, sample: Sample) -> None:
    fill(server, sample.rows)
    steps = alias_plan(server, "scalar")
    assert [str(step.symbol) for step in steps] == ["-/+"]
    assert not steps[0].needs_consent
    other, ended = MilvusStore.open(server.address), threading.Event()
    found: list[int] = []
    problems: list[Exception] = []

    def probe() -> None:
        while not ended.wait(0.05):
            try:
                ids = other.search(NAME, sample.queries[:1], Search(k=10)).ids[0].tolist()
                found.append(sum(key is not None for key in ids))
            except StoreError as error:
                problems.append(error)

    thread = threading.Thread(target=probe)
    thread.start()
    try:
        carry_out(server, steps)
    finally:
        ended.set()
        thread.join()
        other.close()
    assert problems == []
    assert len(found) > 20
    assert set(found) == {10}
    assert kind(server) == "IVF_SQ8"


def test_rows_written_meanwhile_are_found_by_their_keys(
    either: MilvusStore, sample: Sample
) -> None:
    fill(either, sample.rows)
    (step,) = alias_plan(either, "scalar")
    assert "replaced under its key" in step.reason
    extra = np.ones((3, 64), dtype=np.float32)

    def meanwhile(event: Progress) -> None:
        if event.stage.startswith("looking for rows"):
            either.write(FIRST, Batch([5, 9000, 9001], {"": extra}))
            either.delete(FIRST, [7])

    carry_out(either, [step], meanwhile)
    held = whole(either, NAME)
    assert set(held.ids) == set(range(2000)) - {7} | {9000, 9001}


def test_a_copy_that_differs_is_not_switched_to(
    either: MilvusStore, sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(either, sample.rows[:50])
    (step,) = alias_plan(either, "scalar")
    real = copying._changed
    monkeypatch.setattr(copying, "_changed", lambda *a: [{**r, "group": 9} for r in real(*a)])
    with pytest.raises(StoreError, match="alias was not switched"):
        carry_out(either, [step])
    assert either.aliases().get(NAME) == FIRST


def test_out_of_time_says_how_far_and_goes_on(either: MilvusStore, sample: Sample) -> None:
    fill(either, sample.rows)
    (step,) = alias_plan(either, "scalar")
    with pytest.raises(StoreTimeoutError, match="of 2,000 rows"):
        either.run(NAME, step.request, silent, 0)
    carry_out(either, [step])
    assert either.aliases().get(NAME) == SECOND


def test_a_collections_own_name_cannot_be_switched(either: MilvusStore) -> None:
    either.create(FIRST, {"": Vector(8)}, {})
    with pytest.raises(UnsupportedError, match="not an alias") as caught:
        either.alias_steps(either.info(FIRST), "", Quantization.parse("scalar"))
    assert "switch_alias" in str(caught.value.hint)


def test_somebody_elses_collection_is_not_taken_for_the_copy(either: MilvusStore) -> None:
    fill(either, np.eye(8, dtype=np.float32))
    (step,) = alias_plan(either, "scalar")
    either.create(SECOND, {"": Vector(8)}, {})
    with pytest.raises(StoreError, match="no copy"):
        carry_out(either, [step])
    assert either.aliases().get(NAME) == FIRST
    with pytest.raises(SpecError, match="form"):
        either.run(NAME, {**step.request, "form": 1}, silent, 5)


def test_another_metric_is_a_copy(either: MilvusStore, sample: Sample) -> None:
    fill(either, sample.rows, metric="euclidean")
    steps = either.recreate_steps(either.info(NAME), "", Vector(64, Metric.DOT))
    carry_out(either, steps)
    vector = either.info(NAME).vectors[""]
    assert (vector.metric.value, vector.index["metric_type"]) == ("dot", "IP")
    assert recall(either, sample.queries, sample.rows, "dot") > 0.95
    take_back(either, steps)
    assert either.info(NAME).vectors[""].metric.value == "euclidean"


def test_a_metric_is_planned_applied_and_undone_as_any_change(
    lite: MilvusStore, sample: Sample
) -> None:
    fill(lite, sample.rows)
    with qa.open(lite.address) as database:
        collection = database[NAME]
        with pytest.raises(UnsupportedError, match="plan of its own"):
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


def test_everything_else_of_the_collection_comes_along(server: MilvusStore) -> None:
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
    steps = server.alias_steps(server.info(NAME), "v", Quantization.parse("scalar"))
    assert "time to live" in steps[0].reason
    carry_out(server, steps)
    old, new = (client.describe_collection(name, timeout=10) for name in (FIRST, SECOND))
    for key in ("fields", "description", "enable_dynamic_field", "consistency_level_name"):
        clean = [
            [{k: v for k, v in each.items() if k != "field_id"} for each in told[key]]
            if key == "fields"
            else told[key]
            for told in (old, new)
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


def test_a_partition_key_comes_along(server: MilvusStore) -> None:
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
    carry_out(server, server.alias_steps(server.info(NAME), "v", Quantization.parse("scalar")))
    assert len(client.list_partitions(SECOND, timeout=10)) == 3
    for who in range(5):
        assert server.count(NAME, {"who": f"u{who}"}) == 6
    server.write(NAME, Batch([7, 30], {"v": np.ones((2, 4))}, [{"who": "u2"}, {"who": "u0"}]))
    assert [server.count(NAME, {"who": f"u{who}"}) for who in range(5)] == [7, 6, 6, 6, 6]
    with pytest.raises(UnsupportedError, match="partition key"):
        server.info(f"{NAME}@_default_0")


def test_auto_id_is_not_copied(either: MilvusStore) -> None:
    client = either.connection.client
    client.create_collection(FIRST, dimension=4, auto_id=True, metric_type="L2")
    either.switch_alias(NAME, FIRST)
    with pytest.raises(UnsupportedError, match="auto_id"):
        either.alias_steps(either.info(NAME), "vector", Quantization.parse("scalar"))


def test_dropping_by_an_alias_or_under_one_is_refused(either: MilvusStore) -> None:
    """2.3.5 leaves the alias pointing at nothing; Lite drops nothing by an alias, in silence."""
    fill(either, np.eye(8, dtype=np.float32))
    with pytest.raises(UnsupportedError, match="alias of"):
        either.drop(NAME)
    with pytest.raises(UnsupportedError, match="stands at it"):
        either.drop(FIRST)
    with pytest.raises(AlreadyExistsError):
        either.create(NAME, {"": Vector(8)}, {})
    assert either.count(NAME) == 8
    either.drop_alias(NAME)
    either.drop(FIRST)
    assert not {NAME, FIRST}.intersection(either.collections())
    with pytest.raises(NotFoundError):
        either.drop_alias(NAME)


def test_a_switch_behind_the_back_makes_a_plan_stale(either: MilvusStore) -> None:
    fill(either, np.eye(8, dtype=np.float32))
    before = either.info(NAME)
    assert before.config["alias_of"] == FIRST
    either.create(PLAIN, {"": Vector(8)}, {})
    either.switch_alias(NAME, PLAIN)
    assert either.info(NAME).fingerprint != before.fingerprint
    either.drop_alias(NAME)
    either.drop(PLAIN)


# -- floats in an ARRAY, with bits ---------------------------------------------------------------


def test_floats_in_an_array_from_the_start_where_bits_are_named(
    server: MilvusStore, sample: Sample
) -> None:
    if not server.connection.version.startswith("2.3"):
        pytest.skip("newer servers have bits as a second vector")
    for text, form in (("binary", "FLOAT_VECTOR"), (BITS, "ARRAY")):
        server.create(NAME, {"": Vector(64)}, {"": Quantization.parse(text)})
        server.write(NAME, Batch(range(500), {"": sample.rows[:500]}))
        info = server.info(NAME)
        types = {each["name"]: each["type"] for each in info.config["fields"]}
        assert types["vector"] == form
        assert info.vectors[""].quantization.kind is Kind.BINARY
        assert not plan(server, "binary")
        hits = server.search(NAME, sample.rows[:5], Search(k=1))
        assert hits.ids.ravel().tolist() == list(range(5))
        server.drop(NAME)


def test_floats_in_an_array_and_bits_by_a_copy_and_back(
    server: MilvusStore, sample: Sample
) -> None:
    if not server.connection.version.startswith("2.3"):
        pytest.skip("newer servers have bits as a second vector")
    fill(server, sample.rows)
    original = whole(server, NAME)
    there = alias_plan(server, "binary")
    carry_out(server, there)
    vector = server.info(NAME).vectors[""]
    assert (vector.quantization.kind, vector.status.state) == (Kind.BINARY, State.ACTIVE)
    assert same(whole(server, NAME), original)
    server.write(NAME, Batch([9000], {"": sample.queries[:1]}, [{"group": 3}]))
    hits = server.search(NAME, sample.queries[:1], Search(k=1))
    assert (hits.ids.tolist(), hits.how.scores) == ([[9000]], "approximate")
    hits = server.search(NAME, sample.queries[:3], Search(k=5, filter={"group": 3}))
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
