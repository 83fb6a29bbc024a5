"""The arithmetic of recall and its interval."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qadapt.evaluation.recall import interval, recall_per_query
from qadapt.model import Hits, How

HOW = How("store", "none", 1, 0, "none", "exact")


def hits(*rows: list[int | None]) -> Hits:
    return Hits(np.array(rows, dtype=object), np.zeros((len(rows), len(rows[0]))), HOW)


def test_recall_is_the_share_of_the_truth_that_was_found() -> None:
    found = hits([1, 2, 3], [4, 9, 8], [7, 8, 9])
    truth = [[3, 2, 1], [4, 5, 6], [1, 2, 3]]
    values = recall_per_query(found, truth, [None] * 3, 3)
    assert values.tolist() == [1, 1 / 3, 0]


def test_the_row_that_a_query_is_does_not_count() -> None:
    """One more is asked for; the query's own row goes, wherever it stands."""
    found = hits([1, 2, 3], [5, 4, 6], [7, 8, 9])
    truth = [[2, 3], [4, 6], [7, 8]]
    assert recall_per_query(found, truth, [1, 5, None], 2).tolist() == [1, 1, 1]
    # Where its own row was not found, the spare place does not help the recall.
    assert recall_per_query(hits([8, 9, 2]), [[2, 3]], [1], 2).tolist() == [0]


def test_a_small_collection_is_measured_on_what_there_is() -> None:
    found = hits([1, 2, None, None], [1, None, None, None])
    assert recall_per_query(found, [[1, 2], [1, 2]], [None, None], 4).tolist() == [1, 0.5]
    assert recall_per_query(hits([None]), [[]], [None], 1).tolist() == [1]


def test_columns_beyond_k_are_not_looked_at() -> None:
    assert recall_per_query(hits([9, 1]), [[1, 2]], [None], 1).tolist() == [0]


def test_the_interval_of_a_mean_covers_it_as_often_as_it_says() -> None:
    """400 samples of 100 coin throws: 95 % intervals hold the true mean in 90 to 99 % of them."""
    random = np.random.default_rng(7)
    covered = 0
    for _ in range(400):
        sample = (random.random(100) < 0.8).astype(np.float64)
        low, high = interval(sample)
        covered += low <= 0.8 <= high
    assert 0.90 <= covered / 400 <= 0.99


@given(st.lists(st.floats(0, 1), min_size=2, max_size=50))
def test_the_interval_is_around_the_mean_and_inside_of_zero_to_one(values: list[float]) -> None:
    low, high = interval(np.array(values))
    mean = float(np.mean(values))
    assert -1e-12 <= low <= mean + 1e-9
    assert mean - 1e-9 <= high <= 1 + 1e-12


def test_the_interval_is_the_same_each_time() -> None:
    sample = np.random.default_rng(1).random(50)
    assert interval(sample) == interval(sample)


@pytest.mark.parametrize("value", [0.0, 1.0, 0.3])
def test_a_sample_without_spread_does_not_pretend_to_be_sure(value: float) -> None:
    low, high = interval(np.full(100, value))
    assert low == pytest.approx(max(0, value - 0.03))
    assert high == pytest.approx(min(1, value + 0.03))
    assert high > low


def test_one_query_tells_nothing() -> None:
    assert interval(np.array([1.0])) == (0, 1)
