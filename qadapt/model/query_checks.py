"""Queries: which vectors can be searched for."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from qadapt.errors import InputError
from qadapt.model.data import Floats, Vector, check_vectors
from qadapt.model.metric import Metric

_FLOAT = np.finfo(np.float32)
SHOWN = 10  # row numbers that a message names
# Lengths that engines normalise without loss; Qdrant takes anything shorter than 3.4e-4 for zero.
SHORT, LONG = 1e-3, 1e6


def check_queries(x: Floats, vector: Vector, *, what: str = "queries") -> None:
    """Refuse queries that cannot be compared with the rows of a vector.

    Args:
        x: float32 ``(nq, d)``.
        vector: what the collection expects.

    Raises:
        DimensionError, NonFiniteError, ZeroVectorError: see ``check_vectors``.
        InputError: the squared norm of a query overflows float32, or underflows it under cosine.
    """
    check_vectors(x, vector, what=what)
    check_norms(x, vector.metric, what=what)


def check_norms(x: Floats, metric: Metric, *, what: str = "queries") -> None:
    """Refuse queries of which float32 cannot hold the squared norm.

    Args:
        x: float32 ``(nq, d)``, finite.

    Raises:
        InputError: it overflows, or underflows under cosine.
    """
    squares = _squares(x)
    for wrong, word in (
        (squares > _FLOAT.max, "overflows"),
        (_underflows(squares, metric), "underflows"),
    ):
        rows = np.flatnonzero(wrong).tolist()
        if rows:
            named = ", ".join(map(str, rows[:SHOWN]))
            if len(rows) > SHOWN:
                named += f", ... ({len(rows):,} in all)"
            hint = "scale them to length 1"
            if metric is Metric.COSINE:
                hint += ", which changes no cosine"
            raise InputError(
                f"the squared norm {word} float32 in {what}, rows: {named}",
                hint=hint,
            )


def usable_queries(x: Floats, vector: Vector) -> npt.NDArray[np.bool_]:
    """Which vectors ``check_queries`` accepts, bool ``(nq,)``; all have the right dimensions."""
    with np.errstate(invalid="ignore", over="ignore"):
        squares = _squares(x)
    good = np.isfinite(squares) & (squares <= _FLOAT.max) & ~_underflows(squares, vector.metric)
    found: npt.NDArray[np.bool_] = good
    return found


def scaled_queries(x: Floats, vector: Vector) -> Floats:
    """Checked queries; under cosine, those of extreme length are scaled to length 1.

    Engines normalise in float32, and some take a short vector for one of length 1 or 0.
    """
    if vector.metric is not Metric.COSINE or vector.datatype in ("uint8", "int8"):
        return x
    lengths = np.sqrt(_squares(x))
    far = (lengths < SHORT) | (lengths > LONG)
    if not far.any():
        return x
    found = x.copy()
    found[far] = x[far] / lengths[far, None]
    return found


def _squares(x: Floats) -> npt.NDArray[np.float64]:
    found: npt.NDArray[np.float64] = np.einsum("ij,ij->i", x, x, dtype=np.float64)
    return found


def _underflows(squares: npt.NDArray[np.float64], metric: Metric) -> npt.NDArray[np.bool_]:
    under: npt.NDArray[np.bool_] = squares < _FLOAT.tiny
    return under if metric is Metric.COSINE else np.zeros_like(under)
