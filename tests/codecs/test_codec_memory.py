"""Temporary memory stays small however large the input is; memory maps are read in blocks."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from qadapt.codecs import (
    PRECISIONS,
    Calibration,
    bit_query,
    dequantize,
    fold,
    hamming,
    pad_words,
    quantize,
    unpack_signs,
)

ROWS, DIM = 30_000, 512
MB = 1_000_000
LIMIT = 16 * MB  # the promise is 64 MB


def extra_memory(call):
    """Peak of memory that numpy took while ``call`` ran, less its output."""
    tracemalloc.start()
    try:
        out = call()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    return peak - out.nbytes


@pytest.fixture(scope="module")
def big(tmp_path_factory):
    """A memory map of 61 MB with a few rows that are not zero (a sparse file: little on disk)."""
    path = tmp_path_factory.mktemp("big") / "vectors.f32"
    x = np.memmap(path, dtype=np.float32, mode="w+", shape=(ROWS, DIM))
    x[::10_000] = np.linspace(-1, 1, DIM, dtype=np.float32)
    x.flush()
    return np.memmap(path, dtype=np.float32, mode="r", shape=(ROWS, DIM))


@pytest.fixture(scope="module")
def ranges():
    return Calibration.from_ranges(np.stack([np.full(DIM, -1.0), np.full(DIM, 1.0)]))


def test_the_memory_measurement_includes_numpy():
    assert extra_memory(lambda: np.zeros(LIMIT)[:1]) > LIMIT


@pytest.mark.parametrize("precision", PRECISIONS)
def test_encoding_a_memory_map(big, ranges, precision):
    assert extra_memory(lambda: quantize(big, precision, calibration=ranges)) < LIMIT


def test_a_memory_map_has_the_codes_of_the_array(big, ranges):
    for precision in PRECISIONS:
        part = quantize(big[:20_001], precision, calibration=ranges)
        array = quantize(np.array(big[:20_001]), precision, calibration=ranges)
        np.testing.assert_array_equal(part, array)
        assert (part[20_000] != part[1]).any()


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_encoding_other_dtypes_and_strides(ranges, dtype):
    x = np.broadcast_to(np.linspace(-1, 1, DIM, dtype=dtype), (20_000, DIM))  # 41 MB as float32
    for precision in ("int8", "ubinary"):
        assert extra_memory(lambda p=precision: quantize(x, p, calibration=ranges)) < LIMIT


def test_calibrating_a_memory_map(big):
    def fit():
        return Calibration.fit(big).lo

    assert extra_memory(fit) < LIMIT


def test_quantiles_take_a_group_of_columns_at_a_time(big):
    def fit():
        return Calibration.fit(big[:, :64], quantile=0.99).lo

    assert extra_memory(fit) < 64 * MB


def test_decoding(ranges):
    codes = np.broadcast_to(np.arange(DIM).astype(np.uint8), (ROWS // 2, DIM))
    assert extra_memory(lambda: dequantize(codes, ranges)) < LIMIT
    assert extra_memory(lambda: unpack_signs(codes[:, :64], 512)) < LIMIT


def test_scoring(ranges):
    queries = np.ones((3, DIM), np.float32)
    codes = np.broadcast_to(np.arange(DIM).astype(np.int8), (ROWS, DIM))
    for metric in ("dot", "euclidean"):
        folded = fold(queries, ranges, metric=metric)
        assert extra_memory(lambda f=folded: f.score(codes)) < LIMIT
        groups = np.broadcast_to(codes[:30_000], (3, 30_000, DIM))
        assert extra_memory(lambda f=folded, g=groups: f.score_pairs(g)) < LIMIT
    bits = np.broadcast_to(np.arange(DIM // 8, dtype=np.uint8), (ROWS, DIM // 8))
    for query_bits in (1, 8, 32):
        query = bit_query(queries, query_bits)
        assert extra_memory(lambda q=query: q.score(bits)) < LIMIT
        groups = np.broadcast_to(bits, (3, ROWS, DIM // 8))
        assert extra_memory(lambda q=query, g=groups: q.score_pairs(g)) < LIMIT
    words = np.broadcast_to(pad_words(bits[:1]), (400_000, DIM // 64))
    assert extra_memory(lambda: hamming(words[:3], words)) < LIMIT
