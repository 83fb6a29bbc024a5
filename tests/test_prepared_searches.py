"""Repeated searches: resolved once, and resolved again after each change."""

from __future__ import annotations

import json
import pickle
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qadapt as qa
from qadapt.api.prepared_searches import PreparedSearches
from qadapt.errors import (
    DimensionError,
    InputError,
    IntegrityError,
    NonFiniteError,
    StoreError,
    ZeroVectorError,
)
from qadapt.local import settings, state
from qadapt.local.settings import RECHECK
from qadapt.stores.base import SearchRequest
from qadapt.stores.qdrant.server import local_mode
from qadapt.testing import Sample, clustered

ROWS, DIM = 400, 32


@pytest.fixture(scope="module")
def sample() -> Sample:
    return clustered(ROWS, DIM, queries=8)


@pytest.fixture(params=["edge", "qdrant-local", "milvus-lite"])
def articles(
    request: pytest.FixtureRequest, live: Callable[[str], str], sample: Sample
) -> Iterator[Any]:
    local = request.param == "qdrant-local"
    with qa.open("qdrant::memory:" if local else live(request.param)) as database:
        collection = database.create("articles", dim=DIM)
        payloads = [{"group": at % 7} for at in range(ROWS)]
        collection.write(qa.Batch(range(ROWS), {"": sample.rows}, payloads))
        yield collection


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each search used a prepared one."""
    found: list[bool] = []
    original = PreparedSearches.search

    def search(self: Any, key: Any, queries: Any) -> Any:
        hits = original(self, key, queries)
        found.append(hits is not None)
        return hits

    monkeypatch.setattr(PreparedSearches, "search", search)
    return found


def test_a_repeated_search_returns_the_same(
    articles: Any, sample: Sample, used: list[bool]
) -> None:
    for payload in (False, True):
        first = articles.search(sample.queries[0], 5, with_payload=payload)
        second = articles.search(sample.queries[0], 5, with_payload=payload)
        assert used[-2:] == [False, True]
        assert second.how == first.how
        assert second.ids.tolist() == first.ids.tolist()
        assert second.ids.dtype == first.ids.dtype == np.int64
        assert second.scores.tolist() == first.scores.tolist()
        assert second.payloads == first.payloads
        assert [hit.id for hit in second] == first.ids[0].tolist()
    several = articles.search(sample.queries, 5, with_payload=True)
    assert used[-1]
    for at, query in enumerate(sample.queries):
        one = articles.search(query.tolist(), 5, with_payload=True)
        assert one.ids[0].tolist() == several.ids[at].tolist()
        assert one.payloads == [several.payloads[at]]


def test_queries_are_refused_by_a_repeated_search_too(articles: Any, sample: Sample) -> None:
    for _ in range(2):
        articles.search(sample.queries[0], 5)
    wrong = sample.queries[0].copy()
    for value in (np.nan, np.inf):
        wrong[3] = value
        with pytest.raises(NonFiniteError):
            articles.search(wrong, 5)
    with pytest.raises(ZeroVectorError):
        articles.search(np.zeros(DIM, np.float32), 5)
    with pytest.raises(DimensionError):
        articles.search(np.ones(DIM + 1, np.float32), 5)
    with pytest.raises(InputError, match="numbers"):
        articles.search([1.0, "2", *[0.5] * (DIM - 2)], 5)
    with pytest.raises(InputError, match="overflows"):
        articles.search(np.full(DIM, 3e38, np.float32), 5)
    for k in (True, 5.5, 0):
        with pytest.raises(InputError):
            articles.search(sample.queries[0], k)


def test_queries_of_any_norm_find_the_same(articles: Any, sample: Sample, used: list[bool]) -> None:
    found = articles.search(sample.queries[0], 5)
    for scale, plain in ((0.5, True), (1e-9, False), (1e12, False)):
        scaled = articles.search(np.float32(scale) * sample.queries[0], 5)
        assert scaled.ids.tolist() == found.ids.tolist()
        assert used[-1] is plain


def test_settings_saved_by_another_process_are_used(
    live: Callable[[str], str], sample: Sample, used: list[bool]
) -> None:
    with qa.open(live("edge")) as database:
        articles = database.create("articles", dim=DIM)
        articles.write(qa.Batch(range(ROWS), {"": sample.rows}))
        articles.plan("binary:rescore=2").apply(yes=True)
        query = sample.queries[0]
        assert [articles.search(query, 5).how.candidates for _ in range(2)] == [10, 10]
        assert used[-1]
        path = state._settings_path(database._store.address, "articles")
        changed = json.loads(path.read_text())
        changed["settings"]["vectors"][""]["rescore"]["oversampling"] = 4.0
        replaced = Path(f"{path}.new")
        replaced.write_text(json.dumps(changed))
        replaced.rename(path)
        time.sleep(2 * RECHECK)
        hits = articles.search(query, 5)
        assert (hits.how.candidates, hits.how.rescore_from) == (20, "collection")
        path.write_text("{")
        time.sleep(2 * RECHECK)
        with pytest.raises(IntegrityError, match="damaged"):
            articles.search(query, 5)


def test_settings_saved_by_this_process_are_used_at_once(
    live: Callable[[str], str], sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "RECHECK", 3600.0)
    with qa.open(live("edge")) as database:
        articles = database.create("articles", dim=DIM)
        articles.write(qa.Batch(range(ROWS), {"": sample.rows}))
        articles.plan("binary:rescore=2").apply(yes=True)
        saved = settings.read_settings(database._store, "articles")
        assert [articles.search(sample.queries[0], 5).how.candidates for _ in range(2)] == [10, 10]
        settings.write_settings(
            database._store,
            "articles",
            saved.with_vector("", state.VectorSettings(qa.Rescore(oversampling=4))),
        )
        assert articles.search(sample.queries[0], 5).how.candidates == 20
        state.forget(database._store.address, "articles")
        assert articles.search(sample.queries[0], 5).how.rescore_from == "store default"


def test_a_query_in_the_other_byte_order_finds_the_same(articles: Any, sample: Sample) -> None:
    for _ in range(2):
        found = articles.search(sample.queries[0], 5)
    other = sample.queries[0].astype(sample.queries.dtype.newbyteorder())
    assert articles.search(other, 5).ids.tolist() == found.ids.tolist()
    strided = np.repeat(sample.queries[0], 2)[::2]
    assert articles.search(strided, 5).scores.tolist() == found.scores.tolist()


def test_errors_of_a_repeated_search_name_the_collection(articles: Any, sample: Sample) -> None:
    for _ in range(2):
        articles.search(sample.queries[0], 5)
    with pytest.raises(NonFiniteError) as caught:
        articles.search(np.full(DIM, np.nan, np.float32), 5)
    assert (caught.value.collection, caught.value.operation) == ("articles", "search")
    articles._store.closed = True
    with pytest.raises(InputError, match="is closed"):
        articles.search(sample.queries[0], 5)


def test_a_closed_client_of_local_mode_is_not_searched(sample: Sample) -> None:
    client_module = pytest.importorskip("qdrant_client")
    client = client_module.QdrantClient(":memory:")
    with qa.wrap(client) as database:
        articles = database.create("articles", dim=DIM)
        articles.write(qa.Batch(range(ROWS), {"": sample.rows}))
        for _ in range(2):
            articles.search(sample.queries[0], 5)
        client.close()
        with pytest.raises(StoreError, match="closed"):
            articles.search(sample.queries[0], 5)


def test_local_mode_of_another_version_is_searched_with_its_client(sample: Sample) -> None:
    pytest.importorskip("qdrant_client")
    request = SearchRequest(k=5)

    class Other:
        def search(self, vector: Any) -> None:
            raise AssertionError

    assert local_mode.searcher(Other(), request) is None
    assert local_mode.searcher(object(), request) is None


def test_a_change_of_the_codes_is_used_at_once(
    live: Callable[[str], str], sample: Sample, used: list[bool]
) -> None:
    with qa.open(live("edge")) as database:
        articles = database.create("articles", dim=DIM)
        articles.write(qa.Batch(range(ROWS), {"": sample.rows}))
        for _ in range(2):
            assert articles.search(sample.queries[0], 5).how.rescorer == "none"
        articles.plan("binary").apply(yes=True)
        for _ in range(2):
            assert articles.search(sample.queries[0], 5).how.rescorer == "store"
        assert used == [False, True, False, True]
        articles.delete([int(articles.search(sample.queries[0], 1).ids[0, 0])])
        assert len(articles.search(sample.queries[0], 5)) == 5


def test_a_collection_made_again_is_searched_by_its_new_definition(sample: Sample) -> None:
    pytest.importorskip("qdrant_client")
    with qa.open("qdrant::memory:") as database:
        articles = database.create("articles", dim=DIM)
        articles.write(qa.Batch(range(ROWS), {"": sample.rows}))
        for _ in range(2):
            articles.search(sample.queries[0], 5)
        database.drop("articles")
        again = database.create("articles", dim=DIM, metric="euclidean")
        again.write(qa.Batch(range(ROWS), {"": sample.rows}))
        assert (again.search(sample.queries[0], 5).scores <= 0).all()


def test_hits_can_be_pickled_and_changed_before_and_after_they_are_read(
    articles: Any, sample: Sample
) -> None:
    hits = articles.search(sample.queries[:2], 3, with_payload=True)
    again = pickle.loads(pickle.dumps(hits))
    assert again.ids.tolist() == hits.ids.tolist()
    assert again.payloads == hits.payloads
    assert again.how == hits.how
    hits.scores[0, 0] = 7
    assert next(iter(hits)).score == 7
    assert len(hits) == 6
    with pytest.raises(AttributeError, match="nothing"):
        hits.nothing  # noqa: B018


def test_a_collection_that_another_client_creates_again_with_other_dimensions() -> None:
    """The definition of the vector is kept for seconds: a query of the new one was refused."""
    client = pytest.importorskip("qdrant_client").QdrantClient(":memory:")
    models = pytest.importorskip("qdrant_client.models")
    with qa.wrap(client) as database:
        notes = database.create("notes", dim=4)
        notes.write(qa.Batch([1], {"": np.ones((1, 4))}))
        for _ in range(2):
            assert notes.search(np.ones(4), k=1).ids.tolist() == [[1]]
        with pytest.raises(DimensionError, match="2 dimensions, expected 4"):
            notes.search(np.ones(2), k=1)
        client.delete_collection("notes")
        vectors = models.VectorParams(size=2, distance=models.Distance.DOT)
        client.create_collection("notes", vectors_config=vectors)
        client.upsert("notes", [models.PointStruct(id=5, vector=[1.0, 0.0])])
        assert notes.search(np.ones(2), k=1).ids.tolist() == [[5]]
        assert notes.search(np.zeros(2), k=1).scores.tolist() == [[0]], "the metric is dot"
        with pytest.raises(DimensionError, match="4 dimensions, expected 2"):
            notes.search(np.ones(4), k=1)
