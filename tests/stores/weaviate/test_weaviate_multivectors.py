"""Multivectors on a live Weaviate: of other clients, in tenants, stored bit for bit."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable, Iterator

import numpy as np
import pytest

import qadapt as qa
from qadapt.api import Database
from qadapt.errors import DimensionError, InputError, UnsupportedError
from qadapt.model import CollectionSchema, ExtraVector, Metric, RaggedArray, Vector
from qadapt.model.ragged_arrays import from_multivectors
from qadapt.stores.base import ReadRequest, SearchRequest

pytest.importorskip("weaviate")

ROWS = [[[1.0, 2.0, 2.0], [3.0, 0.0, 4.0]], None, [[0.0, 0.0, 2.0]], [[-1e-3, 1e3, 0.1]]]
KEYS = [str(uuid.UUID(int=at)) for at in range(len(ROWS))]
TOKENS = ExtraVector("multi", 3, Metric.COSINE)


@pytest.fixture
def database(live: Callable[[str], str]) -> Iterator[Database]:
    """A server that other tests share."""
    with qa.open(live("weaviate")) as opened:
        yield opened


@pytest.fixture
def name(database: Database) -> Iterator[str]:
    """A unique name; the collection is dropped afterwards."""
    made = f"Multi_{secrets.token_hex(5)}"
    yield made
    if made in database.collections():
        database.drop(made)


def of_others(database: Database, name: str, *, tenants: bool = False) -> None:
    """A class created by REST, without a note of its dimensions."""
    vectors = {
        label: {"vectorIndexType": "hnsw", "vectorIndexConfig": config, "vectorizer": {"none": {}}}
        for label, config in {
            "dense": {"distance": "dot"},
            "tokens": {"distance": "cosine", "multivector": {"enabled": True}},
        }.items()
    }
    body = {"class": name, "vectorConfig": vectors, "multiTenancyConfig": {"enabled": tenants}}
    connection = database._store.connection  # type: ignore[attr-defined]
    connection.rest("POST", "/v1/schema", body, doing="make a class")
    if tenants:
        path = f"/v1/schema/{name}/tenants"
        connection.rest("POST", path, [{"name": "red"}], doing="make a tenant")


def batch(extras: dict[str, RaggedArray]) -> qa.Batch:
    return qa.Batch(KEYS, {"dense": np.ones((len(KEYS), 2))}, extras=extras)


@pytest.mark.parametrize("tenants", [False, True])
def test_multivectors_of_other_clients(database: Database, name: str, tenants: bool) -> None:
    """The dimension comes from the first row, and is unknown without rows."""
    of_others(database, name, tenants=tenants)
    store, label = database._store, f"{name}@red" if tenants else name
    assert store.collection_schema(label).extras["tokens"].dim is None
    store.write(label, batch({"tokens": from_multivectors(ROWS, 3)}))
    found = store.collection_schema(label).extras["tokens"]
    assert (found.kind, found.dim, found.metric) == ("multi", 3, Metric.COSINE)
    read = store.fetch(label, KEYS, vectors=["tokens"]).extras["tokens"]
    wanted = from_multivectors(ROWS, 3)
    assert read.values.tobytes() == wanted.values.tobytes()
    assert read.offsets.tolist() == wanted.offsets.tolist()
    assert read.absent().tolist() == [row is None for row in ROWS]
    (page,) = store.read(label, ReadRequest(vectors=["tokens", "dense"]))
    assert (set(page.vectors), set(page.extras)) == ({"dense"}, {"tokens"})
    assert set(next(iter(store.read(label))).vectors) == {"dense"}
    assert "other-vectors" not in store.uncopied(label)
    with pytest.raises(UnsupportedError, match="multivector"):
        store.search(label, np.ones((1, 3)), SearchRequest(k=1, vector="tokens"))


def test_settings_are_copied(database: Database, name: str) -> None:
    config = {
        "efConstruction": 64,
        "bq": {"enabled": True},
        "multivector": {"muvera": {"enabled": True, "ksim": 3, "dprojections": 8}},
    }
    asked = TOKENS.replace(native={"vectorIndexConfig": config})
    database._store.create(
        name, {"dense": Vector(2)}, {}, CollectionSchema(extras={"tokens": asked})
    )
    kept = database._store.collection_schema(name).extras["tokens"].native["vectorIndexConfig"]
    assert (kept["efConstruction"], kept["bq"]["enabled"]) == (64, True)
    assert kept["multivector"]["enabled"]
    assert kept["multivector"]["muvera"]["ksim"] == 3


def test_bad_rows_are_refused_before_anything_is_sent(database: Database, name: str) -> None:
    store = database._store
    store.create(name, {"dense": Vector(2, "dot")}, {}, CollectionSchema(extras={"tokens": TOKENS}))
    with pytest.raises(DimensionError):
        store.write(name, batch({"tokens": from_multivectors([[[1, 2]], None, None, None], 2)}))
    with pytest.raises(InputError, match="has no rows"):
        store.write(name, batch({"tokens": from_multivectors([[], None, None, None], 3)}))
    assert store.count(name) == 0
