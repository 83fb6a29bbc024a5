"""The kernel that numba compiles encodes to the bytes of NumPy."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qadapt import jit
from qadapt.codecs import Calibration, ints, quantize
from qadapt.errors import NonFiniteError

pytestmark = pytest.mark.skipif(
    jit.unavailable_reason() is not None, reason=f"optional engine: {jit.unavailable_reason()}"
)


def both(x: np.ndarray, precision: str, calibration: Calibration) -> tuple[np.ndarray, np.ndarray]:
    """Codes by NumPy and by the kernel, in blocks of a few rows."""
    found = []
    for pays in (False, True):
        with mock.patch.object(ints, "_kernel_pays", lambda _, pays=pays: pays):
            codes = quantize(x, precision, calibration=calibration, block_bytes=5000)  # type: ignore[arg-type]
            found.append(codes)
    return found[0], found[1]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    rows=st.integers(1, 60),
    dim=st.one_of(st.integers(1, 40), st.sampled_from([384, 1000, 4096])),
    dtype=st.sampled_from([np.float16, np.float32, np.float64]),
    precision=st.sampled_from(["int8", "uint8"]),
    order=st.sampled_from("CF"),
)
def test_the_kernel_encodes_to_the_bytes_of_numpy(
    seed: int, rows: int, dim: int, dtype: type, precision: str, order: str
) -> None:
    rng = np.random.default_rng(seed)
    x = np.asarray(rng.standard_normal((rows, dim)) * 3, dtype=dtype, order=order)  # type: ignore[call-overload]
    x[rng.random(x.shape) < 0.05] = 60_000  # out of range
    lo = rng.uniform(-3, -1, dim)
    hi = np.where(rng.random(dim) < 0.1, lo, rng.uniform(1, 3, dim))  # some are constant
    calibration = Calibration.from_ranges(np.stack([lo, hi]).astype(np.float32))
    numpy, kernel = both(x, precision, calibration)
    assert numpy.dtype == kernel.dtype
    assert np.array_equal(numpy, kernel)


def test_the_largest_values_take_the_outer_buckets() -> None:
    x = np.array([[3.4e38, -3.4e38, 0.0]], dtype=np.float32)
    calibration = Calibration.from_ranges(np.array([[-1e-3] * 3, [1e-3] * 3], dtype=np.float32))
    assert both(x, "uint8", calibration)[1].tolist() == [[255, 0, 127]]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_kernel_rejects_values_that_are_not_finite(value: float, dtype: type) -> None:
    x = np.zeros((40, 33), dtype=dtype)
    x[[31, 37], [32, 0]] = value
    calibration = Calibration.from_ranges(np.array([[-1.0] * 33, [1.0] * 33], dtype=np.float32))
    with (
        mock.patch.object(ints, "_kernel_pays", lambda _: True),
        pytest.raises(NonFiniteError) as caught,
    ):
        quantize(x, "int8", calibration=calibration)
    assert list(caught.value.rows) == [31, 37]
