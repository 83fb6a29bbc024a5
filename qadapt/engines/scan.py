"""Best rows by score in one pass over blocks of codes."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt

from qadapt.engines.base import PADDING_ROW, Array, Mask, Rows
from qadapt.engines.select import Best, score_select


def score_topk(
    score: Callable[[Array], Array],
    blocks: Iterable[Array],
    queries: int,
    k: int,
    mask: Mask | None = None,
) -> tuple[Rows, npt.NDArray[np.float32]]:
    """Find the ``k`` rows with the highest scores for each query.

    Args:
        score: returns scores float32 (nq, m) of a block of codes (m, ...); higher is better.
        blocks: codes in row order; one block at a time is scored, so their size limits memory.
        queries: number of queries, nq.
        k: number of rows, at least 1.
        mask: bool (all rows,), rows that may be returned; None for all.

    Returns:
        rows: int64 (nq, k), best first, equal scores in row order; padded with -1.
        scores: float32 (nq, k); padded with NaN.
    """
    best = [Best(k, score_select) for _ in range(queries)]
    first = 0
    for block in blocks:
        size = len(block)
        chosen: npt.NDArray[np.intp] | None = None
        codes = block
        if mask is not None and not mask[first : first + size].all():
            chosen = np.flatnonzero(mask[first : first + size])
            codes = block[chosen]
        if len(codes):
            keys = -score(codes)
            for i in range(queries):
                best[i].offer(keys[i], first, chosen)
        first += size
    rows = np.full((queries, k), PADDING_ROW, dtype=np.int64)
    scores = np.full((queries, k), np.nan, dtype=np.float32)
    for i, held in enumerate(best):
        found, keys = held.ranked()
        rows[i, : len(found)] = found
        scores[i, : len(found)] = -keys
    return rows, scores
