"""Compute recall from the ranks of the correct rows by the scores of their codes.

A search that rescores ``c`` candidates with the original vectors finds the correct rows among the
``c`` best by codes, at most k of them. One scan therefore gives recall for every number of
candidates. Correct rows are the true neighbors, and all rows whose exact score reaches that of the
last true neighbor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qadapt.quantizers.base import Codes, Floats

Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

BLOCK = 64  # queries per scan


@dataclass(frozen=True)
class Ranks:
    """The ranks of correct rows.

    Attributes:
        ahead: float64 ``(nq, w)``, number of rows with a higher score; NaN for unused columns.
        level: float64 ``(nq, w)``, number of rows with the same score, including the row itself.
        right: float64 ``(nq, w)``, number of correct rows among those.
        wanted: ``(nq,)``, number of neighbors of a query, at most k.
        tied: bool ``(nq,)``, whether a query has more correct rows than neighbors. Its columns are
            levels of equal scores; those of other queries are neighbors, best first.
    """

    ahead: Doubles
    level: Doubles
    right: Doubles
    wanted: Ints
    tied: npt.NDArray[np.bool_]

    def recall(self, candidates: float, k: int) -> Doubles:
        """Recall@k of each query, float64 ``(nq,)``, for a number of rescored candidates.

        Rows with equal scores come in any order: a correct row among them counts with its
        probability.
        """
        chance = np.clip((candidates - self.ahead) / self.level, 0, 1) * self.right
        chance[~self.tied, k:] = 0
        wanted = np.minimum(self.wanted, k)
        total = np.minimum(np.nansum(chance, axis=1), wanted)
        found: Doubles = np.where(wanted > 0, total / np.maximum(wanted, 1), 1.0)
        return found


def ranks(
    codes: Codes,
    queries: Floats,
    truth: Ints,
    *,
    own: Ints | None = None,
    weight: Doubles | None = None,
    segments: int = 1,
    right: Mapping[int, Ints] | None = None,
) -> Ranks:
    """Rank the correct rows by the scores of their codes.

    Args:
        codes: of all rows.
        queries: encoded queries ``(nq, w)``.
        truth: ``(nq, k)`` row numbers of the neighbors, best first; -1 for none.
        own: ``(nq,)`` row number of each query, which does not count; -1 for none.
        weight: ``(n,)`` number of rows that each row represents; 1 by default.
        segments: segments that each contribute candidates; only rows of the same segment are ahead
        of a neighbor.
        right: for queries with more correct rows than ``truth`` has: all correct rows.
    """
    rows = len(codes.matrix)
    part = np.arange(rows) * segments // max(rows, 1)
    ahead = np.full(truth.shape, np.nan)
    level = np.ones(truth.shape)
    ties = right or {}
    groups: dict[int, Doubles] = {}
    for start in range(0, len(queries), BLOCK):
        block = slice(start, start + BLOCK)
        scores = codes.scores(queries[block])
        if own is not None:
            at = np.flatnonzero(own[block] >= 0)
            scores[at, own[block][at]] = -np.inf
        there = truth[block] >= 0
        mine = np.take_along_axis(scores, np.maximum(truth[block], 0), axis=1)
        mine = np.where(there, mine, np.inf)
        for line, row in enumerate(scores):
            # Only rows that reach the lowest neighbor can be ahead of a neighbor or equal to it.
            near = np.flatnonzero(row >= mine[line].min())
            values, each = row[near], None if weight is None else weight[near]
            over, same = values > mine[line][:, None], values == mine[line][:, None]
            if segments > 1:
                group = part[near] == part[truth[start + line]][:, None]
                over, same = over & group, same & group
            ahead[start + line] = np.where(there[line], _total(over, each), np.nan)
            level[start + line] = np.maximum(_total(same, each), 1)
        for query in range(start, min(start + BLOCK, len(queries))):
            if query in ties:
                groups[query] = _groups(scores[query - start], ties[query], part, weight)
    return _with_groups(ahead, level, truth, groups)


def without_codes(truth: Ints) -> Ranks:
    """The ranks of the neighbors ``(nq, k)`` by the original vectors themselves; -1 for none."""
    there = truth >= 0
    ahead = np.where(there, np.cumsum(there, axis=1) - 1.0, np.nan)
    ones = np.ones(truth.shape)
    tied = np.zeros(len(truth), dtype=np.bool_)
    return Ranks(ahead, ones, ones, there.sum(axis=1), tied)


def _groups(
    scores: npt.NDArray[np.float32], right: Ints, part: Ints, weight: Doubles | None
) -> Doubles:
    """Levels of equal scores that contain correct rows, float64 ``(3, w)``: rows ahead, rows on the
    level, and correct rows on the level."""
    each = np.ones(len(scores)) if weight is None else weight
    found = []
    for one in np.unique(part[right]):
        there = np.flatnonzero(part == one)
        order = there[np.argsort(-scores[there], kind="stable")]
        sums = np.concatenate([[0.0], np.cumsum(each[order])])
        mine = right[part[right] == one]
        values, level = np.unique(-scores[mine], return_inverse=True)
        ahead = sums[np.searchsorted(-scores[order], values, side="left")]
        upto = sums[np.searchsorted(-scores[order], values, side="right")]
        found.append([ahead, upto - ahead, np.bincount(level, each[mine])])
    joined: Doubles = np.concatenate(found, axis=1)
    return joined


def _with_groups(
    ahead: Doubles, level: Doubles, truth: Ints, groups: Mapping[int, Doubles]
) -> Ranks:
    wanted = (truth >= 0).sum(axis=1)
    tied = np.zeros(len(truth), dtype=np.bool_)
    width = max([truth.shape[1], *(each.shape[1] for each in groups.values())])
    shape = (len(truth), width)
    wide = [np.full(shape, fill) for fill in (np.nan, 1.0, 1.0)]
    wide[0][:, : truth.shape[1]], wide[1][:, : truth.shape[1]] = ahead, level
    for query, each in groups.items():
        tied[query] = True
        wide[0][query] = np.nan
        for into, values in zip(wide, each, strict=True):
            into[query, : len(values)] = values
    return Ranks(wide[0], wide[1], wide[2], wanted, tied)


def _total(marks: npt.NDArray[np.bool_], weight: Doubles | None) -> Doubles:
    if weight is None:
        return np.asarray(marks.sum(axis=1), dtype=np.float64)
    return np.asarray(marks @ weight, dtype=np.float64)
