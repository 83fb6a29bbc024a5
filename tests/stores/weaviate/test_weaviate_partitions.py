"""``NAME@TENANT`` addresses one tenant on a live Weaviate; ``NAME`` all of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from weaviate_articles import Floats, reason, state
from weaviate_helpers import foreign, keys, normal, number

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.errors import InputError, NotFoundError, StoreError, UnsupportedError
from qadapt.model import Batch, CollectionSchema, Vector
from qadapt.stores.base import ReadRequest, SearchRequest
from qadapt.stores.weaviate.store import WeaviateStore

SIZES = {"red": 30, "blue": 20}


@pytest.fixture
def shared(store: WeaviateStore, name: str) -> str:
    """Another client's collection with the tenants red, blue and cold, which is inactive."""
    foreign(store, name, multiTenancyConfig={"enabled": True})
    tenants = [{"name": each} for each in (*SIZES, "cold")]
    path = f"/v1/schema/{name}/tenants"
    store.connection.rest("POST", path, tenants, doing="add tenants")
    for tenant, size in SIZES.items():
        batch = Batch(keys(size), {"": normal(size, seed=size)}, [{"of": tenant}] * size)
        store.write(f"{name}@{tenant}", batch)
    cold = [{"name": "cold", "activityStatus": "COLD"}]
    store.connection.rest("PUT", path, cold, doing="rest a tenant")
    return name


def test_a_tenant_is_addressed_as_a_collection(
    store: WeaviateStore, shared: str, live: Callable[[str], str]
) -> None:
    for tenant, size in SIZES.items():
        place = f"{shared}@{tenant}"
        rows = normal(size, seed=size)
        assert store.count(place) == size
        (page,) = store.read(place)
        assert page.vectors[""].tobytes() == rows.tobytes()
        assert page.payloads == [{"of": tenant}] * size
        hits = store.search(place, rows[:3], SearchRequest(k=1, exact=True, with_payload=True))
        assert hits.payloads is not None
        assert hits.payloads[0] == [{"of": tenant}]
        assert store.search(place, rows[:3], SearchRequest(k=1)).ids.tolist() == hits.ids.tolist()
        assert store.info(place).count == size
        assert store.fetch(place, keys(2)).ids == keys(2)
    store.delete(f"{shared}@red", keys(5))
    assert (store.count(f"{shared}@red"), store.count(f"{shared}@blue")) == (25, 20)
    with qa.open(live("weaviate")) as database:
        collection = database[f"{shared}@blue"]
        assert collection.count() == 20
        hits = collection.search(normal(1, seed=20), k=1)
        assert hits.ids.shape == (1, 1)
        with pytest.raises(NotFoundError):
            database[f"{shared}@green"]


def test_reads_without_a_tenant_cover_all_active_tenants(store: WeaviateStore, shared: str) -> None:
    assert store.count(shared) == store.info(shared).count == 50
    pages = list(store.read(shared))
    assert [len(page) for page in pages] == [20, 30]  # blue, red
    parts = store.scan_ranges(shared, 2)
    assert parts == [{"tenant": "blue"}, {"tenant": "red"}]
    sizes = [
        sum(map(len, store.read(shared, ReadRequest(scan_range=scan_range))))
        for scan_range in parts
    ]
    assert sizes == [20, 30]
    rest = store.read(shared, ReadRequest(scan_range=parts[1], after=keys(1, 9)[0]))
    assert [number(key) for page in rest for key in page.ids] == list(range(10, 30))
    with pytest.raises(InputError, match="has tenants"):
        list(store.read(shared, ReadRequest(after=keys(1)[0])))


def test_without_a_tenant_writes_and_searches_are_refused(
    store: WeaviateStore, shared: str
) -> None:
    batch = Batch(keys(1), {"": normal(1)})
    for attempt in (
        lambda: store.write(shared, batch),
        lambda: store.search(shared, normal(1), SearchRequest(k=1)),
        lambda: store.delete(shared, keys(1)),
    ):
        with pytest.raises(InputError, match="name the tenant") as caught:
            attempt()
        assert f"{shared}@TENANT" in str(caught.value.hint)
    with pytest.raises(InputError, match="two tenants"):
        store.fetch(shared, keys(1))
    assert store.count(shared) == 50


def test_inactive_and_missing_tenants_are_refused(store: WeaviateStore, shared: str) -> None:
    for attempt in (
        lambda: store.count(f"{shared}@cold"),
        lambda: list(store.read(f"{shared}@cold")),
        lambda: store.write(f"{shared}@cold", Batch(keys(1), {"": normal(1)})),
        lambda: store.search(f"{shared}@cold", normal(1), SearchRequest(k=1)),
    ):
        with pytest.raises(StoreError, match="not active") as caught:
            attempt()
        assert "activate" in str(caught.value.hint)
    for attempt in (
        lambda: store.count(f"{shared}@green"),
        lambda: store.write(f"{shared}@green", Batch(keys(1), {"": normal(1)})),
        lambda: store.search(f"{shared}@green", normal(1), SearchRequest(k=1)),
        lambda: store.drop(f"{shared}@green"),
    ):
        with pytest.raises(NotFoundError, match="green"):
            attempt()
    for odd in ("", "a b", "a/b", "\ud800", "a@b", "x" * 65):
        with pytest.raises(InputError, match="after '@'"):
            store.write(f"{shared}@{odd}", Batch(keys(1), {"": normal(1)}))


