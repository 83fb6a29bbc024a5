"""Limits of vector norms: rows that a datatype can store, and that float32 can normalize.

A database computes the norm as a sum of squares in float32: norms above 1.8e19 become infinite,
and norms below 1e-19 lose precision and then become 0. Measured with rows of all norms under
cosine: Qdrant stores rows above the range as zeros, and does not normalize rows whose squared
norm is below 1.2e-7; Milvus (Lite 3.2, 2.3.5) and Weaviate 1.39 store all rows unchanged, and
score rows outside of the range with 0 or infinity. qadapt computes these norms in float64, which
preserves the direction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from qadapt.model.metric import Metric

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
# Minimum and maximum norm of rows that are sent unchanged.
NormRange = tuple[float, float]

# For databases that store rows unchanged and compute the norm in each comparison.
STORED_AS_GIVEN: NormRange = (2.0**-50, 2.0**60)
# For Qdrant, which normalizes rows when they are written.
NORMALIZED: NormRange = (2.0**-10, 2.0**60)
# For float16: components have 11 bits of precision from 6.1e-5.
HALF: NormRange = (2.0**-6, 65504.0)

FLOAT32_MOST = float(np.finfo(np.float32).max)
# Norms with which the score of any two vectors is finite in float32: a distance is at most twice
# as long as the longer vector. Engines leave rows with an infinite score out of the results, or
# return them with it.
LARGEST = {Metric.DOT: 1.8e19, Metric.EUCLIDEAN: 9e18}
# Numbers from the first limit become infinite, and up to the second become 0.
HALF_INFINITE, _HALF_NOTHING = 65520.0, 2.0**-25
_BRAIN_INFINITE, _BRAIN_NOTHING = 2.0**128 - 2.0**119, 2.0**-134


def safe_norm_range(datatype: str, *, normalizes_cosine: bool) -> NormRange | None:
    """Range of norms that are sent unchanged under cosine; None for integer datatypes.

    Args:
        normalizes_cosine: whether the database stores rows normalized.
    """
    if datatype in ("uint8", "int8", "bit"):
        return None
    if normalizes_cosine:
        return NORMALIZED
    return HALF if datatype == "float16" else STORED_AS_GIVEN


def norm_within(rows: Floats, lengths: NormRange) -> Bools:
    """Mask of rows whose norm is in the range, bool ``(n,)``. Zero rows are not."""
    low, high = lengths
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        squares = np.einsum("ij,ij->i", rows, rows)
    found: Bools = (squares >= low * low) & (squares <= high * high)
    return found


def rescaled(rows: Floats, lengths: NormRange, *, present: Bools | None = None) -> Floats:
    """Scale rows outside of the range to length 1; returns the same array if there are none.

    Args:
        rows: float32 ``(n, d)``, finite and not zero.
        lengths: range of norms that are unchanged.
        present: bool ``(n,)``, rows to scale; all by default.
    """
    wrong = ~norm_within(rows, lengths)
    if present is not None:
        wrong &= present
    if not wrong.any():
        return rows
    wide = rows[wrong].astype(np.float64)
    norms = np.sqrt(np.einsum("ij,ij->i", wide, wide))
    norms[norms == 0] = 1
    scaled = rows.copy()
    scaled[wrong] = wide / norms[:, None]
    return scaled


def prepared_queries(
    queries: Floats, datatype: str, *, cosine: bool, normalizes_cosine: bool
) -> Floats:
    """Scale queries with extreme norms, as rows are scaled."""
    lengths = safe_norm_range(datatype, normalizes_cosine=normalizes_cosine) if cosine else None
    return queries if lengths is None else rescaled(queries, lengths)


def overflowing_rows(rows: Floats, metric: Metric) -> Bools | None:
    """Mask of rows whose scores may be infinite in float32; None if there are none.

    Args:
        rows: finite float32 ``(n, d)``.
    """
    largest = LARGEST.get(metric)
    if largest is None:  # cosine: the norm is divided out
        return None
    with np.errstate(over="ignore"):
        found: Bools = np.einsum("ij,ij->i", rows, rows) > largest**2
    return found if found.any() else None


# -- what a datatype holds -----------------------------------------------------------------------


def unrepresentable_rows(rows: Floats, datatype: str, *, cosine: bool) -> Bools | None:
    """Mask of rows that the datatype would store as infinity, as zero or as other integers; None if
    there are none.

    Under cosine, floating-point rows are scaled to the range of the datatype (``rescaled``), and
    int8 rows are scaled to int8, and bit rows to -1 and 1.

    Args:
        rows: finite float32 ``(n, d)``.
    """
    test = _TESTS.get(datatype)
    if test is None or (cosine and datatype not in ("uint8", "bit")):
        return None
    found = test(rows)
    return found if found.any() else None


def _floats(infinite: float, nothing: float) -> Callable[[Floats], Bools]:
    def test(rows: Floats) -> Bools:
        most = np.abs(rows).max(axis=1, initial=0)
        found: Bools = (most >= infinite) | ((most > 0) & (most <= nothing))
        return found

    return test


def _whole(least: int, most: int) -> Callable[[Floats], Bools]:
    def test(rows: Floats) -> Bools:
        found: Bools = ((rows != np.rint(rows)) | (rows < least) | (rows > most)).any(axis=1)
        return found

    return test


def _signs(rows: Floats) -> Bools:
    size = np.abs(rows)
    found: Bools = (size != size[:, :1]).any(axis=1) | (size[:, 0] == 0)
    return found


def _length(rows: Floats) -> Bools:
    """Qdrant stores the norm of `turbo...` vectors separately, as float32."""
    squares = np.einsum("ij,ij->i", rows, rows, dtype=np.float64)
    found: Bools = squares > FLOAT32_MOST**2
    return found


_TESTS: Mapping[str, Callable[[Floats], Bools]] = {
    "float16": _floats(HALF_INFINITE, _HALF_NOTHING),
    "bfloat16": _floats(_BRAIN_INFINITE, _BRAIN_NOTHING),
    "uint8": _whole(0, 255),
    "int8": _whole(-128, 127),
    "bit": _signs,
    "turbo4": _length,
    "turbo8": _length,
    "turbo16": _length,
}
