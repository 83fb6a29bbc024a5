"""Rotations and rotational codes, against definitions written in plain numpy."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

from qadapt.codecs.estimates import factors
from qadapt.codecs.rotation import Rotation, padded_dim, rotation
from qadapt.codecs.rotational import code_bytes, encode, rotational_query, unpacked

BITS = (1, 2, 4)


def sample(rows: int, dim: int, seed: int = 0) -> np.ndarray:
    found: np.ndarray = np.random.default_rng(seed).standard_normal((rows, dim)).astype(np.float32)
    return found


@pytest.mark.parametrize("dim", [1, 37, 64, 100, 384, 768, 1023, 1024, 1088])
def test_a_rotation_preserves_dot_products(dim: int) -> None:
    x = sample(40, dim)
    rotated = Rotation(dim)(x)
    assert rotated.shape == (40, padded_dim(dim))
    np.testing.assert_allclose(rotated @ rotated.T, x @ x.T, atol=2e-5 * dim)


@pytest.mark.parametrize("dim", [37, 384, 1023, 1024])
def test_a_rotation_spreads_each_dimension_over_all(dim: int) -> None:
    axes = Rotation(dim)(np.eye(dim, dtype=np.float32))
    width = padded_dim(dim)
    # The largest of this many normally distributed values is below 5 standard deviations.
    assert np.abs(axes).max() < 6 / np.sqrt(width)
    assert (axes**2).sum(axis=0).min() > 0.2 * dim / width


def test_a_vector_has_one_rotation_alone_and_in_any_batch() -> None:
    x = sample(700, 200)
    whole = rotation(200)(x)
    np.testing.assert_array_equal(rotation(200)(x[613:614])[0], whole[613])
    np.testing.assert_array_equal(Rotation(200)(x[5:9]), whole[5:9])
    assert not np.array_equal(Rotation(200, seed=1)(x), whole)


@pytest.mark.parametrize("bits", BITS)
def test_codes_hold_levels_and_two_factors(bits: int) -> None:
    x = rotation(100)(sample(50, 100))
    codes = encode(x, bits)
    assert codes.shape == (50, code_bytes(100, bits)) == (50, bits * 128 // 8 + 8)
    level = unpacked(codes, bits).astype(np.float64) - (2**bits - 1) / 2
    assert np.abs(level).max() <= (2**bits - 1) / 2
    np.testing.assert_array_equal(level > 0, x > 0)
    square = (x.astype(np.float64) ** 2).sum(axis=1)
    product = (level * x).sum(axis=1)
    np.testing.assert_allclose(factors(codes)[:, 1], square, rtol=1e-5)
    np.testing.assert_allclose(factors(codes)[:, 0], square / product, rtol=1e-5)


@pytest.mark.parametrize(("bits", "least"), [(1, 0.79), (2, 0.93), (4, 0.994)])
def test_levels_point_in_the_direction_of_the_vector(bits: int, least: float) -> None:
    # sqrt(2 / pi) = 0.798 is the cosine of a large normal vector with its signs; 0.940 and 0.9942
    # are those of the best uniform levels of Max 1960 (distortion 0.1188 and 0.01154).
    x = sample(200, 1024)
    level = unpacked(encode(x, bits), bits).astype(np.float64) - (2**bits - 1) / 2
    cosine = (level * x).sum(axis=1) / np.linalg.norm(level, axis=1) / np.linalg.norm(x, axis=1)
    assert cosine.mean() > least


@pytest.mark.parametrize("bits", BITS)
def test_estimates_are_unbiased_over_rotations(bits: int) -> None:
    x, q = sample(1, 64, seed=1), sample(1, 64, seed=2)
    x /= np.linalg.norm(x)
    q = (q / np.linalg.norm(q) + 2 * x).astype(np.float32)
    errors = []
    for seed in range(600):
        turn = Rotation(64, seed)
        query = rotational_query(turn(q), bits, 8, euclidean=False)
        errors.append(float(query.score_pairs(encode(turn(x), bits)[None])[0, 0] - (q @ x.T)[0, 0]))
    assert abs(np.mean(errors)) < 4 * np.std(errors) / np.sqrt(len(errors)) + 1e-3
    assert np.std(errors) > 1e-3


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("query_bits", [4, 8])
@pytest.mark.parametrize("euclidean", [False, True])
def test_scores_are_those_of_rounded_queries(
    bits: int, query_bits: Literal[4, 8], euclidean: bool
) -> None:
    x, q = rotation(70)(sample(30, 70)), rotation(70)(sample(4, 70, seed=3))
    codes = encode(x, bits)
    level = unpacked(codes, bits).astype(np.float64) - (2**bits - 1) / 2
    most = 2 ** (query_bits - 1) - 1
    scale = np.abs(q).max(axis=1, keepdims=True) / most
    rounded = np.rint(q / scale) * scale

    def expected(queries: np.ndarray) -> np.ndarray:
        dot: np.ndarray = queries @ level.T * factors(codes)[:, 0]
        if not euclidean:
            return dot
        far: np.ndarray = 2 * dot - (q**2).sum(axis=1)[:, None] - (x**2).sum(axis=1)
        return far

    query = rotational_query(q, bits, query_bits, euclidean=euclidean)
    np.testing.assert_allclose(query.score(codes), expected(rounded), rtol=1e-4, atol=1e-3)
    pairs = query.score_pairs(np.broadcast_to(codes, (4, *codes.shape)))
    np.testing.assert_allclose(pairs, expected(q), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("dim", [1, 64, 200, 64 * 140])
@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("query_bits", [4, 8])
def test_the_kernel_has_the_scores_of_numpy(dim: int, bits: int, query_bits: Literal[4, 8]) -> None:
    x, q = rotation(dim)(sample(40, dim)), rotation(dim)(sample(3, dim, seed=5))
    codes = encode(x, bits)
    for euclidean in (False, True):
        one, two = (
            rotational_query(q, bits, query_bits, euclidean=euclidean, kernel=kernel).score(codes)
            for kernel in (False, True)
        )
        np.testing.assert_array_equal(one, two)


def test_products_stay_exact_with_many_dimensions() -> None:
    q = sample(2, 64 * 140)
    query = rotational_query(q, 4, 8, euclidean=False)
    assert query.integers.dtype == np.float64  # 8,960 * 127 * 15 * 2 exceeds 2**24
    codes = encode(np.repeat(sample(1, q.shape[1], seed=4), 5, axis=0), 4)
    assert len(np.unique(query.score(codes)[0])) == 1


@pytest.mark.parametrize("bits", BITS)
def test_a_zero_vector_has_a_score_of_zero(bits: int) -> None:
    codes = encode(np.zeros((1, 64), np.float32), bits)
    query = rotational_query(sample(3, 64), bits, 8, euclidean=False)
    np.testing.assert_array_equal(query.score(codes), np.zeros((3, 1)))


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("scale", [1e-25, 1e25])
def test_levels_do_not_depend_on_the_length(bits: int, scale: float) -> None:
    x = sample(20, 64)
    scaled = encode((x * scale).astype(np.float32), bits)
    plain = encode(x, bits)
    assert np.count_nonzero(unpacked(scaled, bits) != unpacked(plain, bits)) <= 1
    np.testing.assert_allclose(factors(scaled)[:, 0], factors(plain)[:, 0] * scale, rtol=1e-5)
