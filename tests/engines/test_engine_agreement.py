"""All engines return the rows and distances of counting every bit, to the last row."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qadapt.codecs import bit_query, hamming, pack_bits, pad_words
from qadapt.codecs.bitquery import plane_query
from qadapt.engines import Engine, PlaneEngine, get_engine, installed_engines, use_threads

ENGINES = installed_engines()
# One word and less, whole words and bytes, and neither.
DIMS = (1, 7, 8, 63, 64, 65, 100, 128, 384, 1000, 1536, 4096)


def expected(scores: np.ndarray, k: int, mask: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """The ``k`` largest scores of each query, then the lowest row; padded with -1."""
    rows = np.full((len(scores), k), -1)
    best = np.full((len(scores), k), -1)
    allowed = np.arange(scores.shape[1]) if mask is None else np.flatnonzero(mask)
    for i, line in enumerate(scores):
        order = allowed[np.argsort(-line[allowed], kind="stable")][:k]
        rows[i, : len(order)] = order
        best[i, : len(order)] = line[order]
    return rows, best


def codes_of(rng: np.random.Generator, rows: int, dim: int, ties: bool) -> np.ndarray:
    """ubinary codes of rows; with ``ties`` most rows have few different codes."""
    x = rng.standard_normal((rows, dim)).astype(np.float32)
    if ties and rows:
        x[rng.random(rows) < 0.8] = x[0]
    return pack_bits(x) if rows else np.zeros((0, -(-dim // 8)), dtype=np.uint8)


def split(words: np.ndarray, cuts: list[int], columns: bool) -> list[np.ndarray]:
    """Blocks that end at ``cuts``, with contiguous rows or columns."""
    bounds = sorted({min(cut, len(words)) for cut in cuts} | {0, len(words)})
    parts = [words[a:b] for a, b in itertools.pairwise(bounds)]
    return [np.ascontiguousarray(part.T).T for part in parts] if columns else parts


@pytest.mark.parametrize("name", ENGINES)
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    dim=st.one_of(st.sampled_from(DIMS), st.integers(1, 300)),
    rows=st.integers(0, 300),
    nq=st.sampled_from([0, 1, 2, 7, 8, 9, 17]),
    k=st.sampled_from([1, 5, 64, 400]),
    share=st.sampled_from([None, 0.0, 0.02, 0.2, 0.5, 0.9]),
    cuts=st.lists(st.integers(0, 300), max_size=3),
    columns=st.booleans(),
    ties=st.booleans(),
    threads=st.sampled_from([1, 2]),
)
def test_nearest_rows_by_hamming_distance(
    name: str,
    seed: int,
    dim: int,
    rows: int,
    nq: int,
    k: int,
    share: float | None,
    cuts: list[int],
    columns: bool,
    ties: bool,
    threads: int,
) -> None:
    rng = np.random.default_rng(seed)
    words = pad_words(codes_of(rng, rows, dim, ties))
    queries = pad_words(codes_of(rng, nq, dim, ties=False))
    mask = None if share is None else rng.random(rows) < share
    use_threads(threads)
    try:
        found = get_engine(name).hamming_topk(queries, split(words, cuts, columns), k, mask)
    finally:
        use_threads(None)
    best, distances = expected(-hamming(queries, words), k, mask)
    distances = np.where(best < 0, -1, -distances)
    assert np.array_equal(found[0], best)
    assert np.array_equal(found[1], distances)
    assert (found[0].dtype, found[1].dtype) == (np.int64, np.int32)


@pytest.mark.parametrize(
    "name", [name for name in ENGINES if isinstance(get_engine(name), PlaneEngine)]
)
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    bits=st.sampled_from([4, 8]),
    dim=st.one_of(st.sampled_from(DIMS), st.integers(1, 300)),
    rows=st.integers(1, 300),
    nq=st.sampled_from([1, 2, 3, 9]),
    k=st.sampled_from([1, 5, 400]),
    share=st.sampled_from([None, 0.0, 0.02, 0.5]),
    cuts=st.lists(st.integers(0, 300), max_size=3),
    columns=st.booleans(),
    ties=st.booleans(),
)
def test_best_rows_by_queries_of_several_bits(
    name: str,
    seed: int,
    bits: int,
    dim: int,
    rows: int,
    nq: int,
    k: int,
    share: float | None,
    cuts: list[int],
    columns: bool,
    ties: bool,
) -> None:
    rng = np.random.default_rng(seed)
    codes = codes_of(rng, rows, dim, ties)
    queries = rng.standard_normal((nq, dim))
    queries[0] *= seed % 3 > 0  # zeros have no scale
    mask = None if share is None else rng.random(rows) < share
    blocks = split(pad_words(codes), cuts, columns)
    engine = get_engine(name, planes=True)
    assert isinstance(engine, PlaneEngine)
    query = plane_query(queries, bits)  # type: ignore[arg-type]
    found, products = engine.plane_topk(query, blocks, k, mask)
    # The integers of a query, by the definition: one scale, rounded.
    levels = 2 ** (bits - 1) - 1
    scale = np.abs(queries).max(axis=1, keepdims=True) / levels
    whole = np.rint(queries / np.where(scale == 0, 1, scale)).astype(np.int64)
    exact = whole @ np.unpackbits(codes, axis=1, count=dim).astype(np.int64).T
    best, values = expected(exact, k, mask)
    assert np.array_equal(found, best)
    assert np.array_equal(products[best >= 0], values[best >= 0])
    assert not products[best < 0].any()
    scores = bit_query(queries, bits).score(codes)  # type: ignore[arg-type]
    there = np.take_along_axis(scores, np.maximum(best, 0), axis=1)
    assert np.array_equal(query.scores(products)[best >= 0], there[best >= 0])


@pytest.mark.parametrize("name", ENGINES)
def test_more_rows_than_a_block_and_equal_distances_at_the_end(name: str) -> None:
    """All rows but a few are equal, so that the last results are decided by row number."""
    words = np.zeros((40_000, 1), dtype=np.uint64)
    words[[5, 39_999]] = 1
    mask = np.ones(len(words), dtype=np.bool_)
    mask[:3] = False
    blocks = split(words, [32_768], columns=True)
    query = np.ones((1, 1), dtype=np.uint64)
    rows, distances = get_engine(name).hamming_topk(query, blocks, 6, mask)
    assert rows.tolist() == [[5, 39_999, 3, 4, 6, 7]]
    assert distances.tolist() == [[0, 0, 1, 1, 1, 1]]


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_names_its_version(name: str) -> None:
    engine = get_engine(name)
    assert isinstance(engine, Engine)
    assert engine.name == name and engine.version[0].isdigit()


@pytest.mark.parametrize("rows", [slice(0, 70), slice(8, 70), slice(3, 9)])
def test_part_of_a_block_of_columns_is_scanned_from_its_own_rows(rows: slice) -> None:
    rng = np.random.default_rng(0)
    held = rng.integers(0, 2**63, (3, 96), dtype=np.uint64)  # words of a column together
    queries = rng.integers(0, 2**63, (2, 3), dtype=np.uint64)
    block = held.T[rows]
    want = get_engine("numpy").hamming_topk(queries, np.ascontiguousarray(block), 5)
    for name in ENGINES:
        found = get_engine(name).hamming_topk(queries, block, 5)
        for left, right in zip(found, want, strict=True):
            np.testing.assert_array_equal(left, right)
