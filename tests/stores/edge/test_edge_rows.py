"""Writing and reading rows: ids, payloads, vectors, and invalid input."""

from __future__ import annotations

import math
import uuid
from typing import Any

import numpy as np
import pytest
from edge_helpers import fill, same_rows

from qadapt.errors import (
    DimensionError,
    InputError,
    NonFiniteError,
    NotFoundError,
    SpecError,
    UnsupportedError,
    ZeroVectorError,
)
from qadapt.model import Batch, Id, Vector
from qadapt.stores.base import ReadRequest, SearchRequest
from qadapt.stores.qdrant.edge.store import EdgeStore

RNG = np.random.default_rng(0)
DOT = {"": Vector(4, "dot")}  # type: ignore[arg-type]


def rows(count: int, dim: int = 4) -> Any:
    return RNG.standard_normal((count, dim)).astype(np.float32)


def test_rows_are_stored_bit_for_bit(store: EdgeStore) -> None:
    vectors = rows(10_000, 16)
    vectors[0] = [1e-40, -0.0, 1e18, 1e-45] * 4
    batch = Batch(list(range(10_000)), {"": vectors}, [{"at": at} for at in range(10_000)])
    fill(store, batch, {"": Vector(16, "euclidean")})  # type: ignore[arg-type]
    same_rows(store, batch)
    assert store.count("c") == 10_000
    pages = [
        len(page) for page in store.read("c", ReadRequest(page=3_000, vectors=(), payload=False))
    ]
    assert pages == [3000, 3000, 3000, 1000]
    only = next(store.read("c", ReadRequest(vectors=(), payload=False)))
    assert not only.vectors and only.payloads is None
    assert [page.ids for page in store.read("c", ReadRequest(filter={"at": [7, 9_999]}))] == [
        [7, 9_999]
    ]


def test_engine_normalizes_cosine_vectors(store: EdgeStore) -> None:
    vectors = rows(50)
    fill(store, Batch(list(range(50)), {"": vectors}))
    found = Batch.concat(list(store.read("c"))).vectors[""]
    np.testing.assert_allclose(found, vectors / np.linalg.norm(vectors, axis=1)[:, None], atol=1e-6)


def test_integer_and_uuid_ids_are_accepted(store: EdgeStore) -> None:
    wanted: list[Id] = [0, 2**64 - 1, 5, *(str(uuid.uuid4()) for _ in range(3))]
    vectors = rows(6)
    fill(store, Batch(wanted, {"": vectors}, [{"at": at} for at in range(6)]), DOT)
    assert set(Batch.concat(list(store.read("c", ReadRequest(page=2)))).ids) == set(wanted)
    asked: list[Id] = [wanted[4], "no-such-id", 77, wanted[1], wanted[4], str(uuid.uuid4())]
    found = store.fetch("c", asked)
    assert found.ids == [wanted[4], wanted[1]]
    np.testing.assert_array_equal(found.vectors[""], vectors[[4, 1]])
    assert found.payloads == [{"at": 4}, {"at": 1}]
    store.delete("c", [wanted[4], 0, 123_456, "no-such-id"])
    assert set(Batch.concat(list(store.read("c"))).ids) == set(wanted) - {wanted[4], 0}


def test_uuids_are_canonical(store: EdgeStore) -> None:
    key = uuid.uuid4()
    for spelling in (str(key).upper(), key.hex, f"{{{key}}}", key.urn):
        store.create("c", DOT, {})
        store.write("c", Batch([spelling], {"": rows(1)}))
        assert next(store.read("c")).ids == [str(key)]
        assert store.fetch("c", [spelling]).ids == [str(key)]
        store.delete("c", [spelling])
        assert store.count("c") == 0
        store.drop("c")


@pytest.mark.parametrize(
    "ids", [[-1], [2**64], ["abc"], ["12"], [str(uuid.UUID(int=7)), uuid.UUID(int=7).hex]]
)
def test_invalid_ids_are_rejected(store: EdgeStore, ids: list[Any]) -> None:
    store.create("c", DOT, {})
    with pytest.raises(InputError):
        store.write("c", Batch([1, *ids], {"": rows(1 + len(ids))}))
    assert store.count("c") == 0


