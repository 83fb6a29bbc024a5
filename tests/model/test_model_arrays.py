"""Arrays that users pass: conversion to float32, dimensions, rejected values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from qadapt.errors import (
    DimensionError,
    InputError,
    NonFiniteError,
    SpecError,
    ZeroVectorError,
)
from qadapt.model import Vector, as_vectors, check_vectors
from qadapt.model.arrays import as_matrix

X = np.arange(12, dtype=np.float32).reshape(4, 3) + 1


class _Tensor:
    """Like a torch tensor: not a numpy array, but convertible to one."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.asarray(self.array, dtype=dtype)


@pytest.mark.parametrize(
    "given_array",
    [
        X,
        X.tolist(),
        [row for row in X],  # noqa: C416 - a list of arrays
        tuple(map(tuple, X.tolist())),
        X.astype(np.float64),
        X.astype(np.float16),
        X.astype(np.int8),
        X.astype(np.uint8),
        np.asfortranarray(X),
        np.repeat(X, 2, axis=0)[::2],
        X.astype(">f4"),
        _Tensor(X),
        _Tensor(X.astype(np.float16)),
    ],
)
def test_as_vectors(given_array: Any) -> None:
    found = as_vectors(given_array)
    assert found.dtype == np.float32 and found.flags.c_contiguous and found.dtype.isnative
    np.testing.assert_array_equal(found, X)


def test_as_vectors_of_one_vector_and_of_none() -> None:
    assert as_vectors([1, 2, 3]).shape == (1, 3)
    assert as_vectors(np.zeros((0, 3))).shape == (0, 3)
    assert as_vectors(X) is X  # nothing is copied without need


def test_as_matrix_keeps_floats_and_widens_integers() -> None:
    for dtype in (np.float16, np.float32, np.float64):
        array = X.astype(dtype)
        assert as_matrix(array) is array
    assert as_matrix(X.astype(np.uint8)).dtype == np.float32
    assert as_matrix(X.astype(np.int64)).dtype == np.float64
    assert as_matrix(X.astype(np.longdouble)).dtype == np.float64


def test_as_matrix_checks_expected_dimensions() -> None:
    assert as_matrix([], dim=7).shape == as_matrix(np.zeros((0, 3)), dim=7).shape == (0, 7)
    with pytest.raises(DimensionError, match="7"):
        as_matrix(X, dim=7)


def test_strict_as_matrix_rejects_codes_and_vectors_without_dimensions() -> None:
    assert as_matrix([[1, -1]], strict=True).dtype == np.float64
    with pytest.raises(InputError, match="float16, float32 or float64; got an array of int8"):
        as_matrix(X.astype(np.int8), strict=True)
    with pytest.raises(InputError, match="shape"):
        as_matrix(np.zeros((2, 0)), strict=True)


@pytest.mark.parametrize(
    ("given_array", "says"),
    [
        ([[1, 2], [3]], "must have rows of equal length"),
        ([["a", "b"]], "must be an array of numbers"),
        ([[1, None]], "must be an array of numbers"),
        ([[1j]], "must be an array of numbers"),
        ({1, 2}, "must be an array of numbers"),
        ([[10**400]], "must be an array of numbers"),
        (np.array(["2024-01-01"], dtype="datetime64[D]"), "must be an array of numbers"),
        (np.zeros((2, 2, 2)), r"shape (n, d) or (d,); got (2, 2, 2)"),
        (5.0, r"shape (n, d) or (d,); got ()"),
        (None, "must be an array of numbers"),
    ],
)
def test_as_vectors_refuses(given_array: Any, says: str) -> None:
    with pytest.raises(InputError) as caught:
        as_vectors(given_array, what="queries")
    assert says in str(caught.value) and str(caught.value).startswith("queries")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300, -1e300])
def test_values_that_are_not_finite_are_named_by_row(bad: float) -> None:
    array = X.astype(np.float64)
    array[[1, 3], 2] = bad
    with pytest.raises(NonFiniteError) as caught:
        check_vectors(as_vectors(array), Vector(3))
    assert caught.value.rows == [1, 3] and caught.value.total == 2
    assert "rows: 1, 3" in str(caught.value) and "nothing was written" in str(caught.value)
    present = np.array([True, False, True, False])
    check_vectors(as_vectors(array), Vector(3), present=present)


def test_zero_vectors_are_refused_under_cosine_only() -> None:
    array = X.copy()
    array[2] = 0
    with pytest.raises(ZeroVectorError) as caught:
        check_vectors(array, Vector(3, "cosine"))  # type: ignore[arg-type]
    assert caught.value.rows == [2]
    for metric in ("dot", "euclidean"):
        check_vectors(array, Vector(3, metric))  # type: ignore[arg-type]
    check_vectors(array, Vector(3), present=np.array([True, True, False, True]))
    array[2, 0] = 1e-45  # the smallest float32 is not zero
    check_vectors(array, Vector(3))


def test_many_bad_rows_are_counted_and_not_all_listed() -> None:
    with pytest.raises(NonFiniteError) as caught:
        check_vectors(np.full((5000, 2), np.nan, dtype=np.float32), Vector(2))
    assert caught.value.total == 5000 and len(caught.value.rows) == 100
    assert "7, 8, 9, ... (5000 in total)" in str(caught.value)


@pytest.mark.parametrize("dim", [0, -1, 65537, 1.5, True])
def test_dimensions_of_a_vector(dim: Any) -> None:
    with pytest.raises(SpecError, match="from 1 to 65536"):
        Vector(dim)
    assert Vector(65536).dim == 65536 and Vector(np.int64(3)).dim == 3  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="unknown metric"):
        Vector(3, "hamming")  # type: ignore[arg-type]
