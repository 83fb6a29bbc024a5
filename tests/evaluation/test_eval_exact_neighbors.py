"""Ground truth: memory budget, cache, resuming an interrupted computation, samples."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qadapt as qa
from qadapt.api import Collection
from qadapt.engines.nearest import Nearest
from qadapt.errors import InputError, UnsupportedError
from qadapt.evaluation import exact_neighbors, streamed_ground_truth
from qadapt.evaluation.exact_neighbors import over_rows
from qadapt.evaluation.options import EvaluationOptions
from qadapt.evaluation.query_input import resolve_queries
from qadapt.evaluation.streamed_ground_truth import exact_truth
from qadapt.stores.base import Progress, ReadRequest
from qadapt.testing import Sample, clustered

ROWS, DIM, K = 900, 24, 10


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QADAPT_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def sample() -> Sample:
    return clustered(ROWS, DIM, queries=30)


@pytest.fixture
def articles(live: Callable[[str], str], sample: Sample) -> Iterator[Collection]:
    with qa.open(live("edge")) as db:
        made = db.create("articles", dim=DIM)
        made.write(qa.Batch(range(ROWS), {"": sample.rows}))
        yield made


def truth(made: Collection, queries: Any, **options: Any) -> exact_neighbors.GroundTruth:
    store, vector = made._store, made.info().vectors[""].vector
    asked = resolve_queries(store, made.name, "", vector, EvaluationOptions(queries=queries))
    options.setdefault("progress", lambda _: None)
    return exact_truth(store, made.name, "", vector, asked, K, **options)


def right(queries: np.ndarray, rows: np.ndarray) -> list[list[int]]:
    q, x = queries.astype(np.float64), rows.astype(np.float64)
    q /= np.linalg.norm(q, axis=1, keepdims=True)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return np.argsort(-(q @ x.T), axis=1)[:, :K].tolist()


class Cut:
    """A ``read`` that is interrupted after some pages, and can resume from an id."""

    def __init__(self, made: Collection, pages: int, *, after: bool = True) -> None:
        self.whole, self.pages, self.after = made._store.read, pages, after
        self.asked: list[Any] = []
        made._store.read = self  # type: ignore[method-assign]

    def __call__(self, name: str, request: ReadRequest) -> Iterator[qa.Batch]:
        start = request.after
        self.asked.append(start)
        if start is not None and not self.after:
            raise UnsupportedError("edge reads whole collections alone")
        pages = self.whole(name, dataclasses.replace(request, after=None, page=100))
        return self._pages(pages, start, request.page)

    def _pages(self, pages: Any, start: Any, page: int) -> Iterator[qa.Batch]:
        for number, batch in enumerate(pages):
            if start is not None and batch.ids[-1] <= start:
                continue
            if page != streamed_ground_truth.PROBES and number == self.pages:
                raise KeyboardInterrupt
            yield batch


def test_a_small_memory_budget_gives_the_same_result(articles: Collection, sample: Sample) -> None:
    steps: list[Progress] = []
    small = truth(articles, sample.queries, memory=88_000, cached=False, progress=steps.append)
    assert small.ids == right(sample.queries, sample.rows)
    assert len(steps) == -(-ROWS // 79)
    assert steps[-1].done == steps[-1].total == ROWS


@pytest.mark.parametrize(("dim", "queries"), [(384, 300), (32, 2_000)])
def test_a_page_stays_within_the_budget(dim: int, queries: int) -> None:
    import tracemalloc

    budget = 24 * 2**20
    page = streamed_ground_truth._page(dim, queries, budget)
    random = np.random.default_rng(0)
    rows = random.standard_normal((page, dim)).astype(np.float32)
    asked = random.standard_normal((queries, dim)).astype(np.float32)
    ids = np.arange(page).astype(object)
    tracemalloc.start()
    try:
        Nearest(asked, qa.Vector(dim).metric, K + exact_neighbors.SPARE).add(rows, ids)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert 0.3 * budget < peak + rows.nbytes < 1.1 * budget


def test_a_memory_budget_below_one_page_is_rejected(articles: Collection, sample: Sample) -> None:
    with pytest.raises(InputError, match="too small") as caught:
        truth(articles, sample.queries, memory=10_000)
    assert "at least" in (caught.value.hint or "")


def test_ground_truth_is_cached_until_the_collection_changes(
    articles: Collection, sample: Sample
) -> None:
    first = truth(articles, sample.queries)
    again = truth(articles, sample.queries)
    assert not first.about.cached
    assert again.about.cached
    assert (again.ids, again.about.seconds) == (first.ids, first.about.seconds)
    np.testing.assert_allclose(again.scores, first.scores)
    assert not truth(articles, sample.queries, cached=False).about.cached
    # A change of the codes does not change neighbors.
    articles.plan("binary").apply(yes=True)
    assert truth(articles, sample.queries).about.cached


def test_another_query_or_a_written_row_invalidates_the_cache(
    articles: Collection, sample: Sample
) -> None:
    truth(articles, sample.queries)
    assert not truth(articles, sample.queries[::-1].copy()).about.cached
    articles.write(qa.Batch([ROWS], {"": sample.rows[:1]}))
    assert not truth(articles, sample.queries).about.cached


def test_a_changed_neighbor_invalidates_the_cache(articles: Collection, sample: Sample) -> None:
    first = truth(articles, sample.queries)
    last = first.ids[0][-1]
    # A change of the first rows would be detected by the probe.
    assert last >= streamed_ground_truth.PROBES
    changed = sample.rows.copy()
    changed[last] = -changed[last]
    articles.write(qa.Batch([last], {"": changed[last : last + 1]}))
    again = truth(articles, sample.queries)
    assert not again.about.cached
    assert again.ids == right(sample.queries, changed)


def test_a_damaged_cache_is_replaced(articles: Collection, sample: Sample, cache: Path) -> None:
    truth(articles, sample.queries)
    (kept,) = cache.rglob("truth.json")
    kept.write_text(kept.read_text()[:100])
    again = truth(articles, sample.queries)
    assert not again.about.cached
    assert again.ids == right(sample.queries, sample.rows)


@pytest.mark.parametrize("after", [True, False])
def test_an_interrupted_computation_is_resumed(
    articles: Collection, sample: Sample, cache: Path, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    monkeypatch.setattr(streamed_ground_truth, "SAVED_EVERY", 0.0)
    cut = Cut(articles, 5, after=after)
    with pytest.raises(KeyboardInterrupt):
        truth(articles, sample.queries)
    (partial,) = cache.rglob("partial.json")
    assert json.loads(partial.read_text())["done"] == 500
    cut.pages = -1
    cut.asked.clear()
    found = truth(articles, sample.queries)
    # The probe of the first rows, then from row 499, or all rows if a store cannot resume.
    assert cut.asked == ([None, 499] if after else [None, 499, None])
    assert found.ids == right(sample.queries, sample.rows)
    assert found.about.rows == ROWS
    assert not partial.exists()


def test_an_interruption_saves_what_was_read(
    articles: Collection, sample: Sample, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in the middle of a page, whose rows are not added twice."""
    add, calls = Nearest.add, []

    def cut(self: Nearest, *page: Any) -> None:
        add(self, *page)
        calls.append(page)
        if len(calls) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(Nearest, "add", cut)
    with pytest.raises(KeyboardInterrupt):
        truth(articles, sample.queries, memory=250_000)
    (partial,) = cache.rglob("partial.json")
    assert json.loads(partial.read_text())["done"] == 2 * len(calls[0][0])
    monkeypatch.setattr(Nearest, "add", add)
    assert truth(articles, sample.queries).ids == right(sample.queries, sample.rows)


