"""Contract tests of sparse vectors and multivectors: requests to a server, and parsed responses.

``test_migration_extra_vectors`` shows in local mode that the client's models accept them.
"""

from __future__ import annotations

import numpy as np
import pytest
from qdrant_helpers import Replay, info_of, ok, serve

import qadapt as qa
from qadapt.errors import InputError, StoreError
from qadapt.model import CollectionSchema, ExtraVector, Metric, RaggedArray, Vector
from qadapt.model.ragged_arrays import from_multivectors, from_sparse
from qadapt.stores.base import ReadRequest

WORDS = ExtraVector("sparse", datatype="float16", native={"modifier": "idf", "on_disk": True})
CODES = {"scalar": {"type": "int8"}}
TOKENS = ExtraVector(
    "multi", 2, Metric.COSINE, "float16", {"quantization_config": CODES, "memory": "cold"}
)
MANY = {
    "size": 2,
    "distance": "Cosine",
    "multivector_config": {"comparator": "max_sim"},
    "quantization_config": CODES,
    "datatype": "float16",
}
SPARSE = {"modifier": "idf", "index": {"on_disk": True, "datatype": "float16"}}
DENSE = {"size": 4, "distance": "Dot"}
BESIDE = CollectionSchema(extras={"tokens": TOKENS, "words": WORDS})


def test_request_body_of_create() -> None:
    """``memory`` is known from 1.19: an older server would silently drop it."""
    server = Replay("1.16.3").on("PUT", "/collections/t", ok(True))
    kept = info_of({"d": DENSE, "tokens": MANY}, params={"sparse_vectors": {"words": SPARSE}})
    server.on("GET", "/collections/t", ok(kept))
    server.store().create("t", {"d": Vector(4, "dot")}, {}, BESIDE)
    assert server.bodies("PUT", "/collections/t") == [
        {"vectors": {"d": DENSE, "tokens": MANY}, "sparse_vectors": {"words": SPARSE}}
    ]
    assert [method for method, _, _ in server.writes()] == ["PUT"]


def test_an_unnamed_dense_vector_with_sparse_vectors() -> None:
    server = Replay("1.16.3").on("PUT", "/collections/t", ok(True))
    kept = info_of(DENSE, params={"sparse_vectors": {"words": SPARSE}})
    server.on("GET", "/collections/t", ok(kept))
    server.store().create(
        "t", {"": Vector(4, "dot")}, {}, CollectionSchema(extras={"words": WORDS})
    )
    assert server.bodies("PUT", "/collections/t")[0]["vectors"] == DENSE


@pytest.mark.parametrize("lost", ["modifier", "tokens"])
def test_a_setting_dropped_by_the_server_is_an_error(lost: str) -> None:
    server = Replay("1.16.3").on("PUT", "/collections/t", ok(True))
    server.on("DELETE", "/collections/t", ok(True))
    sparse = {key: value for key, value in SPARSE.items() if key != lost}
    vectors = {name: each for name, each in {"d": DENSE, "tokens": MANY}.items() if name != lost}
    server.on(
        "GET", "/collections/t", ok(info_of(vectors, params={"sparse_vectors": {"words": sparse}}))
    )
    with pytest.raises(StoreError, match=lost):
        server.store().create("t", {"d": Vector(4, "dot")}, {}, BESIDE)
    assert [method for method, _, _ in server.writes()] == ["PUT", "DELETE"]


def test_a_schema_read_from_a_server_creates_the_same_schema() -> None:
    info = info_of(
        {"d": DENSE, "tokens": {**MANY, "quantization_config": None}},
        CODES,
        params={"sparse_vectors": {"words": SPARSE}},
    )
    store = serve(info).store()
    wanted = {"multivector_config": {"comparator": "max_sim"}, "quantization_config": CODES}
    assert store.collection_schema("articles").extras == {
        "tokens": TOKENS.replace(native=wanted),
        "words": WORDS,
    }
    assert store.uncopied("articles") == {}


def test_rows_are_sent_and_read() -> None:
    info = info_of({"d": DENSE, "tokens": MANY}, params={"sparse_vectors": {"words": SPARSE}})
    server = serve(info)
    path = "/collections/articles/points?wait=true"
    server.on("PUT", path, ok({"operation_id": 1, "status": "completed"}))
    store = server.store()
    extras = {
        "tokens": from_multivectors([[[1, 2], [3, 4]], None], 2),
        "words": from_sparse([([7, 3], [0.5, 0.25]), ([], [])]),
    }
    store.write("articles", qa.Batch([1, 2], {"d": np.ones((2, 4))}, extras=extras))
    ((one, two),) = [body["points"] for body in server.bodies("PUT", path)]
    assert one["vector"] == {
        "d": [1.0] * 4,
        "tokens": [[1.0, 2.0], [3.0, 4.0]],
        "words": {"indices": [3, 7], "values": [0.25, 0.5]},
    }
    assert two["vector"] == {"d": [1.0] * 4, "words": {"indices": [], "values": []}}
    points = [{**each, "payload": {}} for each in (one, two)]
    server.on("POST", "/collections/articles/points/scroll", ok({"points": points}))
    (batch,) = store.read("articles", ReadRequest(vectors=["d", "tokens", "words"]))
    assert server.bodies("POST", "/collections/articles/points/scroll")[0]["with_vector"] == [
        "d",
        "tokens",
        "words",
    ]
    assert batch.extras["tokens"].values.tolist() == [[1, 2], [3, 4]]
    assert batch.extras["tokens"].absent().tolist() == [False, True]
    indices = batch.extras["words"].indices
    assert indices is not None
    assert indices.tolist() == [3, 7]
    assert batch.extras["words"].offsets.tolist() == [0, 2, 2]
    (plain,) = store.read("articles")
    assert (list(plain.vectors), list(plain.extras)) == (["d"], [])


def test_rows_over_grpc_use_the_clients_messages() -> None:
    pytest.importorskip("qdrant_client.uploader.grpc_uploader")
    from qadapt.stores.qdrant.server.rows import _grpc_upsert

    extras = {
        "tokens": from_multivectors([[[1, 2], [3, 4]]], 2),
        "words": from_sparse([([7, 3], [0.5, 0.25])]),
    }
    batch = qa.Batch([1], {"d": np.ones((1, 4))}, extras=extras)
    vectors = _grpc_upsert("articles", [1], batch).points[0].vectors.vectors.vectors
    sparse = vectors["words"].sparse
    assert (list(sparse.indices), list(sparse.values)) == ([3, 7], [0.25, 0.5])
    rows = vectors["tokens"].multi_dense.vectors
    assert [list(row.data) for row in rows] == [[1, 2], [3, 4]]
    assert list(vectors["d"].dense.data) == [1.0] * 4


def test_values_that_the_server_silently_accepts_are_rejected() -> None:
    many = {**MANY, "datatype": "uint8"}
    info = info_of({"d": DENSE, "tokens": many}, params={"sparse_vectors": {"words": SPARSE}})
    server = serve(info)
    twice = RaggedArray(np.array([0, 2]), np.ones(2, np.float32), np.array([5, 5], np.uint32))
    for name, each in (("words", twice), ("tokens", from_multivectors([[[0.5, 1]]], 2))):
        with pytest.raises(InputError, match=name):
            server.store().write(
                "articles", qa.Batch([1], {"d": np.ones((1, 4))}, extras={name: each})
            )
    assert not server.writes()
