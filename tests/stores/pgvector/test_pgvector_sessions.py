"""Repeated searches in sessions that keep the settings of the search."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import psycopg
import pytest

import qadapt as qa
from qadapt.api import Database
from qadapt.errors import BusyError, NotFoundError, QadaptError, StoreTimeoutError
from qadapt.stores.pgvector import ranked_rows, search, session_settings
from qadapt.stores.pgvector.connection import Connection
from qadapt.testing.data import Sample


@pytest.fixture
def in_transactions(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of queries of each search with settings of its transaction."""
    found: list[int] = []
    original = search.run

    def run(*args: Any) -> Any:
        found.append(len(args[3]))
        return original(*args)

    monkeypatch.setattr(search, "run", run)
    return found


@pytest.fixture
def coded(articles: Any) -> Iterator[Any]:
    articles.plan("binary:rescore=4").apply(yes=True)
    yield articles


def test_a_repeated_search_is_one_statement_with_the_same_results(
    coded: Any, sample: Sample, in_transactions: list[int]
) -> None:
    for payload in (False, True):
        first = coded.search(sample.queries[0], 5, with_payload=payload)
        assert in_transactions.pop() == 1
        second = coded.search(sample.queries[0], 5, with_payload=payload)
        assert in_transactions == []
        assert second.how == first.how
        assert second.how.candidates == 20
        assert second.ids.tolist() == first.ids.tolist()
        assert second.ids.dtype == np.int64
        assert second.scores.tolist() == first.scores.tolist()
        assert second.payloads == first.payloads
    (free,) = coded._store.sessions._free
    shown = free.connection.execute("SHOW hnsw.ef_search").fetchone()
    assert shown == ("40",)
    several = coded.search(sample.queries[:3], 5)
    assert in_transactions == [3]
    assert several.ids[0].tolist() == coded.search(sample.queries[0], 5).ids[0].tolist()


def test_settings_of_a_search_do_not_change_other_statements(coded: Any, sample: Sample) -> None:
    for _ in range(2):
        coded.search(sample.queries[0], 5)
    with coded._store.connection.session("test") as at:
        assert at.execute("SHOW enable_seqscan").fetchone() == ("on",)


def test_behind_a_pooler_settings_are_those_of_the_transaction(
    coded: Any, sample: Sample, in_transactions: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A pooler invents the process id that it reports to its clients.
    monkeypatch.setattr(psycopg.ConnectionInfo, "backend_pid", property(lambda _: 1))
    found = [coded.search(sample.queries[0], 5).ids.tolist() for _ in range(3)]
    assert in_transactions == [1, 1, 1]
    assert found[0] == found[1] == found[2]
    assert coded._store.sessions._free == []


def test_a_search_survives_the_end_of_its_session(
    coded: Any, sample: Sample, raw: Any, in_transactions: list[int]
) -> None:
    expected = [coded.search(sample.queries[0], 5).ids.tolist() for _ in range(2)][1]
    (free,) = coded._store.sessions._free
    raw.execute("SELECT pg_terminate_backend(%s)", [free.connection.info.backend_pid])
    assert coded.search(sample.queries[0], 5).ids.tolist() == expected
    assert in_transactions == [1, 1]
    assert coded.search(sample.queries[0], 5).ids.tolist() == expected
    assert in_transactions == [1, 1]


@pytest.mark.parametrize(
    ("limit", "kind"), [("statement_timeout", StoreTimeoutError), ("lock_timeout", BusyError)]
)
def test_a_search_that_exceeds_a_time_limit_runs_once(
    coded: Any,
    sample: Sample,
    raw: Any,
    in_transactions: list[int],
    limit: str,
    kind: type[QadaptError],
) -> None:
    for _ in range(2):
        expected = coded.search(sample.queries[0], 5).ids.tolist()
    in_transactions.clear()
    (free,) = coded._store.sessions._free
    free.connection.execute(f"SET {limit} = '100ms'")
    with raw.transaction():
        raw.execute(f"LOCK TABLE {coded.name}")
        with pytest.raises(kind, match=f"could not search '{coded.name}'") as caught:
            coded.search(sample.queries[0], 5)
    assert caught.value.hint
    assert in_transactions == []
    assert coded.search(sample.queries[0], 5).ids.tolist() == expected
    assert in_transactions == []  # a new session


def test_a_search_whose_prepared_statement_is_gone_is_repeated(
    coded: Any, sample: Sample, in_transactions: list[int]
) -> None:
    for _ in range(2):
        expected = coded.search(sample.queries[0], 5).ids.tolist()
    in_transactions.clear()
    (free,) = coded._store.sessions._free
    (statement,) = free.connection.execute("SELECT name FROM pg_prepared_statements").fetchone()
    free.connection.execute(f'DEALLOCATE "{statement}"')
    assert coded.search(sample.queries[0], 5).ids.tolist() == expected
    assert in_transactions == [1]


def test_a_table_that_was_dropped_is_reported(coded: Any, sample: Sample, raw: Any) -> None:
    for _ in range(2):
        coded.search(sample.queries[0], 5)
    raw.execute(f"DROP TABLE {coded.name} CASCADE")
    with pytest.raises(NotFoundError):
        coded.search(sample.queries[0], 5)


def test_idle_sessions_are_limited_and_closed(
    coded: Any, sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_settings, "MOST_IDLE", 2)
    sessions = coded._store.sessions
    opened = []
    for k in (20, 30, 40, 50):  # ef_search 80, 120, ...
        for _ in range(2):
            coded.search(sample.queries[0], k)
        opened.append(sessions._free[-1].connection)
    assert [each.closed for each in opened] == [True, True, False, False]
    sessions.close()
    assert all(each.closed for each in opened)


def test_the_connection_of_a_user_keeps_its_settings(
    coded: Any, sample: Sample, raw: Any, database: Database, in_transactions: list[int]
) -> None:
    with qa.wrap(raw) as wrapped:
        for _ in range(3):
            wrapped[coded.name].search(sample.queries[0], 5)
    assert in_transactions == [1, 1, 1]
    assert raw.execute("SHOW enable_seqscan").fetchone() == ("on",)


def test_rows_are_sorted_by_distance_and_those_without_one_are_dropped() -> None:
    rows = [(1, 0.5), (2, None), (3, float("nan")), (4, 0.25)]
    assert ranked_rows.ranked(rows) == [(4, 1), (0.25, 0.5)]
    assert ranked_rows.ranked(rows[:1]) == [(1,), (0.5,)]
    assert ranked_rows.ranked([]) == [(), (), ()]


def test_a_forked_process_opens_no_session(monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = session_settings.SearchSessions(Connection({}))
    monkeypatch.setattr(sessions, "_pid", 0)
    assert sessions.rows(b"SELECT 1", b"", (), "search") is None