def test_self_matches_are_excluded_after_a_resume(
    articles: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = truth(articles, 20, cached=False)
    monkeypatch.setattr(streamed_ground_truth, "SAVED_EVERY", 0.0)
    cut = Cut(articles, 3)
    cut.pages = -1
    vector = articles.info().vectors[""].vector
    few = EvaluationOptions(queries=20)
    asked = resolve_queries(articles._store, "articles", "", vector, few)
    assert all(own not in row for own, row in zip(asked.own, plain.ids, strict=True))
    assert truth(articles, 20).ids == plain.ids


def test_over_rows_matches_exact_search(sample: Sample) -> None:
    from qadapt.evaluation.ground_truth import Queries

    batch = qa.Batch([f"r{at}" for at in range(ROWS)], {"": sample.rows})
    asked = Queries(sample.queries, (None,) * len(sample.queries), "test")
    known = over_rows(batch, "", qa.Vector(DIM), asked, K)
    wanted = [[f"r{at}" for at in row] for row in right(sample.queries, sample.rows)]
    assert known.ids == wanted


# -- over a sample -------------------------------------------------------------------------------


def test_ground_truth_over_a_sample_is_a_lower_bound(articles: Collection) -> None:
    articles.plan("binary").apply(yes=True)
    queries = clustered(ROWS, DIM, queries=150, seed=1).queries
    exact = articles.evaluate(queries=queries, concurrency=()).results[0].recall
    assert exact is not None and exact.value < 0.9
    for seed in range(3):
        found = articles.evaluate(queries=queries, concurrency=(), rows=300, seed=seed)
        bounded = found.results[0]
        assert not found.truth.exact
        assert (found.truth.rows, found.truth.total_rows) == (300, ROWS)
        assert "300 of 900 rows" in found.truth.bound
        assert bounded.recall is not None
        assert bounded.recall.low <= exact.value
        assert bounded.recall.high == 1.0
        assert bounded.ndcg is None and bounded.overlap is None


def test_ground_truth_over_a_sample_gives_an_exact_search_recall_1(articles: Collection) -> None:
    found = articles.evaluate(queries=100, concurrency=(), rows=450)
    recall = found.results[0].recall
    assert recall is not None
    assert recall.value == 1.0
    assert 0.98 < recall.low < 1.0


def test_a_sample_larger_than_the_collection_reads_all_rows(articles: Collection) -> None:
    found = articles.evaluate(queries=20, concurrency=(), rows=10_000)
    assert found.truth.exact and found.truth.rows == ROWS
