"""Validation and normalization of vectors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.errors import DimensionError, InputError, NonFiniteError, ZeroVectorError
from qadapt.model.metric import Metric

Floats = npt.NDArray[np.float32]
Vectors = npt.NDArray[np.floating[Any]]

BLOCK_BYTES = 8 << 20
"""Bytes of float32 vectors per block."""


def block_rows(dim: int, width: int = 4) -> int:
    """Rows per block, for rows of ``dim`` values of ``width`` bytes."""
    return max(1, BLOCK_BYTES // (dim * width))


def as_matrix(vectors: Any, dim: int, *, what: str) -> Vectors:
    """Vectors as a floating (n, dim) array; one vector (dim,) becomes one row.

    Args:
        vectors: array-like of real numbers; float16, float32 and float64 stay what they are,
            whole numbers become float32.
        dim: expected number of dimensions.
        what: how the error calls them.

    Raises:
        InputError: not numbers, or not one or two axes.
        DimensionError: another number of dimensions.
    """
    try:
        array = np.asarray(vectors)
    except ValueError as error:
        raise InputError(
            f"{what} are not a table of numbers: {error}", hint="give an (n, dim) array"
        ) from error
    if array.dtype.kind in "iub":
        array = array.astype(np.float32)
    if array.dtype.kind != "f":
        raise InputError(
            f"{what} hold {array.dtype} values, expected real numbers",
            hint="give a float16, float32 or float64 array",
        )
    if array.ndim == 1 and array.size:
        array = array[None, :]
    if array.size == 0 and array.ndim <= 2 and (array.ndim == 1 or array.shape[0] == 0):
        return np.empty((0, dim), dtype=np.float32)
    if array.ndim != 2:
        raise InputError(
            f"{what} have {array.ndim} axes, expected 1 or 2", hint="give an (n, dim) array"
        )
    if array.shape[1] != dim:
        raise DimensionError(dim, array.shape[1], what=what)
    return array


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


def prepared(vectors: Vectors, metric: Metric) -> Floats:
    """Convert checked vectors to float32 rows, normalized under cosine.

    Lengths are computed in float64, so that tiny and huge values keep their direction.
    """
    if metric is not Metric.COSINE:
        return np.ascontiguousarray(vectors, dtype=np.float32)
    wide = vectors.astype(np.float32, copy=False).astype(np.float64)
    wide /= np.sqrt(np.einsum("ij,ij->i", wide, wide))[:, None]
    return wide.astype(np.float32)


def prepared_blocks(vectors: Vectors, metric: Metric) -> Iterator[Floats]:
    """Iterate over :func:`prepared` blocks of rows."""
    step = block_rows(vectors.shape[1])
    for start in range(0, len(vectors), step):
        yield prepared(vectors[start : start + step], metric)
