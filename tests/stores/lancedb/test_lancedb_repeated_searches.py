"""Searches that are repeated, which use the asynchronous table of the client."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from lancedb_helpers import DIM, ROWS

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.stores.base import SearchRequest
from qadapt.stores.lancedb import rows, search
from qadapt.stores.lancedb.connection import async_table, event_loop
from qadapt.stores.lancedb.prepared_search import requests
from qadapt.testing.data import Sample


def prepared(
    collection: Collection, rescore: qa.Rescore | None, options: Mapping[str, Any], exact: bool
) -> search.Prepared:
    store: Any = collection._store
    asked = SearchRequest(
        k=10, vector="", rescore=rescore, exact=exact, with_payload=True, options=options
    )
    found: search.Prepared = store._prepared(store.layout(collection.name), asked)
    return found


@pytest.mark.parametrize("setting", ["none", "scalar", "rotational:bits=1"])
def test_both_requests_return_the_same(articles: Collection, sample: Sample, setting: str) -> None:
    if setting != "none":
        articles.plan(setting, accept="differs").apply(yes=True)
    each: list[tuple[qa.Rescore | None, dict[str, Any], bool]] = [
        (None, {}, False),
        (qa.Rescore(oversampling=3), {}, False),
        (None, {"nprobes": 1}, False),
        (None, {"nprobes": 30, "fast_search": True}, False),
        (None, {"ef": 40}, False),
        (None, {}, True),
    ]
    for rescore, options, exact in each:
        made = prepared(articles, rescore, options, exact)
        request = requests(made)
        assert request is not None
        for query in sample.queries[:5]:
            one = event_loop().run(request(np.ascontiguousarray(query)).to_arrow())
            other = made.request(query).to_arrow()
            assert one.equals(other), (rescore, options, exact)


def test_a_repeated_search_returns_what_the_first_one_did(
    articles: Collection, sample: Sample
) -> None:
    for payload in (False, True):
        first, second = (
            articles.search(sample.queries[0], 5, with_payload=payload) for _ in range(2)
        )
        assert second.ids.tolist() == first.ids.tolist()
        assert second.ids.dtype == np.int64
        assert second.scores.tolist() == first.scores.tolist()
        assert (second.payloads, second.how) == (first.payloads, first.how)
    several = articles.search(sample.queries[:3], 5, with_payload=True)
    one = articles.search(sample.queries[2], 5, with_payload=True)
    assert several.ids[2].tolist() == one.ids[0].tolist()
    assert several.scores[2].tolist() == one.scores[0].tolist()
    assert several.payloads is not None
    assert [several.payloads[2]] == one.payloads


def test_threads_repeat_a_search_at_the_same_time(articles: Collection, sample: Sample) -> None:
    queries = sample.queries[:8]
    expected = [articles.search(query, 5).ids.tolist() for query in queries]

    def work(at: int) -> list[Any]:
        return [articles.search(queries[at], 5).ids.tolist() for _ in range(10)]

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(work, range(len(queries))))
    assert found == [[each] * 10 for each in expected]


def test_few_rows_are_padded_in_a_repeated_search(database: Database) -> None:
    small = database.create("small", dim=DIM)
    small.write(qa.Batch(["a", "b"], {"": np.eye(DIM, dtype=np.float32)[:2]}))
    for _ in range(2):
        found = small.search(np.ones(DIM, np.float32), 4)
        assert sorted(found.ids[0, :2].tolist()) == ["a", "b"]
        assert found.ids[0, 2:].tolist() == [None, None]
        assert len(found) == 2


def test_writes_see_the_version_of_other_clients(
    articles: Collection, sample: Sample, raw: Any
) -> None:
    handle = raw.open_table("articles")
    version, columns = rows.shown(handle, latest=True)
    assert (version, columns) == (handle.version, handle.schema)
    articles.write(qa.Batch([ROWS], {"": sample.rows[:1]}))
    raw.open_table("articles").delete(f"id = {ROWS}")
    assert rows.shown(handle, latest=True)[0] == version + 2
    articles.write(qa.Batch([0, ROWS], {"": sample.rows[1:3]}))
    assert articles.count() == ROWS + 1
    assert np.allclose(articles.fetch([0]).vectors[""], sample.rows[1:2])


def test_another_kind_of_table_is_searched_by_its_own_methods() -> None:
    assert async_table(object()) is None
