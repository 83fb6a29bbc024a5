"""A server that ends connections: the error names the reason, and the next call works."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import qadapt as qa
from qadapt.api import Database
from qadapt.errors import QadaptError, UnreachableError

OURS = "application_name = 'qadapt_lost'"
# With a time limit, which waits until the connections have ended.
END = f"SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE {OURS}"
# Of the searches in progress only; the first statement of a search is BEGIN.
END_SEARCHES = f"{END} AND state = 'active' AND query LIKE '%ORDER BY%'"


@pytest.fixture
def database(url: str) -> Any:
    with qa.open(f"{url}?application_name=qadapt_lost") as database:
        yield database


def end_during(raw: Any, call: Callable[[], Any]) -> QadaptError:
    """The error of ``call``, repeated until a search in progress has lost its connection."""
    done = threading.Event()

    def end() -> None:
        while not done.is_set() and not raw.execute(END_SEARCHES).fetchone()[0]:
            time.sleep(0.001)

    ending = threading.Thread(target=end)
    ending.start()
    try:
        with pytest.raises(QadaptError) as caught:
            while True:
                call()
    finally:
        done.set()
        ending.join()
    return caught.value


@pytest.mark.parametrize("k", [10, 11], ids=["one k", "another k each time"])
def test_a_connection_that_is_lost_during_a_search(
    raw: Any, articles: Any, sample: Any, k: int
) -> None:
    """Several queries are a pipeline in a transaction."""
    ks = itertools.count(10, step=k - 10)
    error = end_during(raw, lambda: articles.search(sample.queries[:40], k=next(ks) % 200 + 1))
    assert isinstance(error, UnreachableError)
    assert "terminating connection due to administrator command" in error.message
    assert error.hint and "try again" in error.hint
    assert articles.search(sample.queries[:40], k=10).ids.shape == (40, 10)


def test_a_repeated_search_of_one_query_continues_on_another_connection(
    raw: Any, articles: Any, sample: Any
) -> None:
    query = sample.queries[0]
    expected = articles.search(query, k=10)
    done = threading.Event()
    ended = []

    def end() -> None:
        while not done.is_set():
            ended.append(raw.execute(END_SEARCHES).fetchone()[0])

    ending = threading.Thread(target=end)
    ending.start()
    try:
        begun = time.monotonic()
        while sum(ended) < 3 and time.monotonic() - begun < 60:
            found = articles.search(query, k=10)
            assert found.ids.tolist() == expected.ids.tolist()
    finally:
        done.set()
        ending.join()
    assert sum(ended) >= 3, "no search lost its connection"


def test_idle_connections_that_the_server_ended_are_replaced(
    raw: Any, database: Database, articles: Any, sample: Any
) -> None:
    calls: dict[str, Callable[[], Any]] = {
        "search": lambda: articles.search(sample.queries[0], k=3),
        "info": lambda: articles.info(),
        "write": lambda: articles.write(qa.Batch([0], {"": sample.rows[:1]})),
        "list": lambda: list(database),
    }
    for name, call in calls.items():
        assert raw.execute(END).fetchone()[0] >= 1, name
        call()
    np.testing.assert_array_equal(articles.search(sample.rows[0], k=1).ids, [[0]])


def test_a_wrapped_connection_that_is_lost_asks_for_another(
    raw: Any, url: str, articles: Any, sample: Any
) -> None:
    import psycopg

    client = psycopg.connect(url, autocommit=True, application_name="qadapt_lost")
    wrapped = qa.wrap(client)[articles.name]
    wrapped.search(sample.queries[0], k=3)
    raw.execute(END)
    with pytest.raises(UnreachableError, match="administrator command"):
        wrapped.search(sample.queries[0], k=3)
    with pytest.raises(UnreachableError, match="is closed") as caught:
        wrapped.search(sample.queries[0], k=3)
    assert caught.value.hint and "qadapt.wrap" in caught.value.hint
