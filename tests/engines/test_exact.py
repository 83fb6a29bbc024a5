"""Exact scores are those of float64 arithmetic."""

from __future__ import annotations

import numpy as np
import pytest

from qadapt.engines.exact import best_candidates, exact_row_scores, exact_scores, unit
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


@pytest.mark.parametrize("metric", METRICS)
def test_candidates_are_ranked_by_score_and_then_by_their_order(metric: Metric) -> None:
    random = np.random.default_rng(5)
    vectors = random.standard_normal((30, 19)).astype(np.float32)
    vectors[10:20] = vectors[:10]
    queries = random.standard_normal((4, 19)).astype(np.float32)
    candidates = np.stack([random.permutation(30) for _ in queries])
    candidates[0, :5] = -1
    places, scores = best_candidates(queries, vectors, candidates, 28, metric)
    expected = slow(queries, vectors, metric).astype(np.float32)
    for at in range(4):
        there = np.flatnonzero(candidates[at] >= 0)
        points = expected[at, candidates[at, there]]
        order = there[np.argsort(-points, kind="stable")][:28]
        assert places[at, : len(order)].tolist() == order.tolist()
        np.testing.assert_allclose(
            scores[at, : len(order)], expected[at, candidates[at, order]], rtol=1e-6
        )
        assert (places[at, len(order) :] == -1).all() and np.isnan(scores[at, len(order) :]).all()


def test_a_candidate_of_minus_infinity_is_before_padding() -> None:
    vectors = np.full((1, 2), 3e38, dtype=np.float32)
    queries = np.full((1, 2), -3e38, dtype=np.float32)
    places, scores = best_candidates(queries, vectors, np.array([[-1, 0]]), 2, Metric.DOT)
    assert places.tolist() == [[1, -1]]
    assert scores[0, 0] == -np.inf and np.isnan(scores[0, 1])
