"""Recall from where the true neighbours stand in the order of the codes' scores.

A search that rescores ``c`` candidates by the originals finds just those true neighbours that
stand among the ``c`` best by code. So one scan gives recall for every number of candidates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qadapt.simulation.base import Codes, Floats

Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

BLOCK = 64  # queries at once


@dataclass(frozen=True)
class Ranks:
    """Where each true neighbour stands.

    Attributes:
        ahead: float64 ``(nq, k)``, rows with a higher score; NaN where a query has fewer.
        level: float64 ``(nq, k)``, rows with the same score, itself one of them.
    """

    ahead: Doubles
    level: Doubles

    def recall(self, candidates: float, k: int) -> Doubles:
        """Recall@k of each query, float64 ``(nq,)``, when so many candidates are rescored.

        Rows of one score come in any order: a neighbour among them counts by its chance.
        """
        chance = np.clip((candidates - self.ahead[:, :k]) / self.level[:, :k], 0, 1)
        there = ~np.isnan(chance)
        wanted = there.sum(axis=1)
        found: Doubles = np.where(there, chance, 0).sum(axis=1)
        return np.where(wanted > 0, found / np.maximum(wanted, 1), 1.0)


def ranks(
    codes: Codes,
    queries: Floats,
    truth: Ints,
    *,
    own: Ints | None = None,
    weight: Doubles | None = None,
    segments: int = 1,
) -> Ranks:
    """Where the true neighbours stand.

    Args:
        codes: of all rows.
        queries: as the model encoded them, ``(nq, w)``.
        truth: ``(nq, k)`` row numbers, best first; -1 where there are fewer.
        own: ``(nq,)`` the row that a query is, which does not count; -1 for none.
        weight: ``(n,)`` how many rows of the collection each row stands for; 1 by default.
        segments: parts of the collection that each bring their candidates; a neighbour then
            has only its own part's rows ahead of it.
    """
    rows = len(codes.matrix)
    part = np.arange(rows) * segments // max(rows, 1)
    ahead = np.full(truth.shape, np.nan)
    level = np.ones(truth.shape)
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
            beside = part[None, :] == part[row][:, None] if segments > 1 else True
            over = _total((scores > mine) & beside, weight)
            same = _total((scores == mine) & beside, weight)
            ahead[block, column] = np.where(there, over, np.nan)
            level[block, column] = np.maximum(same, 1)
    return Ranks(ahead, level)


def _total(marks: npt.NDArray[np.bool_], weight: Doubles | None) -> Doubles:
    if weight is None:
        return np.asarray(marks.sum(axis=1), dtype=np.float64)
    return np.asarray(marks @ weight, dtype=np.float64)