def test_payloads_are_stored_unchanged(store: EdgeStore) -> None:
    payload = {
        "text": "Ä\U0001f600\n\0",
        "whole": [0, -(2**63), 2**64 - 1],
        "float": [0.1 + 0.2, 1e308, 5e-324, 1.0],
        "deep": {"a": [{"b": None}, True, []]},
        "": {},
    }
    fill(store, Batch([1, 2], {"": rows(2)}, [payload, {}]), DOT)
    assert store.fetch("c", [1, 2]).payloads == [payload, {}]
    store.write("c", Batch([3], {"": rows(1)}))
    assert store.fetch("c", [3]).payloads == [{}]


@pytest.mark.parametrize(
    ("payload", "word"),
    [
        ({"a": math.nan}, "a is nan"),
        ({"a": [1, math.inf]}, r"a\[1\] is inf"),
        ({"a": {"b": 2**64}}, "a.b is the number 18446744073709551616"),
        ({"a": -(2**63) - 1}, "64 bits"),
        ({"a": b"x"}, "bytes"),
        ({"a": {1}}, "set"),
        ({"a": np.zeros(2)}, "ndarray"),
        ({"a": {1: 2}}, "the key 1"),
        ({1: 2}, "the key 1"),
        ({"a": "\ud800"}, "surrogate"),
        ("text", "str"),
    ],
)
def test_payloads_that_are_not_json_are_rejected(store: EdgeStore, payload: Any, word: str) -> None:
    store.create("c", DOT, {})
    with pytest.raises(InputError, match=f"row 1.*{word}"):
        store.write("c", Batch([0, 1], {"": rows(2)}, [{}, payload]))
    assert store.count("c") == 0


def test_recursive_payload_is_rejected(store: EdgeStore) -> None:
    endless: dict[str, Any] = {}
    endless["a"] = endless
    store.create("c", DOT, {})
    with pytest.raises(InputError, match="nested deeper"):
        store.write("c", Batch([0], {"": rows(1)}, [endless]))


def test_invalid_vectors_are_rejected(store: EdgeStore) -> None:
    store.create("c", {"": Vector(4), "small": Vector(4, datatype="uint8")}, {})
    wrong: list[tuple[type[Exception], dict[str, Any]]] = [
        (NonFiniteError, {"": [[1, 2, 3, 4], [1, math.nan, 3, 4]]}),
        (NonFiniteError, {"": [[1, 2, 3, 4], [1, math.inf, 3, 4]]}),
        (ZeroVectorError, {"": [[1, 2, 3, 4], [0, 0, 0, 0]]}),
        (DimensionError, {"": [[1, 2, 3], [1, 2, 3]]}),
        (SpecError, {"title": [[1, 2, 3, 4], [1, 2, 3, 4]]}),
        (InputError, {"small": [[1, 2, 3, 4], [1, 2, 3, 256]]}),
        (InputError, {"small": [[1, 2, 3, 4], [1, 2, 3, 4.5]]}),
        (InputError, {"small": [[1, 2, 3, 4], [1, 2, 3, -1]]}),
    ]
    for error, vectors in wrong:
        with pytest.raises(error):
            store.write("c", Batch([0, 1], vectors))
    assert store.count("c") == 0
    store.write("c", Batch([0], {"small": [[0, 1, 254, 255]]}))
    assert store.fetch("c", [0]).vectors["small"].tolist() == [[0, 1, 254, 255]]


