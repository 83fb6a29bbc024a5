"""Input arrays: validation, and iteration in blocks that fit in the cache.

All codecs use `finite_blocks`, which limits temporary memory and rejects NaN and infinity.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.errors import InputError, NonFiniteError
from qadapt.model.arrays import as_matrix

Array = npt.NDArray[Any]

#: Bytes of vectors per block: about the size of the second-level cache of a current core.
#: The fastest of the measured sizes from 128 KiB (more call overhead) to 2 MiB.
BLOCK_BYTES = 512 * 1024

_ROWS_NAMED = 100


def work_dtype(x: Array) -> np.dtype[Any]:
    """The dtype that codes are computed in: float64 for float64, else float32."""
    return np.dtype(np.float64 if x.dtype.itemsize == 8 else np.float32)


def rows_in(block_bytes: int, row_bytes: int) -> int:
    """Rows per block for rows of ``row_bytes``, at least one."""
    if block_bytes < 1:
        raise InputError(f"block_bytes is {block_bytes}", hint="pass a size of at least 1 byte")
    return max(1, block_bytes // max(1, row_bytes))


def plain_blocks(x: Array, block_bytes: int = BLOCK_BYTES) -> Iterator[tuple[int, Array]]:
    """Iterate over ``(n, d)`` rows: yields the first row number and a contiguous block.

    The blocks are native float32 or float64 (float16 is widened without loss). A block
    may be a view of ``x``: do not write to it.
    """
    dtype = work_dtype(x)
    rows = rows_in(block_bytes, x.shape[1] * dtype.itemsize)
    for start in range(0, len(x), rows):
        yield start, np.ascontiguousarray(x[start : start + rows], dtype=dtype)


def all_finite(block: Array) -> bool:
    """Whether a contiguous float32 or float64 block is finite.

    One pass computes the sum of squares: its terms are >= 0, so none cancel, and NaN or infinity
    always propagate to the sum. Large finite values can overflow it, so only a sum that is not
    finite needs the exact test.
    """
    flat = block.reshape(-1)
    with np.errstate(over="ignore", invalid="ignore"):
        if np.dot(flat, flat) < np.inf:
            return True
    return bool(np.isfinite(flat).all())


def raise_non_finite(x: Array, start: int = 0, *, offset: int = 0, what: str = "vectors") -> None:
    """Raise an error with the rows of ``x`` that contain NaN or infinity, from row ``start``.

    Args:
        x: ``(n, d)`` float array.
        start: rows before this one are known to be finite and are not read again.
        offset: added to the row numbers, for a block of a longer stream.

    Raises:
        NonFiniteError: always, unless every row is finite.
    """
    rows: list[int] = []
    total = 0
    for first, block in plain_blocks(x[start:]):
        bad = np.flatnonzero(~np.isfinite(block).all(axis=1))
        total += len(bad)
        rows += (bad[: _ROWS_NAMED - len(rows)] + (first + start + offset)).tolist()
    if total:
        raise NonFiniteError(rows, total, what=what)


def finite_blocks(x: Array, block_bytes: int = BLOCK_BYTES) -> Iterator[tuple[int, Array]]:
    """`plain_blocks`, with every block checked.

    Raises:
        NonFiniteError: a row holds NaN or infinity; all such rows are counted.
    """
    for start, block in plain_blocks(x, block_bytes):
        if not all_finite(block):
            raise_non_finite(x, start)
        yield start, block


def float_queries(queries: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Queries as a checked ``(nq, d)`` float64 copy; one vector ``(d,)`` becomes ``(1, d)``.

    Raises:
        InputError: not one or two axes of floats.
        NonFiniteError: a query holds NaN or infinity.
    """
    matrix = as_matrix(queries, what="queries", strict=True)
    raise_non_finite(matrix, what="queries")
    return matrix.astype(np.float64)
