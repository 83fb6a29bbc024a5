"""Scores: folded float queries, bit queries, Hamming distances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from slow import examples

from qadapt.codecs import (
    Calibration,
    bit_query,
    bitquery,
    dequantize,
    fold,
    hamming,
    linear,
    pack_bits,
    pad_words,
    quantize,
    unpack_signs,
)
from qadapt.errors import (
    DimensionError,
    InputError,
    NonFiniteError,
    SpecError,
    ZeroVectorError,
)

quick = settings(max_examples=examples(40), deadline=None)

METRICS = ("dot", "cosine", "euclidean")
small = st.floats(-4, 4, width=32)


def exact(queries, documents, metric):
    """Scores of float vectors, in float64."""
    q, d = queries.astype(np.float64), documents.astype(np.float64)
    if metric == "euclidean":
        return -np.square(q[:, None] - d[None]).sum(axis=-1)
    if metric == "cosine":
        q = q / np.linalg.norm(q, axis=1, keepdims=True)
    return q @ d.T


def matrices(*rows):
    """float32 matrices with one number of dimensions, and the given numbers of rows."""
    return st.integers(1, 70).flatmap(
        lambda dim: st.tuples(
            *[hnp.arrays(np.float32, (n, dim), elements=small, fill=st.nothing()) for n in rows]
        )
    )


@pytest.mark.filterwarnings("ignore::qadapt.codecs.CalibrationWarning")
@pytest.mark.parametrize("metric", METRICS)
@quick
@given(pair=matrices(3, 7))
def test_folded_scores_are_those_of_the_dequantized_codes(metric, pair):
    queries, x = pair
    if metric == "cosine":
        queries[:, 0] = 1
    calibration = Calibration.fit(x)
    codes = quantize(x, "int8", calibration=calibration)
    expected = exact(queries, dequantize(codes, calibration), metric)
    scores = fold(queries, calibration, metric=metric).score(codes)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected, rtol=2e-5, atol=2e-4)


@pytest.mark.parametrize("metric", METRICS)
def test_signed_and_unsigned_codes_have_equal_scores(vectors, calibration, metric):
    folded = fold(vectors[:4], calibration, metric=metric)
    signed, unsigned = (
        folded.score(quantize(vectors, p, calibration=calibration)) for p in ("int8", "uint8")
    )
    np.testing.assert_array_equal(signed, unsigned)


def test_dot_scores_have_no_bias(vectors, calibration):
    """Queries of one sign show the half step: without it every score is too low by the same sum."""
    queries = np.abs(vectors[:20])
    codes = quantize(vectors, "int8", calibration=calibration)
    errors = fold(queries, calibration).score(codes) - exact(queries, vectors, "dot")
    half_step = (queries * calibration.steps / 2).sum(axis=1)
    assert (np.abs(errors.mean(axis=1)) < 0.05 * half_step).all()


@pytest.mark.parametrize("metric", METRICS)
def test_constant_dimensions_add_no_rounding_error(vectors, metric):
    """Their step is 1, so counting codes from the middle would add and take away 128 each."""
    x = np.hstack([vectors / 100, np.full((500, 400), 0.01, np.float32)])
    calibration = Calibration.fit(x)
    for precision in ("int8", "uint8"):
        codes = quantize(x, precision, calibration=calibration)
        expected = exact(x[:9], dequantize(codes, calibration), metric)
        scores = fold(x[:9], calibration, metric=metric).score(codes)
        np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-6)


def test_euclidean_scores_are_never_above_zero(vectors):
    far = vectors + np.float32(300)
    calibration = Calibration.fit(far)
    codes = quantize(far, "int8", calibration=calibration)
    scores = fold(dequantize(codes, calibration), calibration, metric="euclidean").score(codes)
    assert scores.max() <= 0
    assert (np.diag(scores) > -1e-2).all()
    assert (scores.argmax(axis=1) == np.arange(len(far))).all()


def test_cosine_does_not_depend_on_the_length_of_the_query(vectors, calibration):
    codes = quantize(vectors, "int8", calibration=calibration)
    one, ten = (fold(q, calibration, metric="cosine") for q in (vectors[:5], 10 * vectors[:5]))
    np.testing.assert_allclose(one.score(codes), ten.score(codes), rtol=1e-5, atol=1e-6)


def test_a_zero_query_under_cosine_is_refused_with_its_row(vectors, calibration):
    queries = vectors[:5].copy()
    queries[3] = 0
    with pytest.raises(ZeroVectorError) as caught:
        fold(queries, calibration, metric="cosine")
    assert caught.value.rows == [3]
    assert len(fold(queries, calibration)) == 5


@pytest.fixture(params=["one block", "many blocks"])
def blocks(request, monkeypatch):
    """Scores must not depend on where a block ends."""
    if request.param == "many blocks":
        monkeypatch.setattr(linear, "_BLOCK_BYTES", 37 * 4 * 9)
        monkeypatch.setattr(bitquery, "BLOCK_BYTES", 5 * 9)


@pytest.mark.parametrize("candidates", [0, 1, 5, 40])
@pytest.mark.parametrize("metric", METRICS)
def test_int_pairs_are_the_scores_of_the_same_codes(
    vectors, calibration, metric, candidates, blocks
):
    picks = np.random.default_rng(1).integers(0, 500, (30, candidates))
    codes = quantize(vectors, "int8", calibration=calibration)
    folded = fold(vectors[:30], calibration, metric=metric)
    pairs = folded.score_pairs(codes[picks])
    assert pairs.dtype == np.float32
    expected = np.take_along_axis(folded.score(codes), picks, axis=1)
    np.testing.assert_allclose(pairs, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("candidates", [0, 1, 5, 40])
@pytest.mark.parametrize("bits", [1, 4, 8, 32])
def test_bit_pairs_are_the_scores_of_the_same_codes(vectors, bits, candidates, blocks):
    picks = np.random.default_rng(1).integers(0, 500, (30, candidates))
    codes = pack_bits(vectors)
    query = bit_query(vectors[:30], bits)
    pairs = query.score_pairs(codes[picks])
    assert pairs.dtype == np.float32
    expected = np.take_along_axis(query.score(codes), picks, axis=1)
    np.testing.assert_allclose(pairs, expected, rtol=1e-4, atol=1e-5)


@quick
@given(matrices(3, 6))
def test_hamming_counts_the_dimensions_whose_signs_differ(pair):
    queries, x = pair
    expected = ((queries > 0)[:, None] != (x > 0)[None]).sum(axis=-1)
    distances = hamming(pad_words(pack_bits(queries)), pad_words(pack_bits(x)))
    np.testing.assert_array_equal(distances, expected)
    scores = bit_query(queries, 1).score(pack_bits(x))
    assert scores.dtype == np.float32
    np.testing.assert_array_equal(scores, -expected)


def test_hamming_in_many_blocks_and_dimensions(monkeypatch):
    monkeypatch.setattr(bitquery, "BLOCK_BYTES", 4096)
    rng = np.random.default_rng(3)
    codes = rng.integers(0, 2**64, (300, 47), dtype=np.uint64)
    expected = np.bitwise_count(codes[:5, None] ^ codes[None]).sum(axis=-1, dtype=np.int64)
    np.testing.assert_array_equal(hamming(codes[:5], codes), expected)
    ones = np.full((1, 2000), 2**64 - 1, dtype=np.uint64)
    assert hamming(ones, np.zeros_like(ones)).tolist() == [[128_000]]  # more than uint16 holds


@quick
@given(matrices(3, 6))
def test_full_queries_score_the_sum_over_signs(pair):
    queries, x = pair
    codes = pack_bits(x)
    expected = queries.astype(np.float64) @ unpack_signs(codes, x.shape[1]).T.astype(np.float64)
    np.testing.assert_allclose(bit_query(queries, 32).score(codes), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(("bits", "levels"), [(4, 7), (8, 127)])
@quick
@given(pair=matrices(3, 6))
def test_rounded_queries_are_close_to_full_ones(bits, levels, pair):
    queries, x = pair
    codes = pack_bits(x)
    difference = bit_query(queries, bits).score(codes) - bit_query(queries, 32).score(codes)
    # each dimension is off by half a level at most
    room = queries.shape[1] * np.abs(queries).max(axis=1, keepdims=True) / levels / 2
    assert (np.abs(difference) <= room + 1e-4).all()


@pytest.mark.parametrize(("bits", "levels"), [(4, 7), (8, 127)])
def test_rounded_queries_are_integers_with_one_scale(bits, levels):
    queries = np.random.default_rng(2).standard_normal((5, 64))
    codes = pack_bits(np.vstack([np.zeros(64), np.eye(64)]))
    scores = bit_query(queries, bits).score(codes)
    kept = (scores[:, 1:] - scores[:, :1]) / 2  # one set bit adds twice that dimension
    whole = kept * levels / np.abs(queries).max(axis=1, keepdims=True)
    np.testing.assert_allclose(whole, np.round(whole), atol=2e-3)
    assert (np.abs(np.round(whole)).max(axis=1) == levels).all()
    assert len(np.unique(np.round(whole))) > levels


def test_more_query_bits_come_closer_to_the_full_query():
    rng = np.random.default_rng(5)
    queries, x = rng.standard_normal((20, 256)), rng.standard_normal((400, 256))
    codes = pack_bits(x)
    full = bit_query(queries, 32).score(codes)
    errors = [np.abs(bit_query(queries, bits).score(codes) - full).mean() for bits in (4, 8)]
    assert 0 < errors[1] < errors[0] / 10
    agreement = [np.corrcoef(bit_query(queries, b).score(codes)[0], full[0])[0, 1] for b in (1, 4)]
    assert agreement[0] < agreement[1]


@pytest.mark.parametrize("bits", [1, 4, 8, 32])
@pytest.mark.parametrize("dim", [1, 7, 60, 65, 127])
def test_padding_bits_are_ignored(bits, dim):
    rng = np.random.default_rng(dim)
    queries, x = rng.standard_normal((4, dim)), rng.standard_normal((9, dim))
    clean = pack_bits(x)
    dirty = clean.copy()
    dirty[:, -1] |= 0xFF >> (dim % 8)
    assert (dirty != clean).any()
    query = bit_query(queries, bits)
    np.testing.assert_array_equal(query.score(dirty), query.score(clean))
    np.testing.assert_array_equal(
        query.score_pairs(np.stack([dirty] * 4)), query.score_pairs(np.stack([clean] * 4))
    )


@pytest.mark.parametrize("bits", [1, 4, 8, 32])
def test_a_zero_query_has_equal_scores_or_scores_by_bits(bits, vectors):
    codes = pack_bits(vectors)
    scores = bit_query(np.zeros(37), bits).score(codes)
    ones = np.bitwise_count(codes).sum(axis=1, dtype=np.int64)
    np.testing.assert_array_equal(scores, [-ones] if bits == 1 else np.zeros((1, 500)))


def test_no_codes_give_no_scores(vectors, calibration):
    empty = np.empty((0, 37), np.int8)
    assert fold(vectors[:3], calibration).score(empty).shape == (3, 0)
    for bits in (1, 32):
        assert bit_query(vectors[:3], bits).score(np.empty((0, 5), np.uint8)).shape == (3, 0)


def test_wrong_widths_are_refused(vectors, calibration):
    with pytest.raises(DimensionError, match="36 dimensions, expected 37"):
        fold(vectors[:, :36], calibration)
    with pytest.raises(DimensionError, match="36 dimensions, expected 37"):
        fold(vectors, calibration).score(np.zeros((2, 36), np.int8))
    with pytest.raises(DimensionError, match="words: 128 dimensions, expected 64"):
        hamming(np.zeros((1, 1), np.uint64), np.zeros((1, 2), np.uint64))
    for bits in (1, 32):
        with pytest.raises(DimensionError):
            bit_query(vectors, bits).score(np.zeros((2, 4), np.uint8))
        with pytest.raises(DimensionError, match="one per query"):
            bit_query(vectors[:3], bits).score_pairs(np.zeros((2, 4, 5), np.uint8))
    with pytest.raises(DimensionError, match="one per query"):
        fold(vectors[:3], calibration).score_pairs(np.zeros((2, 4, 37), np.int8))


def test_wrong_shapes_are_refused(vectors, calibration):
    folded, bits = fold(vectors[:2], calibration), bit_query(vectors[:2], 1)
    for call, codes in (
        (folded.score, np.zeros((2, 37), np.float32)),
        (folded.score, np.zeros(37, np.int8)),
        (folded.score_pairs, np.zeros((2, 37), np.int8)),
        (bits.score, np.zeros(5, np.uint8)),
        (bits.score_pairs, np.zeros((2, 5), np.uint8)),
    ):
        with pytest.raises(InputError):
            call(codes)
    with pytest.raises(InputError, match="uint64"):
        hamming(np.zeros((1, 1), np.int64), np.zeros((1, 1), np.uint64))
    with pytest.raises(InputError, match="shapes"):
        hamming(np.zeros(1, np.uint64), np.zeros((1, 1), np.uint64))


def test_unknown_options_are_refused(vectors, calibration):
    with pytest.raises(SpecError, match="euclidean"):
        fold(vectors, calibration, metric="euclidian")
    with pytest.raises(SpecError, match="1, 4, 8, 32"):
        bit_query(vectors, 2)


@pytest.mark.parametrize("row", [0, 1, 2])
def test_the_error_names_each_row_of_a_query_that_is_not_finite(row: int) -> None:
    queries = np.ones((3, 16), dtype=np.float32)
    queries[row, 5] = np.nan
    with pytest.raises(NonFiniteError, match=f"queries, rows: {row}"):
        bit_query(queries, 8)


def test_queries_that_are_not_finite_are_named(vectors, calibration):
    queries = vectors[:4].copy()
    queries[2, 0] = np.nan
    with pytest.raises(NonFiniteError, match=r"queries, rows: 2"):
        fold(queries, calibration)
    with pytest.raises(NonFiniteError, match=r"queries, rows: 2"):
        bit_query(queries, 8)
