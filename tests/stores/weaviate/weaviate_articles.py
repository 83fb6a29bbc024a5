"""Collections of real embeddings behind an alias, and recall on them."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from weaviate_helpers import keys, number

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.model import Hits
from qadapt.stores.weaviate.store import WeaviateStore

K = 10
Floats = npt.NDArray[np.float32]


def articles(
    store: WeaviateStore, name: str, docs: Floats, quantization: Any = None, **more: Any
) -> Collection:
    """The collection ``NAME_v1`` of these rows behind the alias ``NAME``."""
    database = Database(store)
    real = f"{name}_v1"
    database.create(real, dim=docs.shape[1], quantization=quantization, **more)
    database.switch_alias(name, real)
    collection = database[name]
    if len(docs):
        collection.write(qa.Batch(keys(len(docs)), {"": docs}))
    return collection


@functools.lru_cache(4)
def _truth(docs: bytes, queries: bytes, dim: int) -> list[set[int]]:
    rows = np.frombuffer(docs, np.float32).reshape(-1, dim)
    asked = np.frombuffer(queries, np.float32).reshape(-1, dim)
    return [set(row) for row in np.argsort(-(asked @ rows.T), axis=1)[:, :K].tolist()]


def recall(hits: Hits, docs: Floats, queries: Floats) -> float:
    """Mean recall@10 against all rows by float32."""
    truth = _truth(docs.tobytes(), queries.tobytes(), docs.shape[1])
    found = [{number(key) for key in row if key is not None} for row in hits.ids.tolist()]
    return float(np.mean([len(a & b) / K for a, b in zip(found, truth, strict=True)]))


def raw(store: WeaviateStore, name: str) -> dict[str, Any]:
    """The raw schema of the server."""
    found: dict[str, Any] = store.connection.rest("GET", f"/v1/schema/{name}", doing="read")
    return found


def put(store: WeaviateStore, name: str, config: Mapping[str, Any]) -> None:
    """Change fields of the unnamed vector as another REST client would."""
    body = raw(store, name)
    body["vectorIndexConfig"].update(config)
    store.connection.rest("PUT", f"/v1/schema/{body['class']}", body, doing="change")


def state(collection: Collection, vector: str = "") -> qa.State:
    """The verified state."""
    return collection.info().vectors[vector].status.state


def reason(collection: Collection) -> str:
    status = collection.info().vectors[""].status
    return f"{status.reason} -> {status.advice}"
