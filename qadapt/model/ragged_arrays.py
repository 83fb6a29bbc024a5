"""Ragged extra vectors from what clients give, row by row in the middle, and their checks."""

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
    unheld_rows,
)
from qadapt.model import vector_norms
from qadapt.model.collection_schema import ExtraVector, RaggedArray
from qadapt.model.metric import Metric

Bools = npt.NDArray[np.bool_]
# Why a row is one that no store takes.
NOT_FINITE = "holds NaN or infinity"
NOT_ASCENDING = "has an index twice, or indices that do not ascend"
NO_ROWS = "has no rows: a multivector has at least one"
ZERO = "has a row of zeros, which has no direction under cosine"
UNHELD = "has values that its datatype cannot hold"


# -- from rows -----------------------------------------------------------------------------------


def from_sparse(rows: Sequence[tuple[Any, Any] | None]) -> RaggedArray:
    """Sparse vectors of (indices, values) of each row, in any order; None for a row without one.

    Args:
        rows: indices of a row are numbers from 0 to 2**32 - 1, in any iterable with a length.
    """
    there = [row for row in rows if row is not None]
    offsets = _offsets(0 if row is None else len(row[1]) for row in rows)
    total = int(offsets[-1])
    indices = np.fromiter(chain.from_iterable(row[0] for row in there), np.uint32, total)
    values = np.fromiter(chain.from_iterable(row[1] for row in there), np.float32, total)
    return ascending(RaggedArray(offsets, values, indices, _missing(rows)))


def from_multivectors(rows: Sequence[Sequence[Any] | None], dim: int) -> RaggedArray:
    """Multivectors of the vectors of each row; None for a row without one."""
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
    """The same sparse vectors with the indices of each row in order."""
    if ragged.indices is None or not _falls(ragged).any():
        return ragged
    order = np.lexsort((ragged.indices, row_of_entry(ragged)))
    return RaggedArray(ragged.offsets, ragged.values[order], ragged.indices[order], ragged.missing)


def row_of_entry(ragged: RaggedArray) -> npt.NDArray[np.int64]:
    """The row of each entry, int64 ``(total,)``."""
    return np.repeat(np.arange(len(ragged), dtype=np.int64), np.diff(ragged.offsets))


def _falls(ragged: RaggedArray, *, twice: bool = False) -> Bools:
    """Entries whose index is below the one before in the same row (or, ``twice``, the same)."""
    found = np.zeros(len(ragged.values), dtype=np.bool_)
    if ragged.indices is not None and len(found) > 1:
        before, after = ragged.indices[:-1], ragged.indices[1:]
        rows = row_of_entry(ragged)
        wrong = after <= before if twice else after < before
        found[1:] = wrong & (rows[1:] == rows[:-1])
    return found


def without_zeros(ragged: RaggedArray) -> RaggedArray:
    """Sparse vectors without the entries that are 0, which no dot product sees."""
    kept = ragged.values != 0
    if ragged.indices is None or kept.all():
        return ragged
    lengths = np.bincount(row_of_entry(ragged)[kept], minlength=len(ragged))
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])
    return RaggedArray(offsets, ragged.values[kept], ragged.indices[kept], ragged.missing)


# -- to rows -------------------------------------------------------------------------------------


def multi_rows(ragged: RaggedArray) -> Iterator[npt.NDArray[np.float32] | None]:
    """The float32 ``(m, d)`` of each row, views; None for a row without one."""
    ends = ragged.offsets.tolist()
    gaps = ragged.absent().tolist()
    for row, gap in enumerate(gaps):
        yield None if gap else ragged.values[ends[row] : ends[row + 1]]


def sparse_rows(ragged: RaggedArray) -> Iterator[tuple[list[int], list[float]] | None]:
    """Indices and values of each row as lists; None for a row without one."""
    ends, gaps = ragged.offsets.tolist(), ragged.absent().tolist()
    indices = [] if ragged.indices is None else ragged.indices.tolist()
    values = ragged.values.tolist()
    for row, gap in enumerate(gaps):
        start, stop = ends[row], ends[row + 1]
        yield None if gap else (indices[start:stop], values[start:stop])


# -- checks --------------------------------------------------------------------------------------


def faults(ragged: RaggedArray, extra: ExtraVector | None = None) -> dict[str, Bools]:
    """Rows that no store takes, bool ``(n,)`` for each reason that there is; gaps are none.

    Args:
        extra: the vector that they go to; None asks for what no vector takes.
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
    masks = {why: mask & there for why, mask in found.items()}
    return {why: mask for why, mask in masks.items() if mask.any()}


def _unheld(ragged: RaggedArray, extra: ExtraVector, finite: Bools) -> Bools | None:
    """Entries, or rows of multivectors, that the datatype cannot hold; None for none."""
    if ragged.indices is not None:
        if extra.datatype != "float16":  # the others keep a scale beside their values
            return None
        large: Bools = finite & (np.abs(ragged.values) >= vector_norms.HALF_INFINITE)
        return large
    values = np.where(finite[:, None], ragged.values, np.float32(0))
    return vector_norms.unrepresentable_rows(
        values, extra.datatype, cosine=extra.metric is Metric.COSINE
    )


def rescaled(ragged: RaggedArray, extra: ExtraVector, *, normalizes_cosine: bool) -> RaggedArray:
    """Multivectors whose rows have, under cosine, a length that the store can compute with; see
    ``direction``. Others, and sparse vectors, are as they were.

    Args:
        normalizes_cosine: whether the store keeps rows at length 1.
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
    """Refuse extra vectors that must not be written.

    Args:
        ids: of all rows, for the error.

    Raises:
        DimensionError, NonFiniteError, ZeroVectorError
        InputError: of another kind, values that the datatype cannot hold, indices that do not
            ascend, a multivector without rows.
    """
    if (ragged.indices is None) != (extra.kind == "multi"):
        given = "multivectors" if ragged.indices is None else "sparse vectors"
        raise InputError(f"{what} is {extra.kind}; got {given}")
    if extra.kind == "multi":
        if ragged.values.ndim != 2:
            raise InputError(f"{what} must have values (total, d); got {ragged.values.shape}")
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
    """Refuse extra vectors of a batch that must not be written; all names are known."""
    for name, ragged in given.items():
        check(ragged, wanted[name], what=f"vector {name!r}", ids=ids)
