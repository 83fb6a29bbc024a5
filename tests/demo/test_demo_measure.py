from __future__ import annotations

import math

import numpy as np
import pytest

from qadapt.demo.measure import Truth, median_ms


def ids(rows: list[list[int | None]]) -> np.ndarray:
    array = np.empty((len(rows), len(rows[0])), dtype=object)
    array[:] = rows
    return array


@pytest.fixture
def truth() -> Truth:
    angles = np.array([0.0, 0.1, 0.2, 0.3, 1.5, 1.5])
    rows = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    return Truth.of(rows, rows[[0, 4]], [1, 5], k=2)


def test_recall(truth: Truth) -> None:
    assert truth.recall(ids([[0, 1], [4, 5]])) == 1.0
    assert truth.recall(ids([[1, 0], [5, 4]])) == 1.0
    assert truth.recall(ids([[0, 3], [4, None]])) == 0.5
    assert truth.recall(ids([[None, None], [None, None]])) == 0.0


def test_recall_counts_ties_and_no_row_twice() -> None:
    rows = np.array([[1, 0], [0, 1], [0, 1], [0, 1]], dtype=np.float32)
    truth = Truth.of(rows, rows[[1]], [1], k=2)
    assert truth.recall(ids([[2, 3]])) == 1.0
    assert truth.recall(ids([[2, 2]])) == 0.5


def test_ndcg(truth: Truth) -> None:
    assert truth.ndcg(ids([[1, 0], [5, 4]])) == 1.0
    assert truth.ndcg(ids([[0, 1], [3, 2]])) == pytest.approx(0.5 / math.log2(3))


def test_median_searches_one_query_at_a_time() -> None:
    seen = []
    queries = np.zeros((5, 3), dtype=np.float32)
    assert median_ms(lambda query: seen.append(query.shape), queries, warm_up=2) >= 0
    assert seen == [(3,)] * 7
