"""Ranking metrics of all queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.engines.exact import tolerance
from qadapt.evaluation.recall import interval
from qadapt.evaluation.results import Figure

Doubles = npt.NDArray[np.float64]


def figure(values: Doubles, *, seed: int = 0) -> Figure:
    """The mean over the queries, with its 95 % confidence interval by bootstrap."""
    low, high = interval(values, seed=seed)
    mean = float(values.mean())
    return Figure(mean, min(low, mean), max(high, mean))


def places(
    good: npt.NDArray[np.bool_], scores: Doubles, truth: Sequence[Sequence[float]], dim: int
) -> Doubles:
    """The rank of each hit in the ground truth, float64 ``(nq, k)``: 0 for the best, NaN if it is
    not correct.

    Neighbors whose exact scores differ only by rounding can come in any order: a hit with one of
    these scores has the first unused rank of them.

    Args:
        good: ``(nq, k)``, which hits are correct, see ``recall.is_correct``.
        scores: their exact scores, the same shape.
        truth: exact scores of the neighbors of each query, best first.
        dim: dimensions of the vectors.
    """
    result = np.full(good.shape, np.nan)
    for at, row in enumerate(truth):
        hits = np.flatnonzero(good[at])
        if not len(hits) or not row:
            continue
        exact = np.asarray(row, dtype=np.float64)
        slack = tolerance(exact, dim)
        # Ends of the groups of equal neighbors, and the group of each hit.
        ends = np.append(np.flatnonzero(exact[:-1] - exact[1:] > slack[1:]) + 1, len(exact))
        first = np.searchsorted(-(exact - slack), -scores[at, hits], side="left")
        group = np.searchsorted(ends, np.minimum(first, len(exact) - 1), side="right")
        free = np.concatenate([[0], ends[:-1]])
        for hit, which in zip(hits.tolist(), group.tolist(), strict=True):
            if free[which] < ends[which]:
                result[at, hit] = free[which]
                free[which] += 1
    return result


def ndcg(where: Doubles, wanted: npt.NDArray[np.intp]) -> Doubles:
    """nDCG@k of each query; the gain of the r-th exact neighbor is ``wanted + 1 - r``."""
    k = where.shape[1]
    discount = 1 / np.log2(np.arange(k) + 2)
    gains = np.where(where < wanted[:, None], wanted[:, None] - where, 0)
    ideal = np.maximum(wanted[:, None] - np.arange(k), 0) @ discount
    return np.where(ideal > 0, (gains @ discount) / np.where(ideal > 0, ideal, 1), 1.0)


def overlap(where: Doubles, wanted: npt.NDArray[np.intp]) -> Doubles:
    """Average overlap of each query: the share of common ids at depths 1 to k."""
    k = where.shape[1]
    total = np.zeros(len(where))
    depths = np.zeros(len(where))
    for depth in range(1, k + 1):
        there = wanted >= depth
        common = (where[:, :depth] < depth).sum(axis=1)
        total += np.where(there, common / depth, 0)
        depths += there
    found: Doubles = np.where(depths > 0, total / np.maximum(depths, 1), 1.0)
    return found


def score_error(scores: Sequence[Sequence[float]], exact: Doubles) -> float | None:
    """Mean difference between reported and exact scores, over hits whose exact score is known.

    Args:
        scores: reported scores of the hits of each query.
        exact: exact scores ``(nq, k)``, NaN if unknown.
    """
    given = np.full(exact.shape, np.nan)
    for at, row in enumerate(scores):
        given[at, : len(row)] = row
    off = np.abs(given - exact)
    return float(np.nanmean(off)) if np.isfinite(off).any() else None


def against_labels(
    found: Sequence[Sequence[Any]],
    query_ids: Sequence[str],
    labels: Mapping[str, Mapping[str, float]],
    k: int,
) -> tuple[Doubles, Doubles]:
    """Recall@k and nDCG@k of each query that has labels, as trec_eval computes them: linear gains,
    discounts by log2(rank + 1)."""
    recalls, ndcgs = [], []
    discount = 1 / np.log2(np.arange(k) + 2)
    for row, query in zip(found, query_ids, strict=True):
        known = {key: gain for key, gain in labels.get(query, {}).items() if gain > 0}
        if not known:
            continue
        # A repeated document counts once.
        first = {str(key): place for place, key in reversed(list(enumerate(row[:k])))}
        gains = np.zeros(min(k, len(row)))
        for key, place in first.items():
            gains[place] = known.get(key, 0.0)
        best = np.sort(np.asarray(list(known.values())))[::-1][:k]
        recalls.append(np.count_nonzero(gains) / len(known))
        ndcgs.append(float(gains @ discount[: len(gains)]) / float(best @ discount[: len(best)]))
    return np.asarray(recalls, dtype=np.float64), np.asarray(ndcgs, dtype=np.float64)
