"""Exact scores are those of float64 arithmetic."""

from __future__ import annotations

import numpy as np
import pytest

from qadapt.engines.exact import exact_row_scores, exact_scores, unit
from qadapt.model import Metric

METRICS = list(Metric)


def slow(queries: np.ndarray, rows: np.ndarray, metric: Metric) -> np.ndarray:
    """The definition, in float64."""
    q, x = queries.astype(np.float64), rows.astype(np.float64)
    if metric is Metric.EUCLIDEAN:
        return -((q[:, None, :] - x[None, :, :]) ** 2).sum(axis=2)
    scores = q @ x.T
    if metric is Metric.COSINE:
        scores /= np.linalg.norm(q, axis=1)[:, None] * np.linalg.norm(x, axis=1)[None, :]
    return scores


@pytest.mark.parametrize("metric", METRICS)
def test_scores_are_those_of_the_definition(metric: Metric) -> None:
    random = np.random.default_rng(1)
    rows = (3 * random.standard_normal((200, 41))).astype(np.float32)
    queries = random.standard_normal((17, 41)).astype(np.float32)
    scores = exact_scores(queries, rows, metric)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, slow(queries, rows, metric), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("metric", METRICS)
def test_scores_of_one_query_equal_scores_of_a_matrix(metric: Metric) -> None:
    random = np.random.default_rng(2)
    rows = random.standard_normal((50, 24)).astype(np.float32)
    query = random.standard_normal(24).astype(np.float32)
    expected = slow(query[None, :], rows, metric)[0]
    np.testing.assert_allclose(
        exact_row_scores(query, rows, metric), expected, rtol=1e-5, atol=1e-5
    )


def test_euclidean_is_precise_far_from_the_origin() -> None:
    """|q|^2 + |x|^2 - 2qx in float32 would have lost all of them: 1e8 against differences of 1."""
    random = np.random.default_rng(3)
    offset = np.float32(1000)
    rows = offset + random.standard_normal((100, 32)).astype(np.float32)
    queries = offset + random.standard_normal((5, 32)).astype(np.float32)
    scores = exact_scores(queries, rows, Metric.EUCLIDEAN)
    expected = slow(queries, rows, Metric.EUCLIDEAN)
    np.testing.assert_allclose(scores, expected, rtol=1e-3)
    assert (np.argsort(-scores, axis=1)[:, :10] == np.argsort(-expected, axis=1)[:, :10]).all()


def test_the_distance_of_a_vector_to_itself_is_zero() -> None:
    rows = np.random.default_rng(4).standard_normal((30, 16)).astype(np.float32)
    scores = exact_scores(rows, rows, Metric.EUCLIDEAN)
    assert (scores <= 0).all()
    assert np.abs(np.diag(scores)).max() < 1e-5
    assert exact_row_scores(rows[3], rows[3:4], Metric.EUCLIDEAN).tolist() == [0]


def test_unit_rows_have_length_one_and_zero_stays_zero() -> None:
    rows = np.array([[3, 4], [0, 0], [1e-20, 0], [1e19, 1e19]], dtype=np.float32)
    scaled = unit(rows)
    np.testing.assert_allclose(scaled, [[0.6, 0.8], [0, 0], [1, 0], [0.5**0.5, 0.5**0.5]])
    assert scaled.dtype == np.float32
