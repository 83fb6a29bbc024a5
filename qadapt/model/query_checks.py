"""Checks of query vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.errors import InputError
from qadapt.model.arrays import Floats, check_vectors
from qadapt.model.metric import Metric
from qadapt.model.vector import Vector
from qadapt.model.vector_norms import LARGEST

_FLOAT = np.finfo(np.float32)
_FLOAT32 = np.dtype(np.float32)
# The function in C, without the one in Python that looks for other types of arrays.
_vdot: Any = getattr(np.vdot, "__wrapped__", np.vdot)
SHOWN = 10  # row numbers listed in a message
# Norms that engines normalize without loss; Qdrant treats norms below 3.4e-4 as zero.
SHORT, LONG = 1e-3, 1e6


def check_queries(x: Floats, vector: Vector, *, what: str = "queries") -> None:
    """Raise an error for queries that cannot be compared with the rows of a vector.

    Args:
        x: float32 ``(nq, d)``.
        vector: definition of the vector.

    Raises:
        DimensionError, NonFiniteError, ZeroVectorError: see ``check_vectors``.
        InputError: the squared norm of a query overflows float32 (or a score may, under dot and
            euclidean), or underflows it under cosine.
    """
    if vector.datatype == "float32" and x.shape[1] == vector.dim and _ordinary(_squares(x)):
        return
    check_vectors(x, vector, what=what)
    check_norms(x, vector.metric, what=what)


# Squared norms of queries that every store sends unchanged, for all datatypes.
_LEAST, _MOST = 0.02**2, 1e8


def plain_queries(queries: Any, vector: Vector) -> Floats | None:
    """Queries that need no check and no scaling, as C-ordered float32 ``(nq, d)``.

    This takes microseconds. None if the general checks are required; they may accept the queries.

    Args:
        queries: as given by the caller.
    """
    if vector.datatype != "float32":
        return None
    kind = type(queries)
    if kind is np.ndarray and queries.dtype is _FLOAT32 and queries.shape == (vector.dim,):
        good = _LEAST <= float(_vdot(queries, queries)) <= _MOST  # False for NaN
        return np.ascontiguousarray(queries)[None] if good else None
    if kind is list and queries and type(queries[0]) is float:
        try:
            queries = np.array(queries)
        except ValueError:
            return None
    elif kind is not np.ndarray:
        return None
    datatype = queries.dtype.char if queries.dtype.isnative else ""
    if datatype != "f":
        if datatype != "d" or not queries.size or abs(queries).max() > _FLOAT.max:
            return None
        queries = queries.astype(np.float32)
    shape = queries.shape
    if shape == (vector.dim,):
        queries = queries[None]
    elif len(shape) != 2 or shape[1] != vector.dim or not shape[0]:
        return None
    queries = np.ascontiguousarray(queries)
    # Without a warning for NaN or an overflow, as opposed to ``dot``.
    if len(queries) == 1:
        good = _LEAST <= float(np.vdot(queries, queries)) <= _MOST
    else:
        squares = np.einsum("ij,ij->i", queries, queries)
        good = squares.min() >= _LEAST and squares.max() <= _MOST
    return queries if good else None


def check_norms(x: Floats, metric: Metric, *, what: str = "queries") -> None:
    """Raise an error for queries whose squared norm is outside of the range of float32.

    Args:
        x: float32 ``(nq, d)``, finite.

    Raises:
        InputError: it overflows, or underflows under cosine.
    """
    squares = _squares(x)
    for wrong, word in (
        (_overflows(squares, metric), "overflows"),
        (_underflows(squares, metric), "underflows"),
    ):
        rows = np.flatnonzero(wrong).tolist()
        if rows:
            named = ", ".join(map(str, rows[:SHOWN]))
            if len(rows) > SHOWN:
                named += f", ... ({len(rows):,} in total)"
            hint = "scale them to length 1"
            if metric is Metric.COSINE:
                hint += ", which does not change cosine scores"
            raise InputError(
                f"the squared norm {word} float32 in {what}, rows: {named}",
                hint=hint,
            )


def usable_queries(x: Floats, vector: Vector) -> npt.NDArray[np.bool_]:
    """Mask of the vectors that ``check_queries`` accepts, bool ``(nq,)``; dimensions must match."""
    with np.errstate(invalid="ignore", over="ignore"):
        squares = _squares(x)
    metric = vector.metric
    good = np.isfinite(squares) & ~_overflows(squares, metric) & ~_underflows(squares, metric)
    found: npt.NDArray[np.bool_] = good
    return found


def scaled_queries(x: Floats, vector: Vector) -> Floats:
    """Check queries; under cosine, those with extreme norms are scaled to length 1.

    Engines normalize in float32, and some treat a short vector as normalized or as zero.
    """
    if vector.metric is not Metric.COSINE or vector.datatype in ("uint8", "int8", "bit"):
        return x
    squares = _squares(x)
    if _ordinary(squares):
        return x
    lengths = np.sqrt(squares)
    far = (lengths < SHORT) | (lengths > LONG)
    if not far.any():
        return x
    found = x.copy()
    found[far] = x[far] / lengths[far, None]
    return found


def _squares(x: Floats) -> npt.NDArray[np.float64]:
    found: npt.NDArray[np.float64] = np.einsum("ij,ij->i", x, x, dtype=np.float64)
    return found


def _ordinary(squares: npt.NDArray[np.float64]) -> bool:
    """Whether all norms are in the range from SHORT to LONG; False with NaN. One query takes
    microseconds, and no other check can then fail for float32."""
    return bool(len(squares) and squares.min() >= SHORT**2 and squares.max() <= LONG**2)


def _overflows(squares: npt.NDArray[np.float64], metric: Metric) -> npt.NDArray[np.bool_]:
    largest = LARGEST.get(metric)
    over: npt.NDArray[np.bool_] = squares > (_FLOAT.max if largest is None else largest**2)
    return over


def _underflows(squares: npt.NDArray[np.float64], metric: Metric) -> npt.NDArray[np.bool_]:
    under: npt.NDArray[np.bool_] = squares < _FLOAT.tiny
    return under if metric is Metric.COSINE else np.zeros_like(under)
