"""Helpers of the tests of the Weaviate store."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.model import Batch, Metric, Vector
from qadapt.stores.weaviate.connection import proto
from qadapt.stores.weaviate.store import WeaviateStore


def keys(count: int, start: int = 0) -> list[str]:
    """UUIDs that encode row numbers."""
    return [str(uuid.UUID(int=row + 1)) for row in range(start, start + count)]


def number(key: Any) -> int:
    """The row number of an id."""
    return uuid.UUID(str(key)).int - 1


def normal(count: int, dim: int = 4, seed: int = 0) -> npt.NDArray[np.float32]:
    """Random rows."""
    return np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)


def fill(
    store: WeaviateStore,
    name: str,
    rows: npt.NDArray[np.float32],
    payloads: Sequence[Mapping[str, Any]] | None = None,
    metric: str = "dot",
) -> None:
    """A new collection with these rows, ids 0..n-1."""
    store.create(name, {"": Vector(rows.shape[1], Metric.of(metric))}, {})
    store.write(name, Batch(keys(len(rows)), {"": rows}, payloads))


def foreign(store: WeaviateStore, name: str, **schema: Any) -> None:
    """Create a collection as another client would."""
    body = {"class": name, "vectorizer": "none", "vectorIndexType": "hnsw", **schema}
    body.setdefault("vectorIndexConfig", {"distance": "dot"})
    store.connection.rest("POST", "/v1/schema", body, doing=f"create {name!r}")


def raw_write(store: WeaviateStore, name: str, rows: npt.NDArray[np.float32]) -> list[str]:
    """Write rows unchecked, as another client would, and return the server's errors."""
    messages = proto().batch_pb2
    objects = [
        messages.BatchObject(uuid=key, collection=name, vector_bytes=row.astype("<f4").tobytes())
        for key, row in zip(keys(len(rows)), rows, strict=True)
    ]
    request = messages.BatchObjectsRequest(objects=objects)
    answer = store.connection.ask("BatchObjects", request, doing="write")
    return [each.error for each in answer.errors]
