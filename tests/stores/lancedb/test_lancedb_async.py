"""Searches that an event loop repeats: the requests share a prepared one."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qadapt as qa
from qadapt.stores.lancedb import prepared_search
from qadapt.stores.lancedb.prepared_search import RepeatedSearch
from qadapt.testing import clustered

ROWS, DIM = 600, 16
SAMPLE = clustered(ROWS, DIM, queries=20)


@pytest.fixture
def awaited(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each awaited search had a result."""
    monkeypatch.setattr(prepared_search, "SEARCH_AGE", 600.0)
    found: list[bool] = []
    real = RepeatedSearch.awaited

    async def counted(self: Any, queries: Any) -> Any:
        hits = await real(self, queries)
        found.append(hits is not None)
        return hits

    monkeypatch.setattr(RepeatedSearch, "awaited", counted)
    return found


def fill(collection: qa.Collection) -> None:
    payloads = [{"n": at} for at in range(ROWS)]
    collection.write(qa.Batch(range(ROWS), {"": SAMPLE.rows}, payloads))


def test_searches_are_awaited_by_the_client(tmp_path: Path, awaited: list[bool]) -> None:
    async def main() -> None:
        async with qa.aopen(f"lancedb:{tmp_path}/l", max_concurrency=4) as database:
            assert database.searches == "native"
            collection = await database.create("notes", dim=DIM)
            await collection.call(fill, collection.sync)
            for options in ({}, {"k": 3, "with_payload": True}):
                own = [collection.sync.search(query, **options) for query in SAMPLE.queries]
                before = len(awaited)
                found = await asyncio.gather(
                    *(collection.search(SAMPLE.queries[at % 20], **options) for at in range(100))
                )
                assert awaited[before:] == [True] * 100
                for at, hits in enumerate(found):
                    assert hits.ids.tolist() == own[at % 20].ids.tolist()
                    np.testing.assert_allclose(hits.scores, own[at % 20].scores, rtol=0, atol=1e-6)
                    assert hits.payloads == own[at % 20].payloads
                    assert hits.how == own[at % 20].how
            waiting = [each for each in threading.enumerate() if each.name.startswith("qadapt_")]
            assert len(waiting) <= 4

    asyncio.run(main())


def test_a_cancelled_search_leaves_the_table_usable(tmp_path: Path, awaited: list[bool]) -> None:
    async def main() -> None:
        async with qa.aopen(f"lancedb:{tmp_path}/l") as database:
            collection = await database.create("notes", dim=DIM)
            await collection.call(fill, collection.sync)
            own = collection.sync.search(SAMPLE.queries[0]).ids.tolist()
            for pause in (0, 0.001, 0.003):
                tasks = [
                    asyncio.create_task(collection.search(SAMPLE.queries[0])) for _ in range(20)
                ]
                await asyncio.sleep(pause)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            assert (await collection.search(SAMPLE.queries[0])).ids.tolist() == own
            assert awaited[-1]

    asyncio.run(main())


def test_rows_of_another_client_are_found_after_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with qa.aopen(f"lancedb:{tmp_path}/l") as database:
            collection = await database.create("notes", dim=DIM)
            await collection.call(fill, collection.sync)
            query = SAMPLE.queries[0]
            for _ in range(3):
                await collection.search(query)
            with qa.open(f"lancedb:{tmp_path}/l") as other:
                other["notes"].write(qa.Batch([9_000], {"": query[None]}))
            monkeypatch.setattr(prepared_search, "SEARCH_AGE", 0.0)
            assert (await collection.search(query)).ids[0][0] == 9_000

    asyncio.run(main())
