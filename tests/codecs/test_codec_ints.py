"""quantize and dequantize: values, input forms, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from slow import examples

from qadapt.codecs import PRECISIONS, Calibration, dequantize, pack_bits, quantize
from qadapt.codecs.blocks import all_finite
from qadapt.errors import CalibrationError, DimensionError, InputError, NonFiniteError, SpecError

quick = settings(max_examples=examples(80), deadline=None)

every_precision = pytest.mark.parametrize("precision", PRECISIONS)
float32s = st.floats(width=32, allow_nan=False, allow_infinity=False)
moderate = st.floats(-1e6, 1e6, width=32)


def columns(elements):
    """Two float32 matrices with the same number of dimensions: a sample, and vectors to code."""
    return st.integers(1, 30).flatmap(
        lambda dim: st.tuples(
            *[
                hnp.arrays(
                    np.float32, st.tuples(st.integers(2, 12), st.just(dim)), elements=elements
                )
                for _ in range(2)
            ]
        )
    )


def formula(x, calibration):
    """Codes by the formula, computed naively."""
    with np.errstate(over="ignore"):
        buckets = np.floor((x - calibration.lo) / calibration.steps)
    return np.clip(buckets, 0, 255).astype(np.uint8)


@pytest.mark.filterwarnings("ignore::qadapt.codecs.CalibrationWarning")
@quick
@given(columns(float32s))
def test_any_finite_vectors_get_the_codes_of_the_formula(pair):
    sample, x = pair
    try:
        calibration = Calibration.fit(sample)
    except CalibrationError:  # a range wider than float32: refused, tested elsewhere
        return
    for given_x in (x, sample, x.astype(np.float64)):
        codes = quantize(given_x, "uint8", calibration=calibration)
        np.testing.assert_array_equal(codes, formula(given_x, calibration))
        signed = quantize(given_x, "int8", calibration=calibration)
        np.testing.assert_array_equal(signed, codes.astype(np.int16) - 128)


@pytest.mark.filterwarnings("ignore::qadapt.codecs.CalibrationWarning")
@quick
@given(columns(moderate))
@example((np.float32([[1e6, 0], [1e6 + 0.0625, 0]]), np.float32([[1e6, 0]])))
@example((np.float32([[0], [1.011e-41]]), np.float32([[0]])))  # below the normal numbers
def test_values_in_range_are_decoded_within_half_a_step(pair):
    sample, _ = pair
    calibration = Calibration.fit(sample)
    back = dequantize(quantize(sample, "int8", calibration=calibration), calibration)
    constant = calibration.hi == calibration.lo
    # half a bucket, rounding of the last bucket, and float32 rounding
    room = 0.5 * calibration.steps * ~constant
    room = room + 8e-7 * (np.abs(calibration.lo) + np.abs(calibration.hi))
    # a step so small is itself rounded to float32, and is taken up to 255 times
    room = room + 255 * np.finfo(np.float32).smallest_subnormal
    assert (np.abs(back - sample) <= room + calibration.steps * ~constant * 1e-3).all()


def test_constant_dimensions_are_decoded_exactly(vectors):
    x = vectors.copy()
    x[:, 4], x[:, 9] = 0.3, 0
    calibration = Calibration.fit(x)
    for precision, first in (("int8", -128), ("uint8", 0)):
        codes = quantize(x, precision, calibration=calibration)
        assert (codes[:, [4, 9]] == first).all()
        np.testing.assert_array_equal(dequantize(codes, calibration)[:, [4, 9]], x[:, [4, 9]])


def test_the_half_step_halves_the_error_and_removes_the_bias(vectors, calibration):
    codes = quantize(vectors, "int8", calibration=calibration)
    middle = (dequantize(codes, calibration) - vectors) / calibration.steps
    edge = (dequantize(codes, calibration, half_step=False) - vectors) / calibration.steps
    assert abs(middle.mean()) < 0.02
    assert edge.mean() == pytest.approx(-0.5, abs=0.02)
    assert np.sqrt((edge**2).mean()) / np.sqrt((middle**2).mean()) == pytest.approx(2, abs=0.05)


def test_uint8_and_int8_codes_stand_for_the_same_vectors(vectors, calibration):
    for half_step in (True, False):
        signed, unsigned = (
            dequantize(
                quantize(vectors, p, calibration=calibration), calibration, half_step=half_step
            )
            for p in ("int8", "uint8")
        )
        np.testing.assert_array_equal(signed, unsigned)


def test_float16_is_rounded(vectors):
    np.testing.assert_array_equal(quantize(vectors, "float16"), vectors.astype(np.float16))


def test_beyond_float16_is_refused_with_the_row(vectors):
    x = vectors.copy()
    x[321, 2] = 65519.9  # still rounds down to 65504
    assert quantize(x, "float16")[321, 2] == 65504
    x[321, 2] = -65520
    with pytest.raises(InputError, match="row 321"):
        quantize(x, "float16")


@every_precision
def test_one_vector_returns_one_row(vectors, calibration, precision):
    many = quantize(vectors, precision, calibration=calibration)
    one = quantize(vectors[11], precision, calibration=calibration)
    assert one.shape == many.shape[1:]
    np.testing.assert_array_equal(one, many[11])


@every_precision
def test_no_vectors_give_no_rows(calibration, precision):
    codes = quantize(np.empty((0, 37), np.float32), precision, calibration=calibration)
    reference = quantize(np.ones((1, 37), np.float32), precision, calibration=calibration)
    assert codes.shape == (0, reference.shape[1])
    assert codes.dtype == reference.dtype


@every_precision
@pytest.mark.parametrize("order", ["reversed", "column-major", "strided", "big-endian"])
def test_memory_layout_makes_no_difference(vectors, calibration, precision, order):
    x = {
        "reversed": vectors[::-1][::-1],
        "column-major": np.asfortranarray(vectors),
        "strided": np.repeat(vectors, 2, axis=1)[:, ::2],
        "big-endian": vectors.astype(">f4"),
    }[order]
    np.testing.assert_array_equal(
        quantize(x, precision, calibration=calibration),
        quantize(vectors, precision, calibration=calibration),
    )


@every_precision
def test_lists_are_read_as_float64(vectors, calibration, precision):
    np.testing.assert_array_equal(
        quantize(vectors[:9].tolist(), precision, calibration=calibration),
        quantize(vectors[:9].astype(np.float64), precision, calibration=calibration),
    )


def test_lists_of_integers_are_vectors():
    assert pack_bits([[1, 0, -1]]).tolist() == [[128]]


@every_precision
def test_the_input_is_not_changed(vectors, calibration, precision):
    x = vectors.copy()
    quantize(x, precision, calibration=calibration)
    np.testing.assert_array_equal(x, vectors)


@every_precision
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_every_row_that_is_not_finite_is_named(calibration, precision, dtype, value):
    x = np.ones((3000, 37), dtype=dtype)
    x[[5, 1400, 2999], [0, 20, 36]] = value
    with pytest.raises(NonFiniteError) as caught:
        quantize(x, precision, calibration=calibration, block_bytes=4096)
    assert caught.value.rows == [5, 1400, 2999]
    assert caught.value.total == 3


@every_precision
def test_rows_are_counted_from_the_start_when_only_late_ones_are_not_finite(calibration, precision):
    x = np.ones((3000, 37), dtype=np.float32)
    x[[2500, 2999], 7] = np.nan
    with pytest.raises(NonFiniteError) as caught:
        quantize(x, precision, calibration=calibration, block_bytes=4096)
    assert caught.value.rows == [2500, 2999]
    assert caught.value.total == 2


def test_overflow_during_encoding_saturates_without_a_warning():
    calibration = Calibration.from_ranges([[-1e38, 0], [1e38, 1e-30]])
    x = np.float32([[3e38, 3e38], [-3e38, -3e38]])  # x - lo or its quotient leaves float32
    assert quantize(x, "uint8", calibration=calibration).tolist() == [[255, 255], [0, 0]]


def test_many_rows_that_are_not_finite_are_counted(calibration):
    x = np.full((5000, 37), np.nan, dtype=np.float32)
    x[0] = 1
    with pytest.raises(NonFiniteError) as caught:
        quantize(x, "ubinary")
    assert caught.value.rows[:2] == [1, 2]
    assert caught.value.total == 4999


@quick
@given(
    hnp.arrays(st.sampled_from([np.float32, np.float64]), st.integers(1, 200)),
    st.sampled_from([np.nan, np.inf, -np.inf, None]),
    st.data(),
)
def test_the_fast_finite_check_equals_the_exact_one(block, poison, data):
    if poison is not None:
        block[data.draw(st.integers(0, len(block) - 1))] = poison
    assert all_finite(block) == np.isfinite(block).all()


def test_large_finite_values_are_not_infinite():
    x = np.full((3, 8), np.finfo(np.float32).max)
    x[1] *= -1
    assert pack_bits(x).tolist() == [[255], [0], [255]]


@pytest.mark.parametrize("precision", ["int8", "uint8"])
def test_integer_codes_without_calibration_are_refused_with_a_hint(vectors, precision):
    with pytest.raises(CalibrationError, match=r"Calibration\.fit\(sample\)"):
        quantize(vectors, precision)


def test_wrong_dimensions_are_refused(vectors, calibration):
    with pytest.raises(DimensionError, match="36 dimensions, expected 37"):
        quantize(vectors[:, :36], "int8", calibration=calibration)
    with pytest.raises(DimensionError, match="36 dimensions, expected 37"):
        dequantize(np.zeros((2, 36), np.int8), calibration)


@pytest.mark.parametrize(
    "x",
    [
        np.zeros((2, 8), np.int8),
        np.zeros((2, 8), np.uint8),
        np.zeros((2, 8), np.int64),
        np.zeros((2, 8), bool),
        np.zeros((2, 8), complex),
        np.zeros((2, 2, 8)),
        np.zeros((2, 0)),
        np.float32(3),
        [[1.0, 2.0], [3.0]],
        [["a", "b"]],
        [],
    ],
    ids=lambda x: f"{np.asarray(x, dtype=object).shape}-{getattr(x, 'dtype', 'list')}",
)
def test_other_arrays_than_float_matrices_are_refused(x):
    with pytest.raises(InputError):
        pack_bits(x)


def test_codes_passed_as_vectors_are_recognized():
    with pytest.raises(InputError, match="dequantize"):
        quantize(np.zeros((2, 8), np.int8), "binary")


def test_an_unknown_precision_lists_the_known_ones(vectors):
    with pytest.raises(SpecError, match="did you mean 'ubinary'"):
        quantize(vectors, "ubinari")


def test_a_block_size_under_one_is_refused(vectors):
    with pytest.raises(InputError, match="block_bytes"):
        quantize(vectors, "binary", block_bytes=0)


def test_dequantize_refuses_other_dtypes_and_shapes(calibration):
    with pytest.raises(InputError, match="int16"):
        dequantize(np.zeros((2, 37), np.int16), calibration)
    with pytest.raises(InputError, match="1 or 2 axes"):
        dequantize(np.zeros((2, 2, 37), np.int8), calibration)
    assert dequantize(np.zeros(37, np.int8), calibration).shape == (37,)
