"""Maximal marginal relevance."""

from __future__ import annotations

import numpy as np

from qadapt.errors import InputError
from qadapt.model.arrays import Floats


def select(query: Floats, candidates: Floats, k: int, diversity_weight: float) -> list[int]:
    """Choose ``k`` candidates that are close to the query and far from one another.

    Each step takes the candidate with the largest ``(1 - w) * cosine(query, candidate) - w *
    max(cosine(chosen, candidate))``.

    Args:
        query: float32 ``(d,)``.
        candidates: float32 ``(n, d)``.
        k: number to choose; all candidates are ordered if there are fewer.
        diversity_weight: ``w``, 0 (relevance only) to 1.

    Returns:
        Rows of ``candidates``, in the order in which they were chosen.

    Raises:
        InputError: the weight is not from 0 to 1.

    Source: Carbonell and Goldstein, "The use of MMR, diversity-based reranking for reordering
    documents and producing summaries", SIGIR 1998.
    """
    if not 0 <= diversity_weight <= 1:
        raise InputError(
            f"the weight of diversity must be from 0 to 1; got {diversity_weight}",
            hint="the frameworks call 1 - weight lambda_mult or mmr_threshold; use 0.5",
        )
    rows = _unit(candidates)
    relevance = rows @ _unit(query)
    nearest = np.zeros(len(rows), dtype=np.float32)
    free = np.ones(len(rows), dtype=np.bool_)
    chosen: list[int] = []
    for step in range(min(k, len(rows))):
        value = (1 - diversity_weight) * relevance - diversity_weight * nearest
        best = int(np.argmax(np.where(free, value if step else relevance, -np.inf)))
        chosen.append(best)
        free[best] = False
        similarity = rows @ rows[best]
        nearest = np.maximum(nearest, similarity) if step else similarity
    return chosen


def _unit(x: Floats) -> Floats:
    """Scale to length 1; zero vectors stay zero."""
    lengths = np.linalg.norm(x, axis=-1, keepdims=True)
    return np.asarray(x / np.where(lengths > 0, lengths, 1), dtype=np.float32)
