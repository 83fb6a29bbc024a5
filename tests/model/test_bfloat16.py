"""bfloat16 without a numpy type, and the names of datatypes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from qadapt.migration.compare import same_vectors
from qadapt.model import Vector, as_vectors
from qadapt.model.bfloat16 import from_bfloat16, to_bfloat16


@pytest.mark.parametrize(
    ("value", "bits"),
    [
        (1.0, 0x3F80),
        (-2.0, 0xC000),
        (1.00390625, 0x3F80),  # halfway between two values: the even one
        (1.01171875, 0x3F82),  # halfway: the even one is above
        (0.0, 0x0000),
        (3.4028235e38, 0x7F7F),  # would round to infinity
    ],
)
def test_values_are_rounded_to_the_nearest_even(value: float, bits: int) -> None:
    assert int(to_bfloat16(np.asarray([value], dtype=np.float32))[0]) == bits


def test_a_round_trip_is_within_half_a_unit() -> None:
    rows = np.random.default_rng(1).normal(size=(50, 16)).astype(np.float32)
    back = from_bfloat16(to_bfloat16(rows))
    assert back.shape == rows.shape and back.dtype == np.float32
    assert (np.abs(back - rows) <= np.abs(rows) * 2.0**-8).all()
    np.testing.assert_array_equal(to_bfloat16(back), to_bfloat16(rows))
    assert same_vectors(rows, back, "bfloat16").all()
    assert not same_vectors(rows, back + np.float32(0.1), "bfloat16").any()


class Half(np.ndarray):
    """An array as ml_dtypes returns it; ml_dtypes is no dependency."""

    @property
    def dtype(self) -> Any:
        return SimpleNamespace(name="bfloat16")


def test_arrays_of_ml_dtypes_are_accepted() -> None:
    rows = to_bfloat16(np.asarray([[1.0, -2.5]], dtype=np.float32)).view(Half)
    np.testing.assert_array_equal(as_vectors(rows), [[1.0, -2.5]])


@pytest.mark.parametrize(
    ("name", "datatype"), [("bf16", "bfloat16"), ("FP16", "float16"), ("fp32", "float32")]
)
def test_names_of_datatypes_are_understood(name: str, datatype: str) -> None:
    assert Vector(8, datatype=name).datatype == datatype  # type: ignore[arg-type]
