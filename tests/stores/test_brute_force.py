"""Exact search of all rows, for engines without one."""

from __future__ import annotations

import numpy as np
import pytest

from qadapt.model import Batch, Metric, Vector
from qadapt.stores.brute_force import exact_search

K, DIM = 10, 16


@pytest.mark.parametrize("metric", list(Metric))
def test_the_best_rows_are_those_of_the_definition(metric: Metric) -> None:
    """In pages, with norms from 1e-9 to 1e9, and rows without the vector."""
    random = np.random.default_rng(1)
    rows = random.standard_normal((600, DIM)) * 10.0 ** random.integers(-9, 10, (600, 1))
    rows = rows.astype(np.float32)
    queries = (rows[:40] * 1.01).astype(np.float32)
    lacking = random.random(600) < 0.1
    pages = (
        Batch(range(at, at + 120), {"": rows[at : at + 120]}, missing={"": lacking[at : at + 120]})
        for at in range(0, 600, 120)
    )
    hits = exact_search(pages, "", Vector(DIM, metric), queries, K, "test")
    q, x = queries.astype(np.float64), rows.astype(np.float64)
    if metric is Metric.EUCLIDEAN:
        scores = -((q[:, None] - x[None]) ** 2).sum(axis=2)
    else:
        scores = q @ x.T
        if metric is Metric.COSINE:
            scores /= np.linalg.norm(q, axis=1)[:, None] * np.linalg.norm(x, axis=1)
    scores[:, lacking] = -np.inf
    found = np.take_along_axis(scores, hits.ids.astype(np.int64), axis=1)
    expected = -np.sort(-scores, axis=1)[:, :K]
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(hits.scores, expected, rtol=1e-6, atol=1e-6)


def test_fewer_rows_than_k_are_padded() -> None:
    page = Batch(
        [7, 8], {"": np.eye(2, 4, dtype=np.float32)}, missing={"": np.array([False, True])}
    )
    hits = exact_search(iter([page]), "", Vector(4), np.eye(1, 4, dtype=np.float32), 3, "test")
    assert hits.ids.tolist() == [[7, None, None]]
    assert hits.scores[0, 0] == 1 and np.isnan(hits.scores[0, 1:]).all()
