"""The numpy engine against counting every bit."""

from __future__ import annotations

from unittest import mock

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from slow import examples

from qadapt.codecs import hamming
from qadapt.engines import NumpyEngine, numpy_engine


def brute(queries: np.ndarray, codes: np.ndarray, k: int, mask: np.ndarray | None):
    distances = hamming(queries, codes)
    rows = np.full((len(queries), k), -1)
    best = np.full((len(queries), k), -1)
    allowed = np.arange(len(codes)) if mask is None else np.flatnonzero(mask)
    for i in range(len(queries)):
        order = allowed[np.argsort(distances[i, allowed], kind="stable")][:k]
        rows[i, : len(order)] = order
        best[i, : len(order)] = distances[i, order]
    return rows, best


@settings(max_examples=examples(150), deadline=None)
@given(
    seed=st.integers(0, 10_000),
    nq=st.integers(0, 9),
    sizes=st.lists(st.integers(0, 50), min_size=1, max_size=4),
    words=st.integers(1, 3),
    k=st.integers(1, 60),
    share=st.sampled_from([None, 0.0, 0.05, 0.5, 1.0]),
    columns=st.booleans(),
    block_rows=st.sampled_from([7, 16, 1000]),
)
def test_topk_equals_brute_force(
    seed: int,
    nq: int,
    sizes: list[int],
    words: int,
    k: int,
    share: float | None,
    columns: bool,
    block_rows: int,
) -> None:
    rng = np.random.default_rng(seed)
    # few different bits, so that equal distances are common
    codes = rng.integers(0, 8, (sum(sizes), words), dtype=np.uint64)
    queries = rng.integers(0, 8, (nq, words), dtype=np.uint64)
    mask = None if share is None else rng.random(len(codes)) < share
    blocks = np.split(codes, np.cumsum(sizes)[:-1])
    if columns:
        blocks = [np.ascontiguousarray(block.T).T for block in blocks]
    with mock.patch.object(numpy_engine, "BLOCK_ROWS", block_rows):
        rows, distances = NumpyEngine().hamming_topk(queries, blocks, k, mask)
    expected = brute(queries, codes, k, mask)
    assert np.array_equal(rows, expected[0])
    assert np.array_equal(distances, expected[1])
    assert (rows.dtype, distances.dtype) == (np.int64, np.int32)


def test_one_array_equals_several_blocks() -> None:
    codes = np.arange(10, dtype=np.uint64)[:, None]
    rows, _ = NumpyEngine().hamming_topk(codes[3:4], codes, 1)
    assert rows.tolist() == [[3]]


def test_very_long_codes_do_not_overflow_the_counters() -> None:
    words = 1025  # 65,600 bits
    codes = np.zeros((2, words), dtype=np.uint64)
    _, distances = NumpyEngine().hamming_topk(~codes[:1], codes, 2)
    assert distances.tolist() == [[65_600, 65_600]]
