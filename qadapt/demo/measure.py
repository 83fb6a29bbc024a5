"""Measurements of the demo: recall with exact ground truth, nDCG with labels, latency."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.evaluation.exact_neighbors import recall_in
from qadapt.model import Metric
from qadapt.model.arrays import Floats


@dataclass(frozen=True)
class Truth:
    """Rows and queries for recall and nDCG.

    Attributes:
        rows: float32 ``(n, d)``, of length 1.
        queries: float32 ``(nq, d)``, of length 1.
        k: number of results.
        answers: the relevant row of each query, ``(nq,)``.
    """

    rows: Floats
    queries: Floats
    k: int
    answers: npt.NDArray[np.int64]

    @classmethod
    def of(cls, rows: Floats, queries: Floats, answers: Sequence[int], k: int) -> Truth:
        """Create it from unit vectors."""
        return cls(rows, queries, k, np.asarray(answers, dtype=np.int64))

    def recall(self, ids: npt.NDArray[np.object_]) -> float:
        """Mean recall@k by exact scores, ``ids`` ``(nq, k)`` with None for padding."""
        found = ids.tolist()
        return float(recall_in(self.rows, self.queries, Metric.COSINE, found, self.k).mean())

    def ndcg(self, ids: npt.NDArray[np.object_]) -> float:
        """Mean nDCG@k; with one relevant row, ``1 / log2(1 + rank)``, or 0 if it is missing."""
        gains = 0.0
        for answer, row in zip(self.answers.tolist(), ids.tolist(), strict=True):
            if answer in row:
                gains += 1 / math.log2(2 + row.index(answer))
        return gains / len(ids)


def median_ms(search: Callable[[Floats], Any], queries: Floats, *, warm_up: int = 20) -> float:
    """Median latency of sequential queries in milliseconds, after a warm-up."""
    for query in queries[:warm_up]:
        search(query)
    taken = []
    for query in queries:
        start = time.perf_counter()
        search(query)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken) * 1000
