"""Recall from the ranks of the relevant rows under the scores of the codes.

A search that rescores ``c`` candidates by the originals finds just those right rows that stand
among the ``c`` best by code, at most k of them. So one scan gives recall for every number of
candidates. Right are the true neighbours, and every row whose exact score reaches the last of
theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qadapt.quantizers.base import Codes, Floats

Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

BLOCK = 64  # queries at once


@dataclass(frozen=True)
class Ranks:
    """Where each right row stands.

    Attributes:
        ahead: float64 ``(nq, w)``, rows with a higher score; NaN where a query has fewer.
        level: float64 ``(nq, w)``, rows with the same score, itself one of them.
        right: float64 ``(nq, w)``, how many of those rows are right.
        wanted: ``(nq,)``, how many right rows a query needs, at most k.
        tied: bool ``(nq,)``, whether more rows are right than are wanted: their columns are
            levels of the codes, where those of other queries are the neighbours, best first.
    """

    ahead: Doubles
    level: Doubles
    right: Doubles
    wanted: Ints
    tied: npt.NDArray[np.bool_]

    def recall(self, candidates: float, k: int) -> Doubles:
        """Recall@k of each query, float64 ``(nq,)``, when so many candidates are rescored.

        Rows of one score come in any order: a right row among them counts by its chance.
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
    """Where the right rows stand.

    Args:
        codes: of all rows.
        queries: as the model encoded them, ``(nq, w)``.
        truth: ``(nq, k)`` row numbers, best first; -1 where there are fewer.
        own: ``(nq,)`` the row that a query is, which does not count; -1 for none.
        weight: ``(n,)`` how many rows of the collection each row stands for; 1 by default.
        segments: parts of the collection that each bring their candidates; a neighbour then
            has only its own part's rows ahead of it.
        right: for queries of which more rows are right than ``truth`` has, all those rows.
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
        for column in range(truth.shape[1]):
            row = truth[block, column]
            there = row >= 0
            mine = scores[np.arange(len(row)), row][:, None]
            same_group = part[None, :] == part[row][:, None] if segments > 1 else True
            over = _total((scores > mine) & same_group, weight)
            same = _total((scores == mine) & same_group, weight)
            ahead[block, column] = np.where(there, over, np.nan)
            level[block, column] = np.maximum(same, 1)
        for query in range(start, min(start + BLOCK, len(queries))):
            if query in ties:
                groups[query] = _groups(scores[query - start], ties[query], part, weight)
    return _with_groups(ahead, level, truth, groups)


def _groups(
    scores: npt.NDArray[np.float32], right: Ints, part: Ints, weight: Doubles | None
) -> Doubles:
    """Levels of equal scores that hold right rows: rows ahead, on the level, and right on it;
    float64 ``(3, w)``."""
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
