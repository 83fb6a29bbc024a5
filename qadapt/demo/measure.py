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

from qadapt.model.data import Floats

# Rows whose similarity ties with the last of the true best count as found.
_TIE = 1e-6


@dataclass(frozen=True)
class Truth:
    """Exact similarities of queries to all rows, computed here in float32.

    Attributes:
        similarities: cosine, ``(nq, n)``.
        bar: the similarity of each query's k-th best row, ``(nq,)``.
        k: how many rows count as the best.
        answers: the one row that is labelled relevant, ``(nq,)``.
    """

    similarities: Floats
    bar: Floats
    k: int
    answers: npt.NDArray[np.int64]

    @classmethod
    def of(cls, rows: Floats, queries: Floats, answers: Sequence[int], k: int) -> Truth:
        """From unit vectors."""
        similarities = queries @ rows.T
        bar = np.partition(similarities, -k, axis=1)[:, -k]
        return cls(similarities, bar, k, np.asarray(answers, dtype=np.int64))

    def recall(self, ids: npt.NDArray[np.object_]) -> float:
        """Share of the true best k that was found, ``ids`` ``(nq, k)`` with None for padding."""
        found = 0
        for scores, bar, row in zip(self.similarities, self.bar, ids, strict=True):
            best = {key for key in row.tolist() if key is not None and scores[key] >= bar - _TIE}
            found += min(len(best), self.k)
        return found / (self.k * len(ids))

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
