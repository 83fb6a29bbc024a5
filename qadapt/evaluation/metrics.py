"""What is counted of a ranking, for all queries at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.evaluation.recall import interval
from qadapt.evaluation.results import Figure
from qadapt.model import Id

Doubles = npt.NDArray[np.float64]


def figure(values: Doubles, *, seed: int = 0) -> Figure:
    """The mean of one value for each query, with its 95 % interval by bootstrap."""
    low, high = interval(values, seed=seed)
    mean = float(values.mean())
    return Figure(mean, min(low, mean), max(high, mean))


def places(found: Sequence[Sequence[Any]], truth: Sequence[Sequence[Any]], k: int) -> Doubles:
    """Where in the truth each hit stands, float64 ``(nq, k)``: 0 for the best, NaN for no hit or
    one that is not in it.

    Args:
        found: ids of each query's hits, best first, own rows taken out.
        truth: ids of each query's exact neighbours, best first.
    """
    result = np.full((len(found), k), np.nan)
    for at, (row, right) in enumerate(zip(found, truth, strict=True)):
        known = {key: place for place, key in enumerate(right)}
        spots = [known.get(key, np.nan) for key in row[:k]]
        result[at, : len(spots)] = spots
    return result


def recall(where: Doubles, wanted: npt.NDArray[np.intp]) -> Doubles:
    """Recall@k of each query.

    Args:
        where: of ``places``, truth cut to k.
        wanted: how many neighbours each query has, at most k.
    """
    hit = (where < wanted[:, None]).sum(axis=1)
    found: Doubles = np.where(wanted > 0, hit / np.maximum(wanted, 1), 1.0)
    return found


def ndcg(where: Doubles, wanted: npt.NDArray[np.intp]) -> Doubles:
    """nDCG@k of each query; the gain of the r-th exact neighbour is ``wanted + 1 - r``."""
    k = where.shape[1]
    discount = 1 / np.log2(np.arange(k) + 2)
    gains = np.where(where < wanted[:, None], wanted[:, None] - where, 0)
    ideal = np.maximum(wanted[:, None] - np.arange(k), 0) @ discount
    return np.where(ideal > 0, (gains @ discount) / np.where(ideal > 0, ideal, 1), 1.0)


def overlap(where: Doubles, wanted: npt.NDArray[np.intp]) -> Doubles:
    """Average overlap of each query: the share of common ids of both tops, at depths 1 to k."""
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


def score_error(
    found: Sequence[Sequence[Id]],
    scores: Sequence[Sequence[float]],
    truth: Sequence[Sequence[Id]],
    exact: Sequence[Sequence[float]],
) -> float | None:
    """Mean difference of a hit's score from its exact one, over hits that are in the truth."""
    total, count = 0.0, 0
    for row, given, right, true in zip(found, scores, truth, exact, strict=True):
        known = dict(zip(right, true, strict=True))
        for key, score in zip(row, given, strict=True):
            if key in known:
                total += abs(score - known[key])
                count += 1
    return total / count if count else None


def against_labels(
    found: Sequence[Sequence[Any]],
    query_ids: Sequence[str],
    labels: Mapping[str, Mapping[str, float]],
    k: int,
) -> tuple[Doubles, Doubles]:
    """Recall@k and nDCG@k of each query that has labels, as trec_eval counts: gains as they
    stand, discounts by log2(rank + 1)."""
    recalls, ndcgs = [], []
    discount = 1 / np.log2(np.arange(k) + 2)
    for row, query in zip(found, query_ids, strict=True):
        known = {key: gain for key, gain in labels.get(query, {}).items() if gain > 0}
        if not known:
            continue
        gains = np.asarray([known.get(str(key), 0.0) for key in row[:k]])
        best = np.sort(np.asarray(list(known.values())))[::-1][:k]
        recalls.append(np.count_nonzero(gains) / len(known))
        ndcgs.append(float(gains @ discount[: len(gains)]) / float(best @ discount[: len(best)]))
    return np.asarray(recalls, dtype=np.float64), np.asarray(ndcgs, dtype=np.float64)
