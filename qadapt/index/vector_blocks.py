"""Checks on vectors that come in, and normalising them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from qadapt.errors import NonFiniteError, ZeroVectorError
from qadapt.model.arrays import Floats, Vectors
from qadapt.model.metric import Metric

BLOCK_BYTES = 8 << 20
"""How many bytes of float32 vectors are worked on at a time."""


def block_rows(dim: int, width: int = 4) -> int:
    """Rows of ``dim`` values of ``width`` bytes that make one block."""
    return max(1, BLOCK_BYTES // (dim * width))


def check(vectors: Vectors, metric: Metric, *, what: str) -> None:
    """Refuse vectors that have no place in the metric. Works in blocks.

    Raises:
        NonFiniteError: NaN, infinity, or a value too large for float32.
        ZeroVectorError: zero vectors under cosine.
    """
    bad: list[int] = []
    zero: list[int] = []
    step = block_rows(vectors.shape[1])
    for start in range(0, len(vectors), step):
        with np.errstate(over="ignore"):
            block = vectors[start : start + step].astype(np.float32, copy=False)
        bad += (np.flatnonzero(~np.isfinite(block).all(axis=1)) + start).tolist()
        if metric is Metric.COSINE:
            zero += (np.flatnonzero(~block.any(axis=1)) + start).tolist()
    if bad:
        raise NonFiniteError(bad, what=what)
    if zero:
        raise ZeroVectorError(zero, what=what)


def prepared(vectors: Vectors, metric: Metric) -> Floats:
    """Checked vectors as float32 rows, of length 1 under cosine.

    Lengths are taken in float64, so neither tiny nor huge values lose their direction.
    """
    if metric is not Metric.COSINE:
        return np.ascontiguousarray(vectors, dtype=np.float32)
    wide = vectors.astype(np.float32, copy=False).astype(np.float64)
    wide /= np.sqrt(np.einsum("ij,ij->i", wide, wide))[:, None]
    return wide.astype(np.float32)


def prepared_blocks(vectors: Vectors, metric: Metric) -> Iterator[Floats]:
    """:func:`prepared`, a block of rows at a time."""
    step = block_rows(vectors.shape[1])
    for start in range(0, len(vectors), step):
        yield prepared(vectors[start : start + step], metric)
