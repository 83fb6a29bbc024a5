"""The arithmetic of recall and its interval."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import qadapt as qa
from qadapt.evaluation import recall as recall_
from qadapt.evaluation.exact_neighbors import GroundTruth, over_rows
from qadapt.evaluation.ground_truth import Queries
from qadapt.evaluation.recall import interval

DIM = 16


def known(rows: Any, queries: Any, k: int, own: Any = None, metric: str = "cosine") -> GroundTruth:
    """Ground truth over rows numbered from 0."""
    rows, queries = np.asarray(rows, dtype="f4"), np.asarray(queries, dtype="f4")
    asked = Queries(queries, tuple(own or [None] * len(queries)), "test")
    vector = qa.Vector(rows.shape[1], qa.Metric(metric))
    return over_rows(qa.Batch(range(len(rows)), {"": rows}), "", vector, asked, k)


def along(*cosines: float) -> np.ndarray:
    """Unit vectors with these cosines to the first axis."""
    rows = np.zeros((len(cosines), DIM))
    rows[:, 0] = cosines
    rows[:, 1] = np.sqrt(1 - np.square(cosines))
    return rows


QUERY = np.eye(1, DIM)


def test_recall_is_the_share_of_the_best_rows_found() -> None:
    judge = known(along(0.9, 0.8, 0.7, 0.6, 0.5), QUERY, 3)
    for row, share in ([2, 1, 0], 1), ([0, 3, 4], 1 / 3), ([3, 4], 0), ([], 0):
        assert judge.recall([row]).tolist() == [share]


def test_rows_with_equal_scores_are_interchangeable() -> None:
    """An exact search can return any of them, and each is correct."""
    judge = known(along(0.9, 0.5, 0.5, 0.5, 0.5, 0.1), QUERY, 2)
    for row in [0, 1], [0, 4], [3, 2]:
        assert judge.recall([row]).tolist() == [1]
    assert judge.recall([[0, 5]]).tolist() == [0.5]


@pytest.mark.parametrize(("vectors", "rows"), [(1, "1 row"), (2, "2 rows")])
def test_the_proof_counts_rows_that_a_query_can_find(vectors: int, rows: str) -> None:
    """Most rows of the collection lack the vector, and no search can find them."""
    missing = np.arange(1500) >= vectors
    batch = qa.Batch(range(1500), {"": np.ones((1500, DIM), dtype="f4")}, missing={"": missing})
    asked = Queries(QUERY.astype("f4"), (None,), "test")
    proof = over_rows(batch, "", qa.Vector(DIM, qa.Metric.COSINE), asked, 3).about.proof
    assert proof.level == "none"
    assert f"({rows} at most)" in proof.reason and "1,500" not in proof.reason


def test_repeated_and_nonexistent_ids_do_not_count() -> None:
    judge = known(along(0.9, 0.5, 0.5, 0.5), QUERY, 3)
    assert judge.recall([[0, 1, 1]]).tolist() == [pytest.approx(2 / 3)]
    assert judge.recall([[1, 1, 1]]).tolist() == [pytest.approx(1 / 3)]
    assert judge.recall([[0, 99, "x"]]).tolist() == [pytest.approx(1 / 3)]


@pytest.mark.parametrize("metric", ["cosine", "dot", "euclidean"])
def test_the_minimum_score_allows_for_float32_rounding(metric: str) -> None:
    """eps = 4 * 2^-24 * sqrt(d) * max(1, |score|), computed by hand for d = 16."""
    size = 30.0
    rows = np.zeros((4, DIM))
    rows[:, 0] = size
    if metric == "euclidean":
        rows[:, 1] = [0, 3, 3 + 1e-7, 4]  # squared distances 0, 9, 9 + 6e-7, 16
        judge = known(rows, [rows[0]], 2, metric=metric)
        eps = 4 * 2**-24 * 4 * 9
    else:
        rows = along(1, 0.5, 0.5 - 4e-7, 0.4) * size
        judge = known(rows, QUERY, 2, metric=metric)
        eps = 4 * 2**-24 * 4 * (15 if metric == "dot" else 1)
    assert recall_.least_score(judge.last, DIM)[0] == pytest.approx(judge.last[0] - eps, rel=1e-9)
    assert judge.recall([[0, 2]]).tolist() == [1], "float32 cannot distinguish rows 1 and 2"
    assert judge.recall([[0, 3]]).tolist() == [0.5]


@pytest.mark.parametrize("metric", ["cosine", "dot", "euclidean"])
def test_equal_rows_give_every_search_recall_1(metric: str) -> None:
    random = np.random.default_rng(0)
    rows = np.repeat(random.standard_normal((1, 24)), 3000, axis=0)
    judge = known(rows, random.standard_normal((3, 24)), 10, metric=metric)
    found = random.choice(3000, (3, 10), replace=False).tolist()
    assert judge.recall(found).tolist() == [1, 1, 1]


def test_a_duplicate_of_the_query_row_is_correct() -> None:
    rows = np.repeat(along(1.0, 0.5), 4, axis=0)
    judge = known(rows, rows[[0, 4]], 3, own=[0, 4])
    assert judge.recall([[1, 2, 3], [5, 6, 7]]).tolist() == [1, 1]
    assert judge.recall([[2, 3, 4], [5, 6, 0]]).tolist() == [pytest.approx(2 / 3)] * 2


def test_without_ties_no_vector_is_fetched() -> None:
    judge = dataclasses.replace(known(along(0.9, 0.8, 0.7, 0.6), QUERY, 2), fetch=lambda _: 1 / 0)
    assert judge.recall([[0, 3]]).tolist() == [0.5]


def test_a_collection_smaller_than_k_is_measured_on_all_rows() -> None:
    judge = known(along(0.9, 0.8), QUERY, 4)
    assert judge.recall([[0, 1]]).tolist() == [1]
    assert judge.recall([[0]]).tolist() == [0.5]
    gone = qa.Batch([1], {"": QUERY}, missing={"": np.array([True])})
    empty = over_rows(gone, "", qa.Vector(DIM), Queries(QUERY.astype("f4"), (None,), "test"), 2)
    assert empty.recall([[]]).tolist() == [1]


def test_own_rows_and_padding_are_excluded_from_hits() -> None:
    ids = np.array([[1, 2, 3], [4, 5, 6], [8, None, None]], dtype=object)
    assert recall_.without_own(ids, [2, None, 8], 2) == [[1, 3], [4, 5], []]


# -- proof ---------------------------------------------------------------------------------------


def test_k_that_covers_all_rows_proves_nothing() -> None:
    random = np.random.default_rng(0)
    rows, queries = random.standard_normal((12, 8)), random.standard_normal((60, 8))
    for k, own, level in ((12, None, "none"), (11, None, "sufficient"), (20, None, "none"),
                          (11, range(12), "none"), (10, range(12), "weak")):  # fmt: skip
        asked = queries if own is None else rows
        proof = known(rows, asked, k, own=None if own is None else list(own)).about.proof
        assert proof.level == level, k
        assert bool(proof.reason) is (level != "sufficient")
        if level == "none":
            assert "proves nothing" in proof.reason


@pytest.mark.parametrize(("distinct", "level"), [(1, "weak"), (49, "weak"), (50, "sufficient")])
def test_few_distinct_queries_are_weak_evidence(distinct: int, level: str) -> None:
    random = np.random.default_rng(0)
    queries = random.standard_normal((distinct, 8))[np.arange(100) % distinct]
    proof = known(random.standard_normal((99, 8)), queries, 5).about.proof
    assert proof.level == level
    if level == "weak":
        assert f"only {distinct} distinct" in proof.reason


@pytest.mark.parametrize(
    ("datatype", "words"),
    [("float32", "original vectors (float32)"), ("float16", "as stored (float16)"),
     ("turbo4", "as stored (turbo4)"), ("int8", "as stored (int8)")],
)  # fmt: skip
def test_the_ground_truth_is_named(datatype: Any, words: str) -> None:
    assert words in recall_.truth_of(qa.Vector(8, datatype=datatype))


# -- interval ------------------------------------------------------------------------------------


def test_the_interval_covers_the_mean_as_often_as_stated() -> None:
    """400 samples of 100 coin throws: 95 % intervals hold the true mean in 90 to 99 % of them."""
    random = np.random.default_rng(7)
    covered = 0
    for _ in range(400):
        sample = (random.random(100) < 0.8).astype(np.float64)
        low, high = interval(sample)
        covered += low <= 0.8 <= high
    assert 0.90 <= covered / 400 <= 0.99


@given(st.lists(st.floats(0, 1), min_size=2, max_size=50))
def test_the_interval_contains_the_mean_and_lies_within_0_and_1(values: list[float]) -> None:
    low, high = interval(np.array(values))
    mean = float(np.mean(values))
    assert -1e-12 <= low <= mean + 1e-9
    assert mean - 1e-9 <= high <= 1 + 1e-12


def test_the_interval_is_deterministic() -> None:
    sample = np.random.default_rng(1).random(50)
    assert interval(sample) == interval(sample)


@pytest.mark.parametrize("value", [0.0, 1.0, 0.3])
def test_equal_values_do_not_give_an_empty_interval(value: float) -> None:
    low, high = interval(np.full(100, value))
    assert low == pytest.approx(max(0, value - 0.03))
    assert high == pytest.approx(min(1, value + 0.03))
    assert high > low


def test_one_query_gives_the_widest_interval() -> None:
    assert interval(np.array([1.0])) == (0, 1)
