"""Searches that the client of a database awaits: no thread waits, and cancellation is clean."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest

import qadapt as qa
from qadapt.stores.elastic.elasticsearch.connection import ElasticsearchWire
from qadapt.stores.elastic.opensearch.connection import OpenSearchWire
from qadapt.stores.milvus.connection import Connection as MilvusConnection
from qadapt.stores.pgvector.awaited_sessions import AwaitedSessions
from qadapt.testing import clustered

ROWS, DIM = 3_000, 32
SAMPLE = clustered(ROWS, DIM, queries=50)
Live = Callable[[str], str]
# Engine, the awaited call, a quantization.
NATIVE = [
    pytest.param(
        "pgvector",
        AwaitedSessions,
        "rows",
        "binary:rescore=4",
        id="pgvector",
        marks=pytest.mark.server,
    ),
    pytest.param(
        "elasticsearch",
        ElasticsearchWire,
        "awaited",
        "scalar",
        id="elasticsearch",
        marks=pytest.mark.server,
    ),
    pytest.param(
        "opensearch", OpenSearchWire, "awaited", "none", id="opensearch", marks=pytest.mark.server
    ),
    pytest.param(
        "milvus-lite", MilvusConnection, "awaited", "none", id="milvus-lite", marks=pytest.mark.slow
    ),
    pytest.param(
        "milvus", MilvusConnection, "awaited", "scalar", id="milvus", marks=pytest.mark.server
    ),
]


class Counter:
    """Counts awaited calls, how many run at a time, and how many were cancelled."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
        self.calls = self.now = self.most = self.cancelled = 0
        self.results: list[bool] = []
        real: Callable[..., Awaitable[Any]] = getattr(owner, name)

        async def counted(*args: Any, **named: Any) -> Any:
            self.calls, self.now = self.calls + 1, self.now + 1
            self.most = max(self.most, self.now)
            try:
                found = await real(*args, **named)
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
            finally:
                self.now -= 1
            self.results.append(found is not None)
            return found

        monkeypatch.setattr(owner, name, counted)


@asynccontextmanager
async def opened(
    live: Live, engine: str, quantization: str = "none", most: int = 4
) -> AsyncIterator[qa.AsyncCollection]:
    """A collection with rows, which is dropped at the end."""
    name = f"native_{uuid.uuid4().hex[:8]}"
    async with qa.aopen(live(engine), max_concurrency=most) as database:
        assert database.searches == "native"
        collection = await database.create(name, dim=DIM)
        try:
            await collection.write(qa.Batch(range(ROWS), {"": SAMPLE.rows}))
            if quantization != "none":
                plan = await collection.call(collection.sync.plan, quantization)
                await collection.call(plan.apply, yes=True)
            yield collection
        finally:
            await database.drop(name)


def run(main: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(main)


@pytest.mark.parametrize(("engine", "owner", "name", "quantization"), NATIVE)
def test_many_searches_have_the_results_of_the_synchronous_ones(
    engine: str, owner: Any, name: str, quantization: str, live: Live,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    counter = Counter(monkeypatch, owner, name)
    # Lite takes 30 ms of processor time for each.
    count = 50 if engine == "milvus-lite" else 500

    async def main() -> None:
        async with opened(live, engine, quantization) as collection:
            for options in ({}, {"k": 3, "with_payload": True}):
                own = [collection.sync.search(query, **options) for query in SAMPLE.queries]
                found = await asyncio.gather(
                    *(collection.search(SAMPLE.queries[at % 50], **options) for at in range(count))
                )
                for at, hits in enumerate(found):
                    assert hits.ids.tolist() == own[at % 50].ids.tolist()
                    np.testing.assert_allclose(hits.scores, own[at % 50].scores, rtol=0, atol=1e-6)
                    assert hits.how == own[at % 50].how
                    assert hits.payloads == own[at % 50].payloads
            ours = [each for each in threading.enumerate() if each.name.startswith("qadapt_")]
            assert len(ours) <= 4

    run(main())
    # A thread resolves a search again when the description of the collection is 10 seconds old.
    assert counter.calls >= 1.8 * count and all(counter.results), (
        "no search was repeated in a thread"
    )
    assert 2 <= counter.most <= 4


@pytest.mark.parametrize(("engine", "owner", "name", "quantization"), NATIVE)
def test_cancelled_searches_leave_usable_connections(
    engine: str, owner: Any, name: str, quantization: str, live: Live,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    counter = Counter(monkeypatch, owner, name)

    async def main() -> None:
        async with opened(live, engine, quantization) as collection:
            query = SAMPLE.queries[0]
            own = (await collection.search(query)).ids.tolist()
            for pause in (0, 0.001, 0.003):
                tasks = [asyncio.create_task(collection.search(query)) for _ in range(20)]
                await asyncio.sleep(pause)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                assert counter.now == 0
            before = len(counter.results)
            for _ in range(8):
                assert (await collection.search(query)).ids.tolist() == own
            assert counter.results[before:] == [True] * 8, "natively, on kept connections"

    run(main())
    assert counter.cancelled > 0


@pytest.mark.server
def test_a_cancelled_statement_of_postgres_ends_on_the_server(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    psycopg = pytest.importorskip("psycopg")
    url = f"{live('pgvector')}?application_name=native_cancelled"

    async def main() -> None:
        async with qa.aopen(url, max_concurrency=2) as database:
            sessions = database.sync._store.loop_clients.get()
            slow = (b"SELECT pg_sleep(60)", b"", (), "sleep")
            task = asyncio.create_task(sessions.rows(*slow))
            with psycopg.connect(live("pgvector"), autocommit=True) as other:
                state = (
                    "SELECT pid, state FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' "
                    "AND application_name = 'native_cancelled'"
                )
                while [row[1] for row in other.execute(state).fetchall()] != ["active"]:
                    await asyncio.sleep(0.01)
                ((pid, _),) = other.execute(state).fetchall()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert other.execute(state).fetchall() == [(pid, "idle")]
                # The same connection is used again.
                same = (b"SELECT pg_backend_pid()", b"", (), "read")
                assert await sessions.rows(*same) == [(pid,)]
                # A session that the server ended is replaced; a thread repeats the search.
                other.execute("SELECT pg_terminate_backend(%s)", [pid])
                assert await sessions.rows(*same) is None
                ((again,),) = await sessions.rows(*same)
                assert again != pid

    run(main())
