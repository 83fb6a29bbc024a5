"""Helpers of the tests of the edge store."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.model import Batch, Quantization, Rescore, State, Status, Step, Vector
from qadapt.stores.base import OnProgress, SearchRequest, silent
from qadapt.stores.change import ChangeRequest
from qadapt.stores.qdrant.edge.store import EdgeStore

REPO = Path(__file__).resolve().parents[3]
K = 10
OFF = Rescore(source="off")


def unit(x: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Rows of length 1."""
    rows = x.astype(np.float32)
    result: npt.NDArray[np.float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return result


@dataclass(frozen=True)
class Texts:
    """Real embeddings and their exact neighbors.

    Attributes:
        docs, queries: float32, rows of length 1.
        truth: ``(nq, K)`` row numbers by cosine similarity.
    """

    docs: npt.NDArray[np.float32]
    queries: npt.NDArray[np.float32]
    truth: npt.NDArray[np.int64]

    @classmethod
    def of(cls, docs: npt.NDArray[Any], queries: npt.NDArray[Any]) -> Texts:
        x, q = unit(docs), unit(queries)
        return cls(x, q, np.argsort(-(q @ x.T), axis=1)[:, :K])

    def first(self, count: int) -> Texts:
        """The same with fewer documents."""
        return Texts.of(self.docs[:count], self.queries)

    @property
    def batch(self) -> Batch:
        """All documents, with their numbers as ids."""
        payloads = [{"at": row} for row in range(len(self.docs))]
        return Batch(list(range(len(self.docs))), {"": self.docs}, payloads)

    def recall(self, store: EdgeStore, collection: str = "c", **search: Any) -> float:
        """recall@10 of a search of all queries."""
        found = store.search(collection, self.queries, SearchRequest(k=K, **search)).ids
        same = [len(set(row) & set(true)) for row, true in zip(found, self.truth, strict=True)]
        return sum(same) / (K * len(same))


def fill(store: EdgeStore, batch: Batch, vectors: Mapping[str, Vector] | None = None) -> None:
    """A collection ``c`` with these rows, without quantization."""
    store.create("c", vectors or {"": Vector(batch.vectors[""].shape[1])}, {})
    store.write("c", batch)


def plan(store: EdgeStore, quantization: str | Quantization, vector: str = "") -> list[Step]:
    """Steps of the collection ``c``."""
    return list(
        store.plan_change(
            ChangeRequest(store.inspect("c"), vector, Quantization.of(quantization))
        ).steps
    )


def carry_out(store: EdgeStore, steps: list[Step], progress: OnProgress = silent) -> None:
    """Run the requests of steps."""
    for step in steps:
        store.run("c", step.request, progress, 60)


def take_back(store: EdgeStore, steps: list[Step]) -> None:
    """Run the reverses of steps, last first."""
    for step in reversed(steps):
        assert step.reverse is not None
        store.run("c", step.reverse, silent, 60)


def status(store: EdgeStore, vector: str = "") -> Status:
    """The status of a vector of ``c``."""
    return store.info("c").vectors[vector].status


def state(store: EdgeStore, vector: str = "") -> State:
    """Its state only."""
    return status(store, vector).state


def evidence(store: EdgeStore, signal: str, vector: str = "") -> Any:
    """The value of one signal."""
    return {item.signal: item.value for item in status(store, vector).evidence}[signal]


def same_rows(store: EdgeStore, batch: Batch) -> None:
    """Assert that ``c`` holds just this batch: ids, payloads and vectors bit for bit."""
    found = Batch.concat(list(store.read("c")))
    assert list(found.ids) == list(batch.ids)
    assert found.payloads == batch.payloads
    assert found.vectors.keys() == batch.vectors.keys()
    for name, array in batch.vectors.items():
        np.testing.assert_array_equal(found.vectors[name], array)


def start(code: str, *arguments: str) -> subprocess.Popen[str]:
    """A Python process with this code, whose standard output can be read."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPO,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
