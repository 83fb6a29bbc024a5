"""Recall@k against exact truth, with a confidence interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qadapt.model import Hits, Id, Plain, Rescore

BOOTSTRAP = 1000


@dataclass(frozen=True)
class Recall(Plain):
    """How much of the exact truth a search found.

    Attributes:
        label: which search, in words.
        rescore: how it rescored; None for the store's own default.
        recall: mean recall@k over the queries, 0 to 1.
        low, high: 95 % interval of that mean, by bootstrap over the queries.
        k, queries: of how many results, over how many queries.
        ms: mean time of one query in a batch, milliseconds, the way to the store included.
    """

    label: str
    rescore: Rescore | None
    recall: float
    low: float
    high: float
    k: int
    queries: int
    ms: float


def recall_per_query(
    hits: Hits, truth: Sequence[Sequence[Id]], own: Sequence[Id | None], k: int
) -> npt.NDArray[np.float64]:
    """Recall@k of each query, float64 ``(nq,)``.

    Args:
        hits: at least ``k`` columns, one more where queries are rows of the collection.
        truth: the exact ids of each query; fewer than ``k`` in a small collection.
        own: the row that a query was taken from, which does not count.
    """
    found = []
    for row, right, self_id in zip(hits.ids.tolist(), truth, own, strict=True):
        kept = [key for key in row if key is not None and key != self_id][:k]
        wanted = set(right[:k])
        found.append(len(wanted.intersection(kept)) / len(wanted) if wanted else 1.0)
    return np.asarray(found, dtype=np.float64)


def interval(values: npt.NDArray[np.float64], *, seed: int = 0) -> tuple[float, float]:
    """The 95 % interval of the mean, by bootstrap.

    A sample without any spread tells nothing to the bootstrap; there the rule of three bounds
    the share of queries that could still be otherwise.
    """
    if len(values) < 2:
        return 0.0, 1.0
    if values.min() == values.max():
        mean, slack = float(values[0]), min(1.0, 3 / len(values))
        return max(0.0, mean - slack), min(1.0, mean + slack)
    drawn = np.random.default_rng(seed).integers(0, len(values), (BOOTSTRAP, len(values)))
    means = values[drawn].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
