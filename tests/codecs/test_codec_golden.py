"""Comparison with codes of sentence-transformers 6.2.0 (benchmarks/golden_codes.py)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qadapt.codecs import PRECISIONS, Calibration, dequantize, quantize

DTYPES = {"f2": np.float16, "f4": np.float32, "f8": np.float64}
CALIBRATION_ROWS = 12

every_dim = pytest.mark.parametrize("dim", [8, 13, 100, 384])
every_dtype = pytest.mark.parametrize("dtype", DTYPES)


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(Path(__file__).with_name("golden.npz"), allow_pickle=False) as file:
        return dict(file)


def test_the_reference_is_the_version_that_is_promised(golden):
    assert str(golden["reference"]) == "sentence-transformers 6.2.0"


@every_dim
@every_dtype
@pytest.mark.parametrize("precision", [p for p in PRECISIONS if p != "float16"])
@pytest.mark.parametrize("block_bytes", [1, 5000, 1 << 20])
def test_codes_are_byte_identical(golden, dim, dtype, precision, block_bytes):
    x = golden[f"{dim}/x"].astype(DTYPES[dtype])
    calibration = Calibration.from_ranges(golden[f"{dim}/{dtype}/ranges"])
    codes = quantize(x, precision, calibration=calibration, block_bytes=block_bytes)
    expected = golden[f"{dim}/{dtype}/{precision}"]
    assert codes.dtype == expected.dtype
    np.testing.assert_array_equal(codes, expected)


@every_dim
@every_dtype
@pytest.mark.filterwarnings("ignore::qadapt.codecs.CalibrationWarning")
def test_fitted_ranges_are_identical(golden, dim, dtype):
    sample = golden[f"{dim}/x"][:CALIBRATION_ROWS].astype(DTYPES[dtype])
    fitted = Calibration.fit(sample)
    np.testing.assert_array_equal(np.stack([fitted.lo, fitted.hi]), golden[f"{dim}/{dtype}/ranges"])


@every_dim
def test_dequantized_without_half_step_is_the_reference_up_to_rounding(golden, dim):
    calibration = Calibration.from_ranges(golden[f"{dim}/f4/ranges"])
    expected = golden[f"{dim}/f4/back"]
    for precision in ("int8", "uint8"):
        back = dequantize(golden[f"{dim}/f4/{precision}"], calibration, half_step=False)
        np.testing.assert_allclose(back, expected, rtol=1e-6, atol=2e-6)


@every_dim
def test_the_golden_vectors_reach_every_edge(golden, dim):
    """Guards the file itself: without these cases the identity above would prove little."""
    x, codes = golden[f"{dim}/x"], golden[f"{dim}/f4/uint8"]
    lo, hi = golden[f"{dim}/f4/ranges"]
    assert codes.min() == 0
    assert codes.max() == 255
    assert (lo == hi).any(), "no constant dimension"
    assert (x > hi).any() and (x < lo).any(), "nothing out of range"
    assert ((x == 0) & np.signbit(x)).any(), "no -0.0"
    at_hi = codes[CALIBRATION_ROWS + 3]
    assert set(np.unique(at_hi[lo < hi])) <= {254, 255}
    if dim >= 100:
        assert (golden[f"{dim}/f2/uint8"] != codes).any(), "float16 makes no difference"
