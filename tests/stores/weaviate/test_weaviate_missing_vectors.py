"""Vectors that rows lack: found, read, copied and compared, or reported; on a live server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from weaviate_articles import Floats
from weaviate_helpers import keys, normal

import qadapt as qa
from qadapt import migration
from qadapt.api import Database
from qadapt.errors import UnsupportedError
from qadapt.local import client_codes
from qadapt.migration.text import plan_lines
from qadapt.model import Batch, UnknownDimension, Vector
from qadapt.stores.base import ReadRequest, SearchRequest
from qadapt.stores.weaviate import dimensions
from qadapt.stores.weaviate.store import WeaviateStore

A, B = 4, 6  # dimensions


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QADAPT_STATE_DIR", str(tmp_path / "state"))


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Database]:
    """A target in this process."""
    with qa.open(f"edge:{tmp_path / 'edge'}") as database:
        yield database


def made(
    store: WeaviateStore, name: str, vectors: Sequence[str] = ("a", "b"), **schema: Any
) -> str:
    """A collection of another client, without a note of its dimensions."""
    index = {
        "vectorIndexType": "hnsw",
        "vectorIndexConfig": {"distance": "l2-squared"},
        "vectorizer": {"none": {}},
    }
    body = {"class": name, "vectorConfig": dict.fromkeys(vectors, index), **schema}
    store.connection.rest("POST", "/v1/schema", body, doing="create")
    return name


def put(
    store: WeaviateStore, place: str, count: int, having: Mapping[int, int] | None = None
) -> tuple[Floats, dict[int, Floats]]:
    """Rows 0..count-1 with ``a``, some of them with ``b`` of the given dimensions."""
    name, _, tenant = place.partition("@")
    rows = normal(count, A)
    found = {row: normal(1, dim, seed=row)[0] for row, dim in (having or {}).items()}
    objects = [
        {
            "class": name,
            "id": keys(1, row)[0],
            **({"tenant": tenant} if tenant else {}),
            "vectors": {
                "a": rows[row].tolist(),
                **({"b": found[row].tolist()} if row in found else {}),
            },
        }
        for row in range(count)
    ]
    body = {"objects": objects}
    answer = store.connection.rest("POST", "/v1/batch/objects", body, doing="write")
    assert not [each["result"]["errors"] for each in answer if each["result"].get("errors")]
    return rows, found


def again(store: WeaviateStore) -> WeaviateStore:
    """Another store on the same server, with an empty cache."""
    return WeaviateStore(store.address, store.connection)


def test_a_vector_missing_in_the_first_rows_is_found_read_and_searched(
    store: WeaviateStore, name: str
) -> None:
    made(store, name)
    _, found = put(store, name, 300, {200: B, 299: B})
    vectors = store.info(name).vectors
    assert {each: info.vector for each, info in vectors.items()} == {
        "a": Vector(A, "euclidean"),
        "b": Vector(B, "euclidean"),
    }
    assert not store.info(name).unknown_dimensions
    batch = Batch.concat(list(again(store).read(name, ReadRequest(page=50))))
    assert np.flatnonzero(~batch.missing["b"]).tolist() == [200, 299]
    assert batch.vectors["b"][299].tobytes() == found[299].tobytes()
    for search in (SearchRequest(k=1, vector="b"), SearchRequest(k=1, vector="b", exact=True)):
        hits = again(store).search(name, found[200][None], search)
        assert hits.ids.tolist() == [keys(1, 200)]
    with pytest.raises(qa.errors.DimensionError):
        again(store).search(name, np.ones((1, B + 1)), SearchRequest(k=1, vector="b"))


def test_rows_without_the_unnamed_vector(store: WeaviateStore, name: str) -> None:
    """For example, rows of a collection whose module did not run."""
    body = {"class": name, "vectorizer": "none"}
    store.connection.rest("POST", "/v1/schema", body, doing="create")
    objects: list[dict[str, Any]] = [{"class": name, "id": key} for key in keys(120)]
    objects[100]["vector"] = [1.0, 2.0, 2.0]
    store.connection.rest("POST", "/v1/batch/objects", {"objects": objects}, doing="write")
    assert store.info(name).vectors[""].dim == 3
    (page,) = again(store).read(name)
    assert np.flatnonzero(~page.missing[""]).tolist() == [100]


def test_an_inspection_reads_a_limited_number_of_rows_and_a_copy_all(
    store: WeaviateStore, name: str, edge: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dimensions, "SOME", 64)
    made(store, name)
    put(store, name, 400, {200: B})
    # Ids spread over the range are read, not only the first ones.
    assert store.info(name).vectors["b"].dim == B
    put(store, name, 400, {1: B})  # an upsert: row 200 no longer has one
    info = store.info(name)
    assert info.vectors["b"].dim == B
    put(store, name, 400, {333: B})
    info = store.info(name)
    assert set(info.vectors) == {"a"}
    assert info.unknown_dimensions["b"].rows_read < 400
    assert not info.unknown_dimensions["b"].complete
    done = migration.migrate((Database(store), name), (edge, "copy"))
    assert done.state == "done"
    batch = edge["copy"].fetch(keys(400))
    assert np.flatnonzero(~batch.missing["b"]).tolist() == [333]
    assert store.info(name).vectors["b"].dim == B, "dimensions found by the copy are cached"
    put(store, name, 400)
    assert set(store.info(name).vectors) == {"a"}, "cached rows are read again"


def test_an_empty_vector_is_reported_and_does_not_stop_a_copy(
    store: WeaviateStore, name: str, edge: Database
) -> None:
    made(store, name)
    put(store, name, 30)
    assert store.info(name).unknown_dimensions == {
        "b": UnknownDimension(rows_read=30, complete=True)
    }
    plan = migration.plan_migration((Database(store), name), (edge, "copy"))
    assert plan.losses == ()
    reported = " ".join(value for _, value in plan_lines(plan))
    assert "'b' is empty (none of 30 rows has it)" in reported
    assert migration.migrate((Database(store), name), (edge, "copy")).state == "done"


def test_an_empty_collection(store: WeaviateStore, name: str) -> None:
    made(store, name)
    assert store.info(name).unknown_dimensions == dict.fromkeys(
        "ab", UnknownDimension(rows_read=0, complete=True)
    )


def test_tenants_whose_first_one_lacks_the_vector(
    store: WeaviateStore, name: str, edge: Database
) -> None:
    made(store, name, multiTenancyConfig={"enabled": True})
    path = f"/v1/schema/{name}/tenants"
    tenants = [{"name": each} for each in ("blue", "green", "red")]
    store.connection.rest("POST", path, tenants, doing="add tenants")
    put(store, f"{name}@blue", 20)
    put(store, f"{name}@red", 20, {19: B})
    assert store.info(name).vectors["b"].dim == B
    assert store.info(f"{name}@red").vectors["b"].dim == B
    assert store.info(f"{name}@blue").unknown_dimensions == {
        "b": UnknownDimension(rows_read=20, complete=True)
    }
    assert store.info(f"{name}@green").unknown_dimensions.keys() == {"a", "b"}
    pages = list(again(store).read(name))
    assert sum(int((~page.missing.get("b", np.zeros(20, bool))).sum()) for page in pages) == 1
    done = migration.migrate((Database(store), f"{name}@red"), (edge, "copy"))
    assert done.state == "done"
    assert np.flatnonzero(~edge["copy"].fetch(keys(20)).missing["b"]).tolist() == [19]


def test_a_multivector_that_the_first_rows_lack(store: WeaviateStore, name: str) -> None:
    made(store, name, ("a",))
    raw = store.connection.rest("GET", f"/v1/schema/{name}", doing="read")
    many = {"distance": "cosine", "multivector": {"enabled": True}}
    raw["vectorConfig"]["many"] = {
        "vectorIndexType": "hnsw",
        "vectorIndexConfig": many,
        "vectorizer": {"none": {}},
    }
    store.connection.rest("PUT", f"/v1/schema/{name}", raw, doing="add")
    put(store, name, 150)
    assert store.collection_schema(name).extras["many"].dim is None
    body = {"class": name, "id": keys(1, 149)[0], "vectors": {"a": [1.0] * A, "many": [[1.0] * 5]}}
    store.connection.rest("PUT", f"/v1/objects/{name}/{keys(1, 149)[0]}", body, doing="write")
    assert store.collection_schema(name).extras["many"].dim == 5


def test_client_codes_are_refused_when_they_are_planned(
    store: WeaviateStore, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(store, name)
    put(store, name, 100, dict.fromkeys(range(100), B))
    with qa.open(store.address, disabled=["native-quantization"]) as database:
        articles = database[name]
        assert articles.plan("binary", vector="b", accept="client").changes
        put(store, name, 100, dict.fromkeys(range(99), B))
        with pytest.raises(UnsupportedError, match=r"at least 1 row has no vector 'b'"):
            articles.plan("binary", vector="b", accept="client")
        monkeypatch.setattr(client_codes, "SOME_ROWS", 64)  # in parts of the range of ids
        put(store, name, 100, dict.fromkeys(range(50), B))
        with pytest.raises(UnsupportedError, match="no vector 'b'"):
            articles.plan("binary", vector="b", accept="client")


# -- a check ---------------------------------------------------------------------------------------


def test_a_check_finds_rows_that_lack_a_vector_in_the_target(
    store: WeaviateStore, name: str, edge: Database
) -> None:
    made(store, name)
    put(store, name, 40, {7: B, 8: B})
    there = (Database(store), name)
    migration.migrate(there, (edge, "copy"))
    assert migration.check(there, (edge, "copy")).passed
    batch = edge["copy"].fetch(keys(40))
    gaps = batch.missing["b"].copy()
    gaps[7] = True
    edge["copy"].write(Batch(batch.ids, batch.vectors, None, {"b": gaps}))
    found = migration.check(there, (edge, "copy"))
    assert not found.passed
    assert [(each.id, each.kind) for each in found.differences] == [(keys(1, 7)[0], "vector 'b'")]
    assert "missing in the target" in found.differences[0].detail


def test_a_check_against_a_target_in_which_no_row_has_the_vector(
    store: WeaviateStore, name: str
) -> None:
    one, other = made(store, f"{name}One"), made(store, f"{name}Two")
    put(store, one, 40, {7: B})
    put(store, other, 40)
    found = migration.check((Database(store), one), (Database(store), other))
    assert not found.passed
    assert (found.differences[0].id, found.differences[0].kind) == (keys(1, 7)[0], "vector 'b'")
    put(store, other, 40, {7: B + 1})
    with pytest.raises(UnsupportedError, match="6 dimensions"):
        migration.check((Database(store), one), (Database(store), other))


def test_a_vector_added_after_the_plan_fails_the_check(
    store: WeaviateStore, name: str, edge: Database
) -> None:
    made(store, name)
    put(store, name, 40)
    there = (Database(store), name)
    plan = migration.plan_migration(there, (edge, "copy"))
    put(store, name, 40, {11: B})
    done = migration.migrate(there, (edge, "copy"), plan=replace(plan))
    assert done.state == "check failed"
    assert done.check is not None
    (reported,) = done.check.differences
    assert (reported.id, reported.kind) == (keys(1, 11)[0], "vector 'b'")
    assert "not copied" in reported.detail
