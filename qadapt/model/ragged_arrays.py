"""Conversion and checks of ragged arrays (sparse vectors and multivectors)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.errors import (
    DimensionError,
    InputError,
    NonFiniteError,
    ZeroVectorError,
)
from qadapt.model import vector_norms
from qadapt.model.collection_schema import ExtraVector, RaggedArray
from qadapt.model.metric import Metric
from qadapt.model.value_errors import overflowing_rows, unheld_rows

Bools = npt.NDArray[np.bool_]
# Reasons why a row is invalid in every database.
NOT_FINITE = "contains NaN or infinity"
NOT_ASCENDING = "has duplicate indices, or indices that do not ascend"
NO_ROWS = "has no rows; a multivector needs at least one"
ZERO = "has a zero row, which cannot be normalized under cosine"
UNHELD = "has values outside of the range of its datatype"
OVERFLOWS = "has a norm whose scores overflow float32"


# -- from rows -----------------------------------------------------------------------------------


def from_sparse(rows: Sequence[tuple[Any, Any] | None]) -> RaggedArray:
    """Create sparse vectors from (indices, values) per row, in any order; None if missing.

    Args:
        rows: the indices of a row are integers from 0 to 2**32 - 1.
    """
    there = [row for row in rows if row is not None]
    offsets = _offsets(0 if row is None else len(row[1]) for row in rows)
    total = int(offsets[-1])
    indices = np.fromiter(chain.from_iterable(row[0] for row in there), np.uint32, total)
    values = np.fromiter(chain.from_iterable(row[1] for row in there), np.float32, total)
    return ascending(RaggedArray(offsets, values, indices, _missing(rows)))


def from_multivectors(rows: Sequence[Sequence[Any] | None], dim: int) -> RaggedArray:
    """Create multivectors from the vectors of each row; None if missing."""
    offsets = _offsets(0 if row is None else len(row) for row in rows)
    found = list(chain.from_iterable(row for row in rows if row is not None))
    values = np.asarray(found, dtype=np.float32).reshape(len(found), -1 if found else dim)
    return RaggedArray(offsets, values, None, _missing(rows))


def _offsets(lengths: Iterable[int]) -> npt.NDArray[np.int64]:
    return np.cumsum([0, *lengths], dtype=np.int64)


def _missing(rows: Sequence[Any]) -> Bools | None:
    found = np.fromiter((row is None for row in rows), np.bool_, len(rows))
    return found if found.any() else None


def ascending(ragged: RaggedArray) -> RaggedArray:
    """Sort the indices of each row."""
    if ragged.indices is None or not _falls(ragged).any():
        return ragged
    order = np.lexsort((ragged.indices, row_of_entry(ragged)))
    return RaggedArray(ragged.offsets, ragged.values[order], ragged.indices[order], ragged.missing)


def row_of_entry(ragged: RaggedArray) -> npt.NDArray[np.int64]:
    """Row number of each entry, int64 ``(total,)``."""
    return np.repeat(np.arange(len(ragged), dtype=np.int64), np.diff(ragged.offsets))


def _falls(ragged: RaggedArray, *, twice: bool = False) -> Bools:
    """Mask of entries with a smaller index than the entry before in the same row (with ``twice``,
    with the same index)."""
    found = np.zeros(len(ragged.values), dtype=np.bool_)
    if ragged.indices is not None and len(found) > 1:
        before, after = ragged.indices[:-1], ragged.indices[1:]
        rows = row_of_entry(ragged)
        wrong = after <= before if twice else after < before
        found[1:] = wrong & (rows[1:] == rows[:-1])
    return found


def without_zeros(ragged: RaggedArray) -> RaggedArray:
    """Remove entries that are 0, which do not affect dot products."""
    kept = ragged.values != 0
    if ragged.indices is None or kept.all():
        return ragged
    lengths = np.bincount(row_of_entry(ragged)[kept], minlength=len(ragged))
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])
    return RaggedArray(offsets, ragged.values[kept], ragged.indices[kept], ragged.missing)


# -- to rows -------------------------------------------------------------------------------------


def multi_rows(ragged: RaggedArray) -> Iterator[npt.NDArray[np.float32] | None]:
    """Iterate over the float32 ``(m, d)`` array of each row, as views; None if missing."""
    ends = ragged.offsets.tolist()
    gaps = ragged.absent().tolist()
    for row, gap in enumerate(gaps):
        yield None if gap else ragged.values[ends[row] : ends[row + 1]]


def sparse_rows(ragged: RaggedArray) -> Iterator[tuple[list[int], list[float]] | None]:
    """Iterate over the indices and values of each row as lists; None if missing."""
    ends, gaps = ragged.offsets.tolist(), ragged.absent().tolist()
    indices = [] if ragged.indices is None else ragged.indices.tolist()
    values = ragged.values.tolist()
    for row, gap in enumerate(gaps):
        start, stop = ends[row], ends[row + 1]
        yield None if gap else (indices[start:stop], values[start:stop])


# -- checks --------------------------------------------------------------------------------------


def faults(ragged: RaggedArray, extra: ExtraVector | None = None) -> dict[str, Bools]:
    """Masks of invalid rows, bool ``(n,)`` per reason that applies; missing rows are valid.

    Args:
        extra: definition of the vector; None checks only what is invalid for every vector.
    """
    rows, there = row_of_entry(ragged), ~ragged.absent()
    bad = np.asarray(~np.isfinite(ragged.values))
    bad = bad if bad.ndim == 1 else np.asarray(bad.any(axis=1))
    found = {NOT_FINITE: _any(rows, bad, len(ragged))}
    if ragged.indices is None:
        found[NO_ROWS] = np.diff(ragged.offsets) == 0
        if extra is not None and extra.metric is Metric.COSINE:
            zero = np.asarray(~ragged.values.any(axis=1))
            found[ZERO] = _any(rows, zero, len(ragged))
    else:
        found[NOT_ASCENDING] = _any(rows, _falls(ragged, twice=True), len(ragged))
    unheld = None if extra is None else _unheld(ragged, extra, ~bad)
    if unheld is not None:
        found[UNHELD] = _any(rows, unheld, len(ragged))
    if extra is not None and extra.metric is not None and ragged.indices is None:
        large = vector_norms.overflowing_rows(_finite(ragged, ~bad), extra.metric)
        if large is not None:
            found[OVERFLOWS] = _any(rows, large, len(ragged))
    masks = {why: mask & there for why, mask in found.items()}
    return {why: mask for why, mask in masks.items() if mask.any()}


def _unheld(ragged: RaggedArray, extra: ExtraVector, finite: Bools) -> Bools | None:
    """Mask of entries (or rows of multivectors) outside of the range of the datatype; None if all
    are valid."""
    if ragged.indices is not None:
        if extra.datatype != "float16":  # the other datatypes store a scale with the values
            return None
        large: Bools = finite & (np.abs(ragged.values) >= vector_norms.HALF_INFINITE)
        return large
    return vector_norms.unrepresentable_rows(
        _finite(ragged, finite), extra.datatype, cosine=extra.metric is Metric.COSINE
    )


def _finite(ragged: RaggedArray, finite: Bools) -> npt.NDArray[np.float32]:
    """The rows of multivectors, with zeros for those that are not finite."""
    found: npt.NDArray[np.float32] = np.where(finite[:, None], ragged.values, np.float32(0))
    return found


def rescaled(ragged: RaggedArray, extra: ExtraVector, *, normalizes_cosine: bool) -> RaggedArray:
    """Scale rows of multivectors with extreme norms to length 1 under cosine; see ``direction``.
    Other vectors are returned unchanged.

    Args:
        normalizes_cosine: whether the database stores rows normalized.
    """
    lengths = vector_norms.safe_norm_range(extra.datatype, normalizes_cosine=normalizes_cosine)
    if ragged.indices is not None or extra.metric is not Metric.COSINE or lengths is None:
        return ragged
    values = vector_norms.rescaled(ragged.values, lengths)
    return RaggedArray(ragged.offsets, values, None, ragged.missing)


def _any(rows: npt.NDArray[np.int64], bad: Bools, count: int) -> Bools:
    found: Bools = np.bincount(rows[bad], minlength=count) > 0
    return found


def check(
    ragged: RaggedArray, extra: ExtraVector, *, what: str, ids: Sequence[int | str] = ()
) -> None:
    """Raise an error for extra vectors that cannot be written.

    Args:
        ids: ids of all rows, for the message.

    Raises:
        DimensionError, NonFiniteError, ZeroVectorError: invalid values.
        InputError: another kind of vector, values outside of the range of the datatype, indices
            that do not ascend, or a multivector without rows.
    """
    if (ragged.indices is None) != (extra.kind == "multi"):
        given = "multivectors" if ragged.indices is None else "sparse vectors"
        raise InputError(
            f"{what} takes {extra.kind} vectors; got {given}",
            hint="a RaggedArray with indices holds sparse vectors, one without holds multivectors",
        )
    if extra.kind == "multi":
        if ragged.values.ndim != 2:
            raise InputError(
                f"the values of {what} must have the shape (total, d); got {ragged.values.shape}",
                hint="concatenate the vectors of all rows along the first axis",
            )
        if extra.dim is not None and ragged.values.shape[1] != extra.dim and len(ragged.values):
            raise DimensionError(extra.dim, ragged.values.shape[1], what=what)
    for why, mask in faults(ragged, extra).items():
        rows = np.flatnonzero(mask)
        first = rows[:100].tolist()
        named = [ids[row] for row in first] if ids else []
        if why == NOT_FINITE:
            raise NonFiniteError(first, len(rows), what=what, ids=named)
        if why == ZERO:
            raise ZeroVectorError(first, len(rows), what=what, ids=named)
        if why == UNHELD:
            raise unheld_rows(first, len(rows), datatype=extra.datatype, what=what, ids=named)
        if why == OVERFLOWS and extra.metric is not None:
            raise overflowing_rows(first, len(rows), metric=extra.metric, what=what, ids=named)
        raise InputError(
            f"{what}: row {first[0]} {f'(id {named[0]!r}) ' if named else ''}{why}"
            + (f"; and {len(rows) - 1:,} more" if len(rows) > 1 else ""),
            hint="nothing was written",
        )


def check_all(
    given: Mapping[str, RaggedArray],
    wanted: Mapping[str, ExtraVector],
    ids: Sequence[int | str] = (),
) -> None:
    """Check all extra vectors of a batch; their names must be known."""
    for name, ragged in given.items():
        check(ragged, wanted[name], what=f"vector {name!r}", ids=ids)
