"""Asynchronous databases: concurrency, cancellation, errors, closing.

The conformance suite compares results with the synchronous ones on every database.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import numpy as np
import pytest

import qadapt as qa
from qadapt.api.workers import to_the_end
from qadapt.errors import InputError, NotFoundError
from qadapt.stores.weaviate.connection import Connection as WeaviateConnection
from qadapt.testing import clustered

ROWS, DIM = 400, 32
SAMPLE = clustered(ROWS, DIM, queries=8)
Live = Callable[[str], str]


def run(main: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(main)


async def filled(database: qa.AsyncDatabase, name: str = "articles") -> qa.AsyncCollection:
    uuids = database.sync.server().store == "weaviate"
    ids = [f"00000000-0000-0000-0000-{at + 1:012x}" if uuids else at for at in range(ROWS)]
    collection = await database.create(name, dim=DIM)
    await collection.write(qa.Batch(ids, {"": SAMPLE.rows}))
    return collection


class Running:
    """Counts how many calls run at a time."""

    def __init__(self) -> None:
        self.now = self.most = self.calls = 0
        self._lock = threading.Lock()

    def count(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **named: Any) -> Any:
            self.enter()
            try:
                return function(*args, **named)
            finally:
                self.leave()

        return counted

    def count_awaited(self, function: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
        async def counted(*args: Any, **named: Any) -> Any:
            self.enter()
            try:
                return await function(*args, **named)
            finally:
                self.leave()

        return counted

    def enter(self) -> None:
        with self._lock:
            self.now, self.calls = self.now + 1, self.calls + 1
            self.most = max(self.most, self.now)

    def leave(self) -> None:
        with self._lock:
            self.now -= 1


# -- 1,000 searches at once ------------------------------------------------------------------------


async def thousand(collection: qa.AsyncCollection) -> None:
    """1,000 searches with the ids of the synchronous ones."""
    queries = np.random.default_rng(1).standard_normal((50, DIM)).astype(np.float32)
    own = [collection.sync.search(query).ids.tolist() for query in queries]
    found = await asyncio.gather(*(collection.search(queries[at % 50]) for at in range(1_000)))
    assert [hits.ids.tolist() for hits in found] == [own[at % 50] for at in range(1_000)]


@pytest.mark.parametrize("engine", ["edge", pytest.param("milvus-lite", marks=pytest.mark.long)])
def test_a_thousand_searches_use_few_threads(
    engine: str, live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = Running()

    async def main() -> None:
        async with qa.aopen(live(engine), max_concurrency=4) as database:
            assert database.searches == "thread"
            collection = await filled(database)
            monkeypatch.setattr(
                collection.sync._search.prepared,
                "search",
                running.count(collection.sync._search.prepared.search),
            )
            await thousand(collection)
            ours = [each for each in threading.enumerate() if each.name.startswith("qadapt_")]
            assert len(ours) <= 4

    run(main())
    assert running.calls >= 1_000
    assert 1 <= running.most <= 4


@pytest.mark.server
def test_a_thousand_searches_of_postgres_use_few_connections(live: Live) -> None:
    psycopg = pytest.importorskip("psycopg")
    url = live("pgvector")
    count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'thousand'"

    async def main() -> None:
        named = f"{url}?application_name=thousand"
        async with qa.aopen(named, max_concurrency=4) as database:
            collection = await filled(database, "async_thousand")
            try:
                await thousand(collection)
                with psycopg.connect(url) as other:
                    (connections,) = other.execute(count).fetchone()
                # Searches keep sessions, and other calls a connection for each thread.
                assert 1 <= connections <= 8
            finally:
                await database.drop("async_thousand")

    run(main())


@pytest.mark.server
def test_weaviate_awaits_a_thousand_searches_without_threads(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = Running()
    awaited = running.count_awaited(WeaviateConnection.awaited)
    monkeypatch.setattr(WeaviateConnection, "awaited", awaited)

    async def main() -> None:
        async with qa.aopen(live("weaviate"), max_concurrency=8) as database:
            assert database.searches == "native"
            collection = await filled(database, "AsyncThousand")
            try:
                assert collection.searches == "native"
                await thousand(collection)
            finally:
                await database.drop("AsyncThousand")

    run(main())
    # All but those that ran while the first one was resolved, in a thread each.
    assert running.calls >= 1_000 - 50
    assert 2 <= running.most <= 8


# -- cancellation ----------------------------------------------------------------------------------


class Gate:
    """Holds calls in their thread until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
        self.entered, self.opened = threading.Event(), threading.Event()
        self.calls = 0
        real = getattr(owner, name)

        def held(*args: Any, **named: Any) -> Any:
            self.calls += 1
            self.entered.set()
            assert self.opened.wait(60)
            return real(*args, **named)

        monkeypatch.setattr(owner, name, held)


async def until(event: threading.Event) -> None:
    assert await asyncio.to_thread(event.wait, 60)


