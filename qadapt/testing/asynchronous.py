"""Conformance of asynchronous calls: their results are those of the synchronous ones."""

from __future__ import annotations

import asyncio

import numpy as np

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.testing.data import Sample
from qadapt.testing.suite import Suite


class AsyncTests(Suite):
    """Calls of ``qa.AsyncDatabase``; stores have threads by default and need no code."""

    def test_asynchronous_calls_have_the_same_results(
        self, database: Database, small_sample: Sample
    ) -> None:
        collection = self._fill(database, small_sample)
        rows, queries = small_sample.rows, small_sample.queries[:4]
        new = self.keys(len(rows) + 2)[-2:]

        async def run() -> None:
            many = qa.AsyncDatabase(database, max_concurrency=4)
            found = await many.collection(self.name)
            assert self.name in await many.collections()
            assert many.searches in ("native", "thread")
            assert await found.count() == collection.count() == len(rows)
            assert (await found.info()).fingerprint == collection.info().fingerprint
            await self._compare_searches(collection, found, queries)
            pages = [page async for page in found.read(page=50, vectors=())]
            again = list(collection.read(page=50, vectors=()))
            assert [page.ids for page in pages] == [page.ids for page in again]

            await found.write(qa.Batch(new, {"": rows[:2]}, [{"group": 1}, {"group": 2}]))
            assert await found.count() == collection.count() == len(rows) + 2
            read = await found.fetch(new)
            assert list(read.ids) == list(new)
            np.testing.assert_array_equal(read.vectors[""], collection.fetch(new).vectors[""])
            await found.delete(new)
            assert await found.count() == collection.count() == len(rows)
            if database._store.loop_clients is not None:  # `many.close` also closes the database
                await database._store.loop_clients.close()

        asyncio.run(run())

    async def _compare_searches(
        self, collection: Collection, found: qa.AsyncCollection, queries: np.ndarray
    ) -> None:
        """Compare searches of each form twice: the second one may be awaited by the client."""
        for options in ({}, {"k": 3, "with_payload": True}, {"filter": {"group": 3}}):
            for _ in range(2):
                at_once = await asyncio.gather(
                    *(found.search(query, **options) for query in queries)
                )
                for query, hits in zip(queries, at_once, strict=True):
                    own = collection.search(query, **options)
                    assert hits.ids.tolist() == own.ids.tolist()
                    # OpenSearch and Qdrant's local mode compute the last digits differently from
                    # one call to the next.
                    np.testing.assert_allclose(hits.scores, own.scores, rtol=0, atol=1e-6)
                    assert (hits.payloads, hits.how) == (own.payloads, own.how)
