"""The best rows by a real-valued score, in one pass over blocks of codes."""

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
    """The ``k`` rows of highest score for each query.

    Args:
        score: gives scores float32 (nq, m) for a block of codes (m, ...), higher is better.
        blocks: the codes in row order. Their size bounds the memory: ``score`` sees one at a
            time.
        queries: number of queries, nq.
        k: how many rows, at least 1.
        mask: bool (all rows,), True where a row may be found. None allows all.

    Returns:
        rows: int64 (nq, k), best first, equal scores in row order; -1 where there are fewer.
        scores: float32 (nq, k); NaN in the same places.
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
