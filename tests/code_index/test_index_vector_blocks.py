"""Shapes of given vectors, and the sizes of blocks."""

from __future__ import annotations

import numpy as np
import pytest

from qadapt.code_index import stages
from qadapt.code_index.vector_blocks import BLOCK_BYTES, block_rows, prepared, prepared_queries
from qadapt.errors import DimensionError, InputError, NonFiniteError, ZeroVectorError
from qadapt.model.arrays import as_matrix
from qadapt.model.metric import Metric


def test_no_vectors_of_any_shape_are_an_empty_table() -> None:
    for empty in ([], np.empty((0, 4)), np.empty((0, 7)), np.empty(0)):
        assert as_matrix(empty, dim=4, strict=True).shape == (0, 4)


def test_rows_without_values_and_further_axes_are_refused() -> None:
    with pytest.raises((DimensionError, InputError)):
        as_matrix(np.empty((2, 0)), dim=4, strict=True)
    with pytest.raises(InputError, match=r"shape \(n, d\)"):
        as_matrix(np.ones((1, 2, 4)), dim=4, strict=True)


def test_a_block_has_at_least_one_row() -> None:
    assert block_rows(BLOCK_BYTES) == 1
    assert block_rows(64) == BLOCK_BYTES // 256
    assert stages.query_step(1 << 20, 1 << 10, originals=True) == 1
    assert stages.query_step(100, 64, originals=True) == 2 * BLOCK_BYTES // 25_600


@pytest.mark.parametrize("metric", list(Metric))
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_queries_are_checked_and_prepared_as_rows_are(metric: Metric, dtype: type) -> None:
    random = np.random.default_rng(0)
    scale = {np.float16: [1, 1e-3, 100], np.float32: [1, 1e-44, 1e17], np.float64: [1, 1e-44, 1e17]}
    for size in scale[dtype]:
        rows = np.clip(random.standard_normal((7, 33)), -3, 3) + 4  # no zero after rounding
        queries = (size * rows).astype(dtype)
        prepared_by_rows = prepared(queries, metric)
        np.testing.assert_allclose(prepared_queries(queries, metric), prepared_by_rows, rtol=1e-6)
        assert prepared_queries(queries, metric).dtype == np.float32


@pytest.mark.parametrize("metric", list(Metric))
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e39])
def test_queries_that_are_not_finite_are_named(metric: Metric, bad: float) -> None:
    queries = np.ones((4, 5))
    queries[2, 3] = bad
    with pytest.raises(NonFiniteError, match="in queries, rows: 2"):
        prepared_queries(queries, metric)


def test_zero_queries_are_refused_under_cosine_only() -> None:
    queries = np.ones((3, 5))
    queries[1] = 1e-46  # zero in float32
    with pytest.raises(ZeroVectorError, match="in queries, rows: 1"):
        prepared_queries(queries, Metric.COSINE)
    for metric in (Metric.DOT, Metric.EUCLIDEAN):
        assert not prepared_queries(queries, metric)[1].any()
        with pytest.raises(InputError, match=r"overflows float32 in queries, rows: 2"):
            prepared_queries(np.array([[1.0], [0.0], [1e20]]), metric)
    assert prepared_queries(np.array([[1e20]]), Metric.COSINE).tolist() == [[1]]