def test_rows_may_lack_a_vector(store: EdgeStore) -> None:
    vectors = {"": Vector(4, "dot"), "title": Vector(2, "dot")}  # type: ignore[arg-type]
    a, b = rows(4), rows(4, 2)
    a[2], b[1], b[2] = 0, 0, 0
    missing = {"": np.array([0, 0, 1, 0], bool), "title": np.array([0, 1, 1, 0], bool)}
    fill(store, Batch([0, 1, 2, 3], {"": a, "title": b}, None, missing), vectors)
    found = next(store.read("c"))
    assert {name: mask.tolist() for name, mask in found.missing.items()} == {
        name: mask.tolist() for name, mask in missing.items()
    }
    np.testing.assert_array_equal(found.vectors[""], a)
    np.testing.assert_array_equal(found.vectors["title"], b)
    infos = store.info("c").vectors
    assert (store.count("c"), infos[""].count, infos["title"].count) == (4, 3, 2)
    one = store.fetch("c", [3, 0], vectors=["title"])
    assert list(one.vectors) == ["title"]
    assert not one.missing
    store.write("c", Batch([4], {}, [{"only": "payload"}]))
    assert store.fetch("c", [4]).missing["title"].tolist() == [True]


def test_upsert_replaces_a_row(store: EdgeStore) -> None:
    fill(store, Batch([1, 2], {"": rows(2)}, [{"a": 1}, {"a": 2}]), DOT)
    new = rows(1)
    store.write("c", Batch([2], {"": new}, [{"b": 3}]))
    assert store.count("c") == 2
    found = store.fetch("c", [2])
    np.testing.assert_array_equal(found.vectors[""], new)
    assert found.payloads == [{"b": 3}]


def test_empty_batches_are_accepted(store: EdgeStore) -> None:
    store.create("c", DOT, {})
    store.write("c", Batch([], {"": np.zeros((0, 4))}))
    store.delete("c", [])
    assert list(store.read("c")) == []
    assert store.fetch("c", []).ids == []
    assert store.count("c", {"a": 1}) == 0


def test_unknown_names_are_rejected(store: EdgeStore) -> None:
    store.create("c", {"title": Vector(4)}, {})
    for call in (
        lambda: store.read("c", ReadRequest(vectors=["titel"])),
        lambda: store.fetch("c", [1], vectors=[""]),
        lambda: store.read("d"),
        lambda: store.count("d"),
        lambda: store.write("d", Batch([1], {"": rows(1)})),
    ):
        with pytest.raises(NotFoundError):
            call()
    with pytest.raises(InputError):
        store.read("c", ReadRequest(page=0))


def test_unsupported_vectors_are_reported(store: EdgeStore) -> None:
    """A shard of another program: they are listed in the configuration and not changed."""
    import qdrant_edge as edge

    store.create("d", DOT, {})
    folder = store.address.path / "c"
    folder.mkdir()
    many = edge.MultiVectorConfig(comparator=edge.MultiVectorComparator.MaxSim)
    params = {
        "plain": edge.EdgeVectorParams(size=4, distance=edge.Distance.Dot),
        "city": edge.EdgeVectorParams(size=4, distance=edge.Distance.Manhattan),
        "many": edge.EdgeVectorParams(size=4, distance=edge.Distance.Dot, multivector_config=many),
    }
    sparse = {"words": edge.EdgeSparseVectorParams()}
    edge.EdgeShard.create(str(folder), edge.EdgeConfig(params, sparse)).close()
    info = store.info("c")
    assert list(info.vectors) == ["plain"]
    assert set(info.config["vectors"]) == {"plain", "city", "many"}
    store.write("c", Batch([1], {"plain": rows(1)}))
    assert list(next(store.read("c")).vectors) == ["plain"]
    with pytest.raises(UnsupportedError, match="Manhattan"):
        store.read("c", ReadRequest(vectors=["city"]))
    assert store.uncopied("c") == {"other-metrics": "city"}
    # Multivectors and sparse vectors are read by name only.
    assert set(next(store.read("c", ReadRequest(vectors=["many", "words"]))).extras) == {
        "many",
        "words",
    }
    for name, word in (("many", "multivector"), ("words", "sparse")):
        with pytest.raises(UnsupportedError, match=word):
            store.search("c", rows(1), SearchRequest(k=1, vector=name))
