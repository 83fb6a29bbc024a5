"""Copy with vecparity between Milvus and Weaviate; requires vecparity.

    python with_vecparity.py '{"source": "milvus", "target": "weaviate", "milvus": "http://...",
                               "weaviate": [8080, 50051], "name": "Peer", "rows": 4000, "dim": 128}'

Fills the source in the form that vecparity asks for (Milvus: id, vector, metadata, updated_at),
makes the target, which vecparity does not, and prints ``{"seconds": ..., "rows": ...}``: seconds of
its ``SyncEngine.run_once``, rows that the target has afterwards.
"""

from __future__ import annotations

import json
import sys
import time
import uuid
from typing import Any

import numpy as np
import weaviate
from pymilvus import DataType, MilvusClient
from vecparity.adapters.milvus import MilvusAdapter
from vecparity.adapters.weaviate import WeaviateAdapter
from vecparity.sync.engine import SyncEngine
from weaviate.classes.config import Configure, Property, VectorDistances
from weaviate.classes.config import DataType as Kind
from weaviate.classes.data import DataObject

BLOCK = 4_000


def main() -> None:
    """Copy, and clean up."""
    asked = json.loads(sys.argv[1])
    name = asked["name"]
    client = MilvusClient(uri=asked["milvus"])
    rest, grpc = asked["weaviate"]
    other = weaviate.connect_to_local(host="127.0.0.1", port=rest, grpc_port=grpc)
    make_milvus(client, name, asked["dim"])
    collection = make_weaviate(other, name)
    try:
        (fill_milvus if asked["source"] == "milvus" else fill_weaviate)(
            client, collection, name, asked["rows"], asked["dim"]
        )
        ends = {"milvus": MilvusAdapter(client, name), "weaviate": WeaviateAdapter(collection)}
        begun = time.perf_counter()
        SyncEngine(source=ends[asked["source"]], target=ends[asked["target"]]).run_once()
        spent = time.perf_counter() - begun
        print(json.dumps({"seconds": spent, "rows": ends[asked["target"]].count()}))
    finally:
        client.drop_collection(name)
        other.collections.delete(name)
        other.close()
        client.close()


def make_milvus(client: MilvusClient, name: str, dim: int) -> None:
    """Settings of vecparity's adapter."""
    schema = client.create_schema()
    schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=100)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dim)
    schema.add_field("metadata", DataType.JSON)
    schema.add_field("updated_at", DataType.DOUBLE)
    indexes = client.prepare_index_params()
    indexes.add_index("vector", index_type="HNSW", metric_type="IP", M=16, efConstruction=100)
    client.create_collection(name, schema=schema, index_params=indexes)


def make_weaviate(client: Any, name: str) -> Any:
    """One vector under dot, and the properties of the rows."""
    return client.collections.create(
        name,
        vector_config=Configure.Vectors.self_provided(
            vector_index_config=Configure.VectorIndex.hnsw(distance_metric=VectorDistances.DOT)
        ),
        properties=[
            Property(name="n", data_type=Kind.INT),
            Property(name="text", data_type=Kind.TEXT),
            Property(name="updated_at", data_type=Kind.NUMBER),
        ],
    )


def blocks(rows: int, dim: int) -> Any:
    """Ids, vectors and numbers."""
    draw = np.random.default_rng(1)
    for start in range(0, rows, BLOCK):
        count = min(BLOCK, rows - start)
        numbers = range(start, start + count)
        yield (
            [str(uuid.UUID(int=at)) for at in numbers],
            draw.standard_normal((count, dim)).astype(np.float32).tolist(),
            numbers,
        )


def fill_milvus(client: MilvusClient, _: Any, name: str, rows: int, dim: int) -> None:
    """Rows in Milvus."""
    for keys, vectors, numbers in blocks(rows, dim):
        client.insert(
            name,
            [
                {
                    "id": key,
                    "vector": vector,
                    "metadata": {"n": at, "text": f"row {at}"},
                    "updated_at": float(at + 1),
                }
                for key, vector, at in zip(keys, vectors, numbers, strict=True)
            ],
        )


def fill_weaviate(_: MilvusClient, collection: Any, name: str, rows: int, dim: int) -> None:
    """Rows in Weaviate."""
    for keys, vectors, numbers in blocks(rows, dim):
        answer = collection.data.insert_many(
            [
                DataObject(
                    uuid=key,
                    vector=vector,
                    properties={"n": at, "text": f"row {at}", "updated_at": float(at + 1)},
                )
                for key, vector, at in zip(keys, vectors, numbers, strict=True)
            ]
        )
        assert not answer.has_errors


if __name__ == "__main__":
    main()
