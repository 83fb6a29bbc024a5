"""Which rows a datatype can hold, and which have a direction that float32 can compute with.

A store that divides by a length takes the sum of squares in float32: beyond 1.8e19 that is
infinite, and below 1e-19 it loses its digits and then is 0. Run with rows of every size under
cosine: Qdrant's engine keeps rows beyond as zeros, and rows whose squared length is under 1.2e-7
as they are; Milvus (Lite 3.2, 2.3.5) and Weaviate 1.39 keep all as they are, and score rows beyond
with 0 or infinity. The direction of such a row is kept by taking its length in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
# Lengths, from and to, at which a row is left as it is.
NormRange = tuple[float, float]

# Where the store keeps a row as it comes, and computes its length when it compares.
STORED_AS_GIVEN: NormRange = (2.0**-50, 2.0**60)
# Where Qdrant's engine divides by the length as it writes.
NORMALIZED: NormRange = (2.0**-10, 2.0**60)
# Where the row is kept as float16: components keep 11 bits from 6.1e-5 on.
HALF: NormRange = (2.0**-6, 65504.0)

FLOAT32_MOST = float(np.finfo(np.float32).max)
# From here on a number becomes infinite, and up to here it becomes 0.
HALF_INFINITE, _HALF_NOTHING = 65520.0, 2.0**-25
_BRAIN_INFINITE, _BRAIN_NOTHING = 2.0**128 - 2.0**119, 2.0**-134


def safe_norm_range(datatype: str, *, normalizes_cosine: bool) -> NormRange | None:
    """The lengths at which a row under cosine is left as it is; None for whole numbers.

    Args:
        normalizes_cosine: whether the store keeps rows at length 1.
    """
    if datatype in ("uint8", "int8"):
        return None
    if normalizes_cosine:
        return NORMALIZED
    return HALF if datatype == "float16" else STORED_AS_GIVEN


def norm_within(rows: Floats, lengths: NormRange) -> Bools:
    """Which rows have such a length, bool ``(n,)``. Zero rows have not."""
    low, high = lengths
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        squares = np.einsum("ij,ij->i", rows, rows)
    found: Bools = (squares >= low * low) & (squares <= high * high)
    return found


def rescaled(rows: Floats, lengths: NormRange, *, present: Bools | None = None) -> Floats:
    """The rows, those of other lengths at length 1; the same array where there are none.

    Args:
        rows: float32 ``(n, d)``, finite and not zero.
        lengths: at which a row stays as it is.
        present: bool ``(n,)``, rows to look at; all by default.
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
    """Queries as they are sent: the direction of each is kept, as that of a row is."""
    lengths = safe_norm_range(datatype, normalizes_cosine=normalizes_cosine) if cosine else None
    return queries if lengths is None else rescaled(queries, lengths)


# -- what a datatype holds -----------------------------------------------------------------------


def unrepresentable_rows(rows: Floats, datatype: str, *, cosine: bool) -> Bools | None:
    """Which rows would come back as infinite, as zero or as other whole numbers; None for none.

    Under cosine a row of floats is brought to a length that the datatype holds (``rescaled``), and
    one of int8 is scaled to it.

    Args:
        rows: finite float32 ``(n, d)``.
    """
    test = _TESTS.get(datatype)
    if test is None or (cosine and datatype != "uint8"):
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


def _length(rows: Floats) -> Bools:
    """Codes of Qdrant's datatypes `turbo...` keep a length beside them, as float32."""
    squares = np.einsum("ij,ij->i", rows, rows, dtype=np.float64)
    found: Bools = squares > FLOAT32_MOST**2
    return found


_TESTS: Mapping[str, Callable[[Floats], Bools]] = {
    "float16": _floats(HALF_INFINITE, _HALF_NOTHING),
    "bfloat16": _floats(_BRAIN_INFINITE, _BRAIN_NOTHING),
    "uint8": _whole(0, 255),
    "int8": _whole(-128, 127),
    "turbo4": _length,
    "turbo8": _length,
    "turbo16": _length,
}
