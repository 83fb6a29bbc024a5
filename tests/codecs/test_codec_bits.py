"""Sign bits: packing, both encodings, unpacking, words."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from slow import examples

from qadapt.codecs import pack_bits, pad_words, quantize, to_signed, to_unsigned, unpack_signs
from qadapt.errors import DimensionError, InputError

quick = settings(max_examples=examples(60), deadline=None)

finite = hnp.arrays(
    st.sampled_from([np.float16, np.float32, np.float64]),
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40),
    elements={"allow_nan": False, "allow_infinity": False},
)
uint8s = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=2, max_side=20))


def test_dimension_0_is_the_top_bit():
    assert pack_bits(np.array([[1.0, -1, -1, -1, -1, -1, -1, 2, 3]])).tolist() == [
        [0b10000001, 128]
    ]


def test_zero_and_minus_zero_and_the_smallest_numbers():
    tiny = np.finfo(np.float32).smallest_subnormal
    x = np.array([[0.0, -0.0, tiny, -tiny, 1, -1, 0, tiny]], dtype=np.float32)
    assert pack_bits(x).tolist() == [[0b00101001]]


@quick
@given(finite)
def test_pack_then_unpack_gives_the_signs(x):
    signs = unpack_signs(pack_bits(x), x.shape[1])
    assert signs.dtype == np.float32
    np.testing.assert_array_equal(signs, np.where(x > 0, 1, -1))


@quick
@given(finite)
def test_padding_bits_are_zero(x):
    bits = np.unpackbits(pack_bits(x), axis=-1)
    assert not bits[:, x.shape[1] :].any()


@quick
@given(uint8s)
def test_signed_and_unsigned_are_inverses(codes):
    signed = to_signed(codes)
    assert signed.dtype == np.int8
    np.testing.assert_array_equal(signed, codes.astype(np.int16) - 128)
    np.testing.assert_array_equal(to_unsigned(signed), codes)


def test_signed_and_unsigned_take_views_that_are_not_contiguous():
    codes = np.arange(64, dtype=np.uint8).reshape(8, 8).T[::2]
    np.testing.assert_array_equal(to_signed(codes), codes.astype(np.int16) - 128)
    np.testing.assert_array_equal(to_unsigned(to_signed(codes).T), codes.T)


@quick
@given(uint8s)
def test_words_hold_the_bytes_in_order_and_zeros_after_them(codes):
    words = pad_words(codes)
    assert words.dtype == np.uint64
    assert words.shape == (*codes.shape[:-1], -(-codes.shape[-1] // 8))
    width = codes.shape[-1]
    np.testing.assert_array_equal(words.view(np.uint8)[..., :width], codes)
    assert not words.view(np.uint8)[..., width:].any()


def test_words_of_whole_rows_are_a_view():
    codes = np.zeros((3, 16), dtype=np.uint8)
    assert np.shares_memory(pad_words(codes), codes)


def test_one_vector_returns_one_row(vectors):
    for row in vectors[:3]:
        np.testing.assert_array_equal(
            pack_bits(row), pack_bits(vectors)[vectors[:, 0] == row[0]][0]
        )
    assert pack_bits(vectors[0]).shape == (5,)
    assert unpack_signs(pack_bits(vectors[0]), 37).shape == (37,)
    assert quantize(vectors[0], "binary").shape == (5,)
    assert pad_words(pack_bits(vectors[0])).shape == (1,)


@pytest.mark.parametrize("dim", [0, 8, 17])
def test_a_dimension_that_does_not_fit_the_bytes_is_refused(dim):
    with pytest.raises(InputError):
        unpack_signs(np.zeros((2, 2), dtype=np.uint8), dim)


def test_signed_bytes_are_not_unpacked():
    with pytest.raises(InputError, match="int8"):
        unpack_signs(np.zeros((2, 2), dtype=np.int8), 16)
    with pytest.raises(InputError, match="int8"):
        to_signed(np.zeros(2, dtype=np.int8))
    with pytest.raises(InputError, match="uint8"):
        to_unsigned(np.zeros(2, dtype=np.uint8))
    with pytest.raises(InputError, match="int8"):
        pad_words(np.zeros((2, 8), dtype=np.int8))


def test_the_error_contains_both_sizes():
    with pytest.raises(DimensionError, match=r"16 dimensions, expected 24"):
        unpack_signs(np.zeros((2, 2), dtype=np.uint8), 20)


def test_codes_with_too_many_axes_are_refused():
    cube = np.zeros((2, 2, 2), dtype=np.uint8)
    with pytest.raises(InputError, match="one or two axes"):
        unpack_signs(cube, 16)
    with pytest.raises(InputError, match="one or two axes"):
        pad_words(cube)