def test_a_cancelled_write_that_has_begun_is_complete(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with qa.aopen(live("edge"), max_concurrency=1) as database:
            collection = await filled(database)
            gate = Gate(monkeypatch, database.sync._store, "write")
            rows = np.ones((3, DIM), np.float32)
            first = asyncio.create_task(collection.write(qa.Batch([900, 901, 902], {"": rows})))
            await until(gate.entered)
            second = asyncio.create_task(collection.write(qa.Batch([910], {"": rows[:1]})))
            await asyncio.sleep(0)
            for task in (first, second):
                task.cancel()
            await asyncio.sleep(0)
            assert not first.done(), "the task ends after the write"
            first.cancel()  # once more, as a second time limit would
            gate.opened.set()
            done = await asyncio.gather(first, second, return_exceptions=True)
            assert [type(each) for each in done] == [asyncio.CancelledError] * 2
            assert gate.calls == 1, "the write that waited has never begun"
            assert (await collection.fetch([900, 901, 902, 910])).ids == [900, 901, 902]
            assert await collection.count() == ROWS + 3

    run(main())


def test_a_time_limit_of_a_search_does_not_wait_for_it(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with qa.aopen(live("edge"), max_concurrency=2) as database:
            collection = await filled(database)
            query = SAMPLE.queries[0]
            gate = Gate(monkeypatch, database.sync._store, "search")
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(collection.search(query), 0.05)
            assert gate.entered.is_set()
            gate.opened.set()
            assert (await collection.search(query)).ids.shape == (1, 10)

    run(main())


def test_a_read_that_is_left_closes_its_pages(live: Live) -> None:
    async def main() -> None:
        async with qa.aopen(live("edge")) as database:
            collection = await filled(database)
            pages = collection.read(page=100)
            async for page in pages:
                assert len(page) == 100
                break
            await pages.aclose()  # type: ignore[attr-defined]
            assert [len(page) async for page in collection.read(page=150)] == [150, 150, 100]

    run(main())


def test_an_error_of_work_in_a_cancelled_task_is_its_cause() -> None:
    async def main() -> None:
        async def fails() -> None:
            await asyncio.sleep(0)
            raise ValueError("full disk")

        work = asyncio.ensure_future(fails())
        task = asyncio.ensure_future(to_the_end(work))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert "full disk" in str(caught.value.__cause__ or work.exception())

    run(main())


# -- opening, closing, errors ----------------------------------------------------------------------


def test_a_database_is_opened_by_await_or_async_with(live: Live) -> None:
    async def main() -> None:
        database = await qa.aopen(live("edge"))
        assert repr(database) == f"<AsyncDatabase {database.sync._store.address}>"
        assert await database.collections() == []
        collection = await filled(database)
        assert repr(collection).startswith("<AsyncCollection 'articles' of ")
        await database.close()
        await database.close()
        for call in (collection.count, database.collections):
            with pytest.raises(InputError, match="the connection is closed"):
                await call()
        with pytest.raises(InputError, match="is closed"):
            collection.sync.count()

    run(main())


def test_closing_waits_for_calls_that_run(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        database = await qa.aopen(live("edge"), max_concurrency=2)
        collection = await filled(database)
        gate = Gate(monkeypatch, database.sync._store, "count")
        counting = asyncio.create_task(collection.count())
        await until(gate.entered)
        closing = asyncio.create_task(database.close())
        await asyncio.sleep(0.01)
        assert not closing.done()
        gate.opened.set()
        assert await counting == ROWS
        await closing

    run(main())


def test_closing_waits_for_the_search_of_a_cancelled_task(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        database = await qa.aopen(live("edge"), max_concurrency=2)
        collection = await filled(database)
        gate = Gate(monkeypatch, database.sync._store, "search")
        closed = Gate(monkeypatch, database.sync._store, "close")
        closed.opened.set()
        searching = asyncio.create_task(collection.search(SAMPLE.queries[0]))
        await until(gate.entered)
        searching.cancel()
        closing = asyncio.create_task(database.close())
        await asyncio.sleep(0.01)
        assert searching.cancelled() and not closed.entered.is_set()
        gate.opened.set()
        await closing
        assert closed.calls == 1

    run(main())


def test_errors_are_those_of_the_synchronous_calls(live: Live) -> None:
    async def main() -> None:
        async with qa.aopen(live("edge")) as database:
            with pytest.raises(NotFoundError, match="missing"):
                await database.collection("missing")
            collection = await filled(database)
            for _ in range(2):
                with pytest.raises(qa.errors.DimensionError) as caught:
                    await collection.search([1.0, 2.0])
                assert caught.value.operation == "search"
                assert caught.value.collection == "articles"
        with pytest.raises(InputError, match="max_concurrency"):
            await qa.aopen(live("edge"), max_concurrency=0)
        with pytest.raises(qa.errors.SpecError, match="unknown store 'nosuch'"):
            await qa.aopen("nosuch:database")
        assert [each for each in threading.enumerate() if each.name.startswith("qadapt_")] == []

    run(main())


@pytest.mark.server
def test_a_search_that_the_client_cannot_await_is_repeated_in_a_thread(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = []

    async def fails(*_: Any, **__: Any) -> Any:
        failed.append(True)
        raise qa.errors.TransientError("the server restarts")

    monkeypatch.setattr(WeaviateConnection, "awaited", fails)

    async def main() -> None:
        async with qa.aopen(live("weaviate")) as database:
            collection = await filled(database, "AsyncRepeated")
            try:
                first = await collection.search(SAMPLE.queries[0])
                again = await collection.search(SAMPLE.queries[0])
                assert failed == [True]
                assert again.ids.tolist() == first.ids.tolist()
            finally:
                await database.drop("AsyncRepeated")

    run(main())


def test_other_methods_run_in_a_thread(live: Live) -> None:
    async def main() -> None:
        async with qa.aopen(live("edge")) as database:
            collection = await filled(database)
            plan = await collection.call(collection.sync.plan, "binary:rescore=4")
            change = await collection.call(plan.apply, yes=True)
            assert change.status.state == "active"
            hits = await collection.search(SAMPLE.queries[0])
            assert hits.how.rescored_on == "originals"

    run(main())


def test_a_wrapped_client_stays_open() -> None:
    qdrant = pytest.importorskip("qdrant_client")
    client = qdrant.QdrantClient(":memory:")

    async def main() -> None:
        async with qa.AsyncDatabase(qa.wrap(client)) as database:
            collection = await filled(database)
            assert await collection.count() == ROWS

    run(main())
    assert [each.name for each in client.get_collections().collections] == ["articles"]
    client.close()
