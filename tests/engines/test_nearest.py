"""The best rows by exact score are those of float64, independent of float32 rounding."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qadapt.engines import nearest
from qadapt.engines.exact import exact_row_scores, exact_scores, pair_scores, tolerance
from qadapt.engines.nearest import Nearest, objects, reaching
from qadapt.model import Metric

METRICS = list(Metric)
ROWS, DIM, PAGE = 700, 24, 130


def slow(queries: np.ndarray, rows: np.ndarray, metric: Metric) -> np.ndarray:
    """The definition, in float64."""
    q, x = queries.astype(np.float64), rows.astype(np.float64)
    if metric is Metric.EUCLIDEAN:
        return -((q[:, None] - x[None]) ** 2).sum(axis=2)
    scores = q @ x.T
    if metric is Metric.COSINE:
        scores /= np.linalg.norm(q, axis=1)[:, None] * np.linalg.norm(x, axis=1)
    return scores


def data(kind: str) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    rows = random.standard_normal((ROWS, DIM))
    queries = random.standard_normal((30, DIM))
    if kind == "repeated":
        rows = np.repeat(rows[:35], 20, axis=0)
    elif kind == "equal":
        rows = np.repeat(rows[:1], ROWS, axis=0)
    elif kind == "clusters far apart":
        rows = 1e-3 * rows + random.integers(0, 3, (ROWS, 1)) * 100
        queries = rows[:30] + 1e-4 * queries
    elif kind == "huge":
        rows *= 1e25
    elif kind == "tiny":
        rows *= 1e-25
    elif kind == "ascending":
        rows = rows[np.argsort(rows @ queries[0])]
    return queries.astype(np.float32), rows.astype(np.float32)


KINDS = ["random", "repeated", "equal", "clusters far apart", "huge", "tiny", "ascending"]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("k", [1, 10, ROWS + 5])
def test_scores_are_those_of_the_definition(metric: Metric, kind: str, k: int) -> None:
    queries, rows = data(kind)
    best = Nearest(queries, metric, k)
    for start in range(0, ROWS, PAGE):
        part = slice(start, start + PAGE)
        best.add(rows[part], objects(range(ROWS))[part])
    all_scores = slow(queries, rows, metric)
    expected = -np.sort(-all_scores, axis=1)[:, :k]
    found = best.scores[:, : expected.shape[1]]
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
    assert np.isneginf(best.scores[:, expected.shape[1] :]).all()
    for query, names in enumerate(best.names.tolist()):
        there = [name for name in names if name is not None]
        assert len(there) == len(set(there)) == min(k, ROWS)
        np.testing.assert_allclose(
            all_scores[query, there], found[query], rtol=1e-9, atol=1e-9
        )  # fmt: skip


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("widest", [3, 9, 30])  # 30: norms that float32 cannot square
def test_norms_of_any_size_change_nothing(metric: Metric, widest: int) -> None:
    random = np.random.default_rng(1)
    queries, rows = data("repeated")
    rows = (rows * 10.0 ** random.integers(-widest, widest + 1, (ROWS, 1))).astype(np.float32)
    absent = random.random(ROWS) < 0.1
    rows[absent] = 0
    best = Nearest(queries, metric, 10)
    for start in range(0, ROWS, PAGE):
        part = slice(start, start + PAGE)
        best.add(rows[part], objects(range(ROWS))[part], absent[part])
    expected = -np.sort(-slow(queries, rows[~absent], metric), axis=1)[:, :10]
    np.testing.assert_allclose(best.scores, expected, rtol=1e-9, atol=1e-9)


@given(
    exponents=st.lists(st.integers(-9, 9), min_size=20, max_size=60),
    of_queries=st.lists(st.integers(-9, 9), min_size=1, max_size=4),
    seed=st.integers(0, 2**32 - 1),
    page=st.integers(5, 60),
)
def test_distances_are_exact_for_norms_from_1e_9_to_1e9(
    exponents: list[int], of_queries: list[int], seed: int, page: int
) -> None:
    """A row of norm 1e9 shares a page with rows of norm 1e-9, and so does the mean of the page."""
    random = np.random.default_rng(seed)
    rows = random.standard_normal((len(exponents), 5)) * 10.0 ** np.array(exponents)[:, None]
    queries = random.standard_normal((len(of_queries), 5)) * 10.0 ** np.array(of_queries)[:, None]
    x, q = rows.astype(np.float32), queries.astype(np.float32)
    best = Nearest(q, Metric.EUCLIDEAN, 10)
    for start in range(0, len(x), page):
        part = slice(start, start + page)
        best.add(x[part], objects(range(len(x)))[part])
    all_scores = slow(q, x, Metric.EUCLIDEAN)
    expected = -np.sort(-all_scores, axis=1)[:, :10]
    np.testing.assert_allclose(best.scores, expected, rtol=1e-9)
    names = np.asarray(best.names.tolist())
    np.testing.assert_allclose(np.take_along_axis(all_scores, names, axis=1), expected, rtol=1e-9)
    np.testing.assert_allclose(exact_scores(q, x, Metric.EUCLIDEAN), all_scores, rtol=1e-6)
    at, of = reaching(q, x, Metric.EUCLIDEAN, expected[:, -1])
    reached = np.zeros(all_scores.shape, dtype=np.bool_)
    reached[at, of] = True
    assert (reached | (all_scores < expected[:, -1:] * (1 - 1e-12))).all()
    assert not (reached & (all_scores < expected[:, -1:] * (1 + 1e-9))).any()


def test_equal_rows_are_in_the_order_of_addition() -> None:
    queries, rows = data("equal")
    best = Nearest(queries, Metric.DOT, 10)
    for start in range(0, ROWS, PAGE):
        part = slice(start, start + PAGE)
        best.add(rows[part], objects(range(ROWS))[part])
    assert (best.names == np.arange(10)).all()


def test_rows_that_are_absent_or_not_finite_are_never_found() -> None:
    queries, rows = data("random")
    rows[3, 0], rows[5, 1] = np.nan, np.inf
    absent = np.zeros(ROWS, dtype=np.bool_)
    absent[7:20] = True
    for metric in METRICS:
        best = Nearest(queries, metric, ROWS)
        best.add(rows, objects(range(ROWS)), absent)
        there = {name for name in best.names[0].tolist() if name is not None}
        assert there == set(range(ROWS)) - {3, 5} - set(range(7, 20))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", KINDS)
def test_pairs_that_reach_a_score_are_those_of_the_definition(metric: Metric, kind: str) -> None:
    queries, rows = data(kind)
    scores = slow(queries, rows, metric)
    last = -np.sort(-scores, axis=1)[:, 9]
    least = last - tolerance(last, DIM)
    at, of = reaching(queries, rows, metric, least)
    expected = np.argwhere(scores >= (least - 1e-9 * np.maximum(1, np.abs(least)))[:, None])
    assert list(zip(at.tolist(), of.tolist(), strict=True)) == list(map(tuple, expected.tolist()))


def test_blocks_of_queries_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    queries, rows = data("repeated")
    found = []
    for block in (256, 7):
        monkeypatch.setattr(nearest, "BLOCK", block)
        monkeypatch.setattr(nearest, "DENSE_BLOCK", block)
        best = Nearest(queries, Metric.COSINE, 10)
        best.add(rows, objects(range(ROWS)))
        found.append((best.names.tolist(), best.scores.tolist()))
    assert found[0] == found[1]


# -- cosine stays within -1 and 1 ----------------------------------------------------------------


@pytest.mark.parametrize("dim", [1, 2, 3, 33, 384, 1536])
def test_a_cosine_is_never_above_1_or_below_minus_1(dim: int) -> None:
    rows = np.random.default_rng(dim).standard_normal((300, dim)).astype(np.float32)
    rows = np.concatenate([rows, 3 * rows, -rows, np.float32(1e-15) * rows])
    scores = exact_scores(rows, rows, Metric.COSINE)
    assert scores.max() == pytest.approx(1) and scores.min() == pytest.approx(-1, abs=1e-3)
    assert scores.max() <= 1 and scores.min() >= -1
    of = np.arange(len(rows))
    wide = pair_scores(rows, rows, of, of, Metric.COSINE)
    assert wide.max() <= 1
    assert np.abs(wide - 1).max() < 1e-12
    for query in rows[::150]:
        own = exact_row_scores(query, rows, Metric.COSINE)
        assert own.max() <= 1 and own.min() >= -1
