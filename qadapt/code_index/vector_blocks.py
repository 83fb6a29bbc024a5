"""Validation and normalization of vectors."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from qadapt.errors import NonFiniteError, ZeroVectorError
from qadapt.model import query_checks, vector_norms
from qadapt.model.arrays import Floats, Vectors
from qadapt.model.metric import Metric
from qadapt.model.value_errors import overflowing_rows

_FLOAT32_MAX = float(np.finfo(np.float32).max)

BLOCK_BYTES = 8 << 20
"""Bytes of float32 vectors per block."""


def block_rows(dim: int, width: int = 4) -> int:
    """Rows per block, for rows of ``dim`` values of ``width`` bytes."""
    return max(1, BLOCK_BYTES // (dim * width))


def check(vectors: Vectors, metric: Metric, *, what: str) -> None:
    """Reject vectors that the metric does not support, in blocks.

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


def check_norms(vectors: Vectors, metric: Metric, *, what: str) -> None:
    """Reject vectors to add whose scores may be infinite in float32, in blocks.

    Raises:
        InputError: a norm above ``vector_norms.LARGEST``.
    """
    large: list[int] = []
    step = block_rows(vectors.shape[1])
    for start in range(0, len(vectors), step):
        block = vectors[start : start + step].astype(np.float32, copy=False)
        over = vector_norms.overflowing_rows(block, metric)
        if over is not None:
            large += (np.flatnonzero(over) + start).tolist()
    if large:
        raise overflowing_rows(large, metric=metric, what=what)


def prepared(vectors: Vectors, metric: Metric) -> Floats:
    """Convert checked vectors to float32 rows, normalized under cosine.

    Lengths are computed in float64, so that tiny and huge values keep their direction.
    """
    if metric is not Metric.COSINE:
        return np.ascontiguousarray(vectors, dtype=np.float32)
    wide = vectors.astype(np.float32, copy=False).astype(np.float64)
    wide /= np.sqrt(np.einsum("ij,ij->i", wide, wide))[:, None]
    return wide.astype(np.float32)


def prepared_queries(queries: Vectors, metric: Metric) -> Floats:
    """:func:`check` and :func:`prepared` in one pass, for queries.

    Raises:
        NonFiniteError, ZeroVectorError: see :func:`check`.
        InputError: under dot and euclidean, the squared norm of a query overflows float32.
    """
    if queries.dtype == np.float64:
        with np.errstate(over="ignore"):
            queries = queries.astype(np.float32)
    rows = np.ascontiguousarray(queries, dtype=np.float32)
    wide = rows.astype(np.float64)
    # Finite and positive if and only if all values are finite and one is not zero: the square of
    # each float32 is in the range of float64.
    squares = np.vecdot(wide, wide)
    if len(squares) and not (squares.min() > 0 and squares.max() <= _FLOAT32_MAX):
        check(queries, metric, what="queries")
        if metric is not Metric.COSINE:  # their length is 1
            query_checks.check_norms(rows, metric)
    if metric is not Metric.COSINE:
        return rows
    wide /= np.sqrt(squares)[:, None]
    return wide.astype(np.float32)


def prepared_blocks(vectors: Vectors, metric: Metric) -> Iterator[Floats]:
    """Iterate over :func:`prepared` blocks of rows."""
    step = block_rows(vectors.shape[1])
    for start in range(0, len(vectors), step):
        yield prepared(vectors[start : start + step], metric)
