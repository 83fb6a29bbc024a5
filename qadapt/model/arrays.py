"""Checks and conversion of arrays of vectors."""

from __future__ import annotations

from collections.abc import Sequence
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
from qadapt.model.array_input import plain_array
from qadapt.model.ids import Id
from qadapt.model.metric import Metric
from qadapt.model.value_errors import overflowing_rows, unheld_rows
from qadapt.model.vector import Vector

Floats = npt.NDArray[np.float32]
Vectors = npt.NDArray[np.floating[Any]]

_PLAIN = frozenset({np.float16, np.float32, np.float64})


def as_matrix(
    x: npt.ArrayLike, *, what: str = "vectors", dim: int | None = None, strict: bool = False
) -> Vectors:
    """Convert to a float array of shape ``(n, d)``; ``(d,)`` becomes ``(1, d)``.

    float16, float32 and float64 are not copied. Integers and booleans become float32 or, if it
    cannot hold them, float64.

    Args:
        x: an array of numbers, or nested lists of numbers; see ``plain_array``.
        what: name of ``x`` in messages.
        dim: expected dimensions. An empty ``x`` then becomes ``(0, dim)``.
        strict: reject arrays of integers, which may be codes (nested lists are accepted), and
            vectors without dimensions.

    Raises:
        InputError: not numbers, masked values, rows of different length, or not 1 or 2 axes.
        DimensionError: ``dim`` is given and ``x`` has other dimensions.
    """
    if (
        type(x) is np.ndarray
        and x.dtype.type in _PLAIN
        and x.ndim == 2
        and x.shape[1] == dim
        and len(x)
    ):
        return x  # no other check applies; a search takes microseconds
    if np.ma.is_masked(x):
        raise InputError(
            f"{what} must not have masked values",
            hint="use x.filled(value), or omit the rows",
        )
    array = plain_array(x, what=what)
    if array.dtype.kind not in "fiub":
        raise InputError(
            f"{what} must be an array of numbers; got an array of {array.dtype}",
            hint="numpy.asarray(rows, dtype='float32') shows which row is invalid",
        )
    if array.dtype.kind != "f":
        if strict and hasattr(x, "dtype"):
            raise InputError(
                f"{what} must be float16, float32 or float64; got an array of {array.dtype}",
                hint="dequantize() converts int8 and uint8 codes to float32",
            )
        array = array.astype(np.result_type(array.dtype, np.float32))
    elif array.dtype.itemsize > 8:
        with np.errstate(over="ignore"):
            array = array.astype(np.float64)
    if dim is not None and array.size == 0 and array.shape in ((0,), (0, *array.shape[1:2])):
        return np.empty((0, dim), dtype=np.float32)
    if array.ndim not in (1, 2) or (strict and array.shape[-1] == 0):
        raise InputError(
            f"{what} must have the shape (n, d) or (d,); got {array.shape}",
            hint="n is the number of vectors and d the number of dimensions",
        )
    array = np.atleast_2d(array)
    if dim is not None and array.shape[1] != dim:
        raise DimensionError(dim, array.shape[1], what=what)
    return array


def as_vectors(x: npt.ArrayLike, *, what: str = "vectors") -> Floats:
    """Convert to C-ordered float32 of shape ``(n, d)``; ``(d,)`` becomes ``(1, d)``.

    Raises:
        InputError: as ``as_matrix``, or nonzero rows that become zero in float32. Numbers too
            large for float32 become infinite, which ``check_vectors`` rejects.
    """
    raw = as_matrix(x, what=what)
    with np.errstate(over="ignore"):
        found: Floats = np.ascontiguousarray(raw, dtype=np.float32)
    if raw.dtype.itemsize > 4:
        nothing = np.flatnonzero(~found.any(axis=1))
        lost = nothing[raw[nothing].any(axis=1)]
        if len(lost):
            raise unheld_rows(lost[:100].tolist(), len(lost), datatype="float32", what=what)
    return found


def check_vectors(
    x: Floats,
    vector: Vector,
    *,
    what: str = "vectors",
    present: npt.NDArray[np.bool_] | None = None,
    ids: Sequence[Id] = (),
) -> None:
    """Raise an error for wrong dimensions, NaN, infinity, zero vectors under cosine, values outside
    of the range of the datatype, and norms whose scores overflow float32.

    Args:
        x: float32 ``(n, d)``.
        vector: definition of the vector.
        present: bool ``(n,)``, rows to check; all by default.
        ids: ids of all rows, for the message.

    Raises:
        DimensionError, NonFiniteError, ZeroVectorError: invalid vectors.
        InputError: values outside of the range of the datatype, or a norm above
            ``vector_norms.LARGEST``.
    """
    if x.shape[1] != vector.dim:
        raise DimensionError(vector.dim, x.shape[1], what=what)
    cosine = vector.metric is Metric.COSINE
    if (named := _named(_non_finite(x), present, ids)) is not None:
        raise NonFiniteError(*named[:2], what=what, ids=named[2])
    if cosine and (named := _named(np.asarray(~x.any(axis=1)), present, ids)) is not None:
        raise ZeroVectorError(*named[:2], what=what, ids=named[2])
    unheld = vector_norms.unrepresentable_rows(x, vector.datatype, cosine=cosine)
    if unheld is not None and (named := _named(unheld, present, ids)) is not None:
        raise unheld_rows(*named[:2], datatype=vector.datatype, what=what, ids=named[2])
    large = vector_norms.overflowing_rows(x, vector.metric)
    if large is not None and (named := _named(large, present, ids)) is not None:
        raise overflowing_rows(*named[:2], metric=vector.metric, what=what, ids=named[2])


def _non_finite(x: Floats) -> npt.NDArray[np.bool_]:
    """Mask of rows with NaN or infinity.

    A sum with NaN or infinity is not finite, and takes half of the time of the test of each number.
    That of large finite numbers need not be finite, either.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        wrong = ~np.isfinite(np.einsum("ij->i", x))
    if wrong.any():
        wrong[wrong] = ~np.isfinite(x[wrong]).all(axis=1)
    return np.asarray(wrong)


def _named(
    bad: npt.NDArray[np.bool_], present: npt.NDArray[np.bool_] | None, ids: Sequence[Id]
) -> tuple[list[int], int, list[Id]] | None:
    """First rows of a mask, their total number, and their ids; None if the mask is empty."""
    if present is not None:
        bad = bad & present
    if not bad.any():
        return None
    rows = np.flatnonzero(bad)
    first = rows[:100].tolist()
    return first, len(rows), [ids[row] for row in first] if ids else []
