"""What the demo measures: recall against exact truth, nDCG against labels, latency."""

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
    """The rows and queries that recall is computed from.

    Attributes:
        rows: float32 ``(n, d)``, of length 1.
        queries: float32 ``(nq, d)``, of length 1.
        k: how many rows count as the best.
        answers: the one row that is labelled relevant, ``(nq,)``.
    """

    rows: Floats
    queries: Floats
    k: int
    answers: npt.NDArray[np.int64]

    @classmethod
    def of(cls, rows: Floats, queries: Floats, answers: Sequence[int], k: int) -> Truth:
        """From unit vectors."""
        return cls(rows, queries, k, np.asarray(answers, dtype=np.int64))

    def recall(self, ids: npt.NDArray[np.object_]) -> float:
        """Mean recall@k by exact scores, ``ids`` ``(nq, k)`` with None for padding."""
        found = ids.tolist()
        return float(recall_in(self.rows, self.queries, Metric.COSINE, found, self.k).mean())

    def ndcg(self, ids: npt.NDArray[np.object_]) -> float:
        """Mean nDCG@k; with one relevant row it is ``1 / log2(1 + place)``, 0 when not found."""
        gains = 0.0
        for answer, row in zip(self.answers.tolist(), ids.tolist(), strict=True):
            if answer in row:
                gains += 1 / math.log2(2 + row.index(answer))
        return gains / len(ids)


def median_ms(search: Callable[[Floats], Any], queries: Floats, *, warm_up: int = 20) -> float:
    """Median milliseconds of one query at a time, after a few that are not counted."""
    for query in queries[:warm_up]:
        search(query)
    taken = []
    for query in queries:
        start = time.perf_counter()
        search(query)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken) * 1000