def test_a_tenant_of_a_collection_without_tenants_is_refused(
    store: WeaviateStore, name: str
) -> None:
    foreign(store, name)
    with pytest.raises(InputError, match="has no tenants"):
        store.count(f"{name}@red")
    with pytest.raises(InputError, match="has no tenants"):
        store.write(f"{name}@red", Batch(keys(1), {"": normal(1)}))


def test_dropping_a_tenant_keeps_the_others(store: WeaviateStore, shared: str) -> None:
    store.drop(f"{shared}@red")
    assert store.count(shared) == 20
    assert not store.has(f"{shared}@red")
    assert store.has(f"{shared}@blue")


@pytest.mark.timeout(300)
def test_inactive_tenants_are_reported_and_not_changed(
    store: WeaviateStore, name: str, docs: Floats
) -> None:
    connection = store.connection
    body = {
        "class": name,
        "vectorizer": "none",
        "vectorIndexConfig": {"distance": "cosine"},
        "multiTenancyConfig": {"enabled": True},
    }
    connection.rest("POST", "/v1/schema", body, doing="create")
    tenants = [{"name": "warm"}, {"name": "cold"}, {"name": "empty"}]
    connection.rest("POST", f"/v1/schema/{name}/tenants", tenants, doing="make tenants")
    database = Database(store)
    for tenant in ("warm", "cold"):
        objects = [
            {"class": name, "tenant": tenant, "id": key, "vector": row.tolist()}
            for key, row in zip(keys(400), docs[:400], strict=True)
        ]
        connection.rest("POST", "/v1/batch/objects", {"objects": objects}, doing="write")
    off = [{"name": "cold", "activityStatus": "COLD"}]
    connection.rest("PUT", f"/v1/schema/{name}/tenants", off, doing="rest")
    collection = database[name]
    assert collection.info().count == 400
    with pytest.raises(UnsupportedError, match="applies to the whole collection"):
        Collection(store, f"{name}@warm").plan("scalar")
    plan = collection.plan("product:segments=32")
    assert "1 of 3 tenants are not active and do not change" in plan.steps[0].reason
    plan.apply(yes=True)
    assert state(collection) is qa.State.ACTIVE
    assert "1 of 3 tenants are not active, and neither verified nor changed: cold" in reason(
        collection
    )
    with pytest.raises(UnsupportedError):
        collection.plan("binary")

    on = [{"name": "cold", "activityStatus": "HOT"}]
    connection.rest("PUT", f"/v1/schema/{name}/tenants", on, doing="wake")
    assert collection.info().count == 800
    assert state(collection) is qa.State.IGNORED
    assert "1 of 3 shards have no codes: cold" in reason(collection)
    collection.plan("product:segments=32").apply(yes=True)
    assert state(collection) is qa.State.ACTIVE

    database.switch_alias(f"{name}_alias", name)
    behind = database[f"{name}_alias"]
    change = behind.plan("binary").apply(yes=True)
    assert behind.info().count == 800, "all tenants are copied"
    assert state(behind) is qa.State.ACTIVE
    change.undo()
    connection.rest("PUT", f"/v1/schema/{name}/tenants", off, doing="rest")
    with pytest.raises(UnsupportedError, match="would miss them: cold"):
        behind.plan("binary")


def test_a_collection_is_created_with_tenants(store: WeaviateStore, shared: str, name: str) -> None:
    made = f"{name}_made"
    store.create(
        made, {"": Vector(4)}, {}, CollectionSchema(partitions=("red",), is_partitioned=True)
    )
    store.create_partitions(made, ["red", "blue"])
    assert store.collection_schema(made).replace(schema={}) == CollectionSchema(
        partitions=("blue", "red"), is_partitioned=True
    )
    assert store.collection_schema(f"{made}@red").replace(schema={}) == CollectionSchema()
    for tenant in ("red", "blue"):
        batch = Batch(keys(1), {"": np.ones((1, 4), dtype=np.float32)}, [{"of": tenant}])
        store.write(f"{made}@{tenant}", batch)
    assert (store.count(made), store.info(made).vectors[""].dim) == (2, 4)
    store.drop(made)
    found = store.collection_schema(shared)
    assert (set(found.partitions), found.inactive_partitions) == (set(SIZES), ("cold",))
    plain = f"{name}_plain"
    store.create(plain, {"": Vector(4)}, {})
    assert store.collection_schema(plain).replace(schema={}) == CollectionSchema()
    with pytest.raises(UnsupportedError, match="is not multi-tenant"):
        store.create_partitions(plain, ["red"])
    store.drop(plain)
    assert (
        store.unsupported_schema(
            CollectionSchema(partitions=("a-b", "_", "9"), is_partitioned=True)
        )
        == {}
    )
    for odd in ("a b", "", "é", "x" * 65):
        reported = store.unsupported_schema(
            CollectionSchema(partitions=("red", odd), is_partitioned=True)
        )
        assert "at most 64" in reported["partitions"]
    assert "partitions" in store.unsupported_schema(
        CollectionSchema(is_partitioned=True, partition_key="topic")
    )
