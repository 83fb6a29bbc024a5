"""Helpers of the tests of the Milvus store."""

from __future__ import annotations

import uuid
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.engines.exact import exact_scores
from qadapt.model import Batch, Metric, Quantization, State, Status, Step, Vector
from qadapt.stores.base import OnProgress, SearchRequest, silent
from qadapt.stores.change import ChangeRequest
from qadapt.stores.milvus.store import MilvusStore

K = 10
NAME = f"articles_{uuid.uuid4().hex[:8]}"  # the server is shared by all workers


def fill(store: MilvusStore, rows: npt.NDArray[np.float32], metric: str = "cosine") -> None:
    """A new collection with these rows, ids 0..n-1."""
    vector = Vector(rows.shape[1], Metric.of(metric))
    store.create(NAME, {"": vector}, {})
    payloads = [{"group": row % 7} for row in range(len(rows))]
    store.write(NAME, Batch(range(len(rows)), {"": rows}, payloads))


def plan(store: MilvusStore, text: str | Quantization) -> list[Step]:
    """Steps of the collection."""
    return list(
        store.plan_change(ChangeRequest(store.inspect(NAME), "", Quantization.of(text))).steps
    )


def carry_out(store: MilvusStore, steps: list[Step], progress: OnProgress = silent) -> None:
    """Run the requests of steps."""
    for step in steps:
        store.run(NAME, step.request, progress, 120)


def take_back(store: MilvusStore, steps: list[Step]) -> None:
    """Run the reverses of steps, last first."""
    for step in reversed(steps):
        assert step.reverse is not None
        store.run(NAME, step.reverse, silent, 120)


def status(store: MilvusStore) -> Status:
    """The status of the vector."""
    return store.info(NAME).vectors[""].status


def state(store: MilvusStore) -> State:
    """The state of the vector."""
    return status(store).state


def kind(store: MilvusStore) -> str:
    """The index type read from the server."""
    return str(store.info(NAME).vectors[""].index.get("index_type"))


def recall(
    store: MilvusStore,
    queries: npt.NDArray[np.float32],
    rows: npt.NDArray[np.float32],
    metric: str = "cosine",
    **search: Any,
) -> float:
    """recall@10 against the ground truth, for ids 0..n-1."""
    scores = exact_scores(queries, rows, Metric.of(metric))
    truth = np.argsort(-scores, axis=1, kind="stable")[:, :K]
    found = store.search(NAME, queries, SearchRequest(k=K, **search)).ids
    same = [len(set(row) & set(right)) for row, right in zip(found, truth.tolist(), strict=True)]
    return sum(same) / (K * len(same))
