"""Scalar codes with a learned codebook, against definitions written in plain numpy."""

from __future__ import annotations

import numpy as np
import pytest

from qadapt.codecs import Codebook
from qadapt.codecs.codebook import SAMPLE_ROWS, code_bytes, codebook_query, sample_step, unpacked
from qadapt.codecs.estimates import factors
from qadapt.errors import InputError, NonFiniteError

DIMS = (1, 2, 37, 64, 300)


def sample(rows: int, dim: int, seed: int = 0) -> np.ndarray:
    """Vectors whose dimensions differ in mean and spread; float32 (rows, dim)."""
    rng = np.random.default_rng(seed)
    found: np.ndarray = rng.standard_normal((rows, dim)) * rng.uniform(0.01, 2, dim)
    return (found + np.random.default_rng(1).uniform(-3, 3, dim)).astype(np.float32)


def nearest(x: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Numbers of the nearest levels (n, d), by comparison with each of them."""
    found: np.ndarray = np.abs(x[:, :, None] - levels[None]).argmin(axis=2)
    return found


@pytest.mark.parametrize(
    ("rows", "step"), [(0, 1), (1, 1), (SAMPLE_ROWS, 1), (SAMPLE_ROWS + 1, 2), (10**7, 1000)]
)
def test_levels_are_learned_from_a_limited_sample(rows: int, step: int) -> None:
    assert sample_step(rows) == step, "a step of 0 is no slice, also for an empty collection"


def test_levels_are_the_best_for_normal_values() -> None:
    # Max 1960: the smallest mean squared error of 16 levels is 0.009497 of the variance.
    x = np.random.default_rng(0).standard_normal((10_000, 4)).astype(np.float32)
    book = Codebook.fit(x)
    error = x - np.take_along_axis(book.levels, nearest(x, book.levels).T, axis=1).T
    assert (error**2).mean() == pytest.approx(0.009497, rel=0.03)


def test_no_level_can_move_to_reduce_the_error() -> None:
    x = sample(400, 5)
    levels = Codebook.fit(x).levels.astype(np.float64)
    number = nearest(x, levels)
    for dim in range(5):
        for level in range(16):
            own = x[number[:, dim] == level, dim]
            if len(own):
                assert abs(own.mean() - levels[dim, level]) < 0.05 * x[:, dim].std()


@pytest.mark.parametrize("dim", DIMS)
def test_codes_hold_the_nearest_levels_and_two_factors(dim: int) -> None:
    x = sample(200, dim)
    book = Codebook.fit(x)
    codes = book.encode(x)
    assert codes.shape == (200, code_bytes(dim)) == (200, (dim + 1) // 2 + 8)
    levels = np.take_along_axis(book.levels, unpacked(codes)[:, :dim].T, axis=1).T
    least = np.take_along_axis(book.levels, nearest(x, book.levels).T, axis=1).T
    np.testing.assert_allclose(np.abs(x - levels), np.abs(x - least), atol=1e-5)
    np.testing.assert_array_equal(book.decode(codes)[:, :dim], levels)
    square = (x.astype(np.float64) ** 2).sum(axis=1)
    product = (levels.astype(np.float64) * x).sum(axis=1)
    np.testing.assert_allclose(factors(codes)[:, 1], square, rtol=1e-5)
    clear = product > 0.1 * square
    assert clear.mean() > 0.9
    found = factors(codes)[:, 0]
    np.testing.assert_allclose(found[clear], square[clear] / product[clear], rtol=1e-4)
    assert (found >= 0).all()


@pytest.mark.parametrize("euclidean", [False, True])
@pytest.mark.parametrize("dim", DIMS)
def test_scores_are_close_to_those_of_the_levels(dim: int, euclidean: bool) -> None:
    x, q = sample(200, dim), sample(4, dim, seed=3)
    book = Codebook.fit(x)
    codes = book.encode(x)
    levels = book.decode(codes)[:, :dim].astype(np.float64)
    dot = q @ levels.T * factors(codes)[:, 0]
    wanted = dot
    if euclidean:
        wanted = 2 * dot - (q**2).sum(axis=1)[:, None] - (x**2).sum(axis=1)
    query = codebook_query(q, book, euclidean=euclidean)
    size = np.abs(q).sum() * np.abs(x).max()
    pairs = query.score_pairs(np.broadcast_to(codes, (4, *codes.shape)))
    np.testing.assert_allclose(pairs, np.minimum(wanted, 0) if euclidean else wanted,
                               rtol=1e-4, atol=1e-5 * size)  # fmt: skip
    # Levels and queries of 8 bits: within 1 % of the largest possible product.
    np.testing.assert_allclose(query.score(codes), pairs, atol=(1 + euclidean) * 0.01 * size)


@pytest.mark.parametrize("dim", [*DIMS, 1200])
def test_the_kernel_has_the_scores_of_numpy(dim: int) -> None:
    pytest.importorskip("numba")
    x, q = sample(150, dim), sample(3, dim, seed=5)
    book = Codebook.fit(x)
    codes = book.encode(x)
    for euclidean in (False, True):
        one, two = (
            codebook_query(q, book, euclidean=euclidean, kernel=kernel).score(codes)
            for kernel in (False, True)
        )
        np.testing.assert_array_equal(one, two)


def test_a_code_is_the_same_alone_and_in_any_batch() -> None:
    x = sample(3000, 100)
    book = Codebook.fit(x)
    codes = book.encode(x)
    np.testing.assert_array_equal(book.encode(x[2811:2812])[0], codes[2811])
    np.testing.assert_array_equal(book.encode(x[5:900]), codes[5:900])


def test_constant_dimensions_and_extreme_values() -> None:
    x = sample(100, 6)
    x[:, 2], x[:, 4] = 0, 7
    book = Codebook.fit(x)
    x = np.concatenate([x, np.float32([[0] * 6, [1e36] * 6, [-1e-38] * 6])])
    codes = book.encode(x)
    decoded = book.decode(codes)
    np.testing.assert_array_equal(decoded[:, [2, 4]], np.tile([0, 7], (103, 1)))
    q = np.ones((1, 6), np.float32)
    assert np.isfinite(codebook_query(q, book, euclidean=False).score(codes)).all()


@pytest.mark.parametrize(
    "levels", [np.zeros((3, 15)), np.zeros(16), np.arange(16)[None, ::-1], np.full((1, 16), np.nan)]
)
def test_invalid_levels(levels: np.ndarray) -> None:
    with pytest.raises(InputError, match="codebook"):
        Codebook(levels)


def test_invalid_samples() -> None:
    with pytest.raises(InputError, match="no rows"):
        Codebook.fit(np.empty((0, 3), np.float32))
    with pytest.raises(NonFiniteError):
        Codebook.fit(np.float32([[1, np.nan]]))
