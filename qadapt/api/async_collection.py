"""AsyncCollection: rows and searches of a collection for an event loop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from qadapt.api.collection import Collection
from qadapt.api.workers import Workers
from qadapt.model import Batch, CollectionInfo, Hits, Id, RescoreLike

T = TypeVar("T")


class AsyncCollection:
    """Collection of an ``AsyncDatabase``; each method is that of ``qa.Collection``.

    Attributes:
        name: its name.
        sync: the ``qa.Collection``; ``call`` runs its other methods.
    """

    def __init__(self, collection: Collection, workers: Workers) -> None:
        self.sync = collection
        self.name = collection.name
        self._workers = workers

    def __repr__(self) -> str:
        return f"<Async{repr(self.sync).removeprefix('<')}"

    @property
    def searches(self) -> str:
        """``native`` if the client awaits repeated searches, ``thread`` if a thread waits."""
        return self.sync.searches

    async def info(self) -> CollectionInfo:
        """See ``Collection.info``."""
        return await self._workers.run(self.sync.info)

    async def count(self, filter: Any = None) -> int:
        """See ``Collection.count``."""
        return await self._workers.run(partial(self.sync.count, filter))

    async def search(
        self,
        queries: Any,
        k: int = 10,
        *,
        rescore: RescoreLike = None,
        filter: Any = None,
        vector: str | None = None,
        exact: bool = False,
        ignore_quantization: bool = False,
        with_payload: bool = False,
        options: Mapping[str, Any] | None = None,
    ) -> Hits:
        """See ``Collection.search``; results, scores and ``hits.how`` are the same."""
        arguments: dict[str, Any] = {
            "rescore": rescore,
            "filter": filter,
            "vector": vector,
            "exact": exact,
            "ignore_quantization": ignore_quantization,
            "with_payload": with_payload,
            "options": options,
        }
        async with self._workers.slot():
            found = await self.sync._search_awaited(queries, k, **arguments)
            if found is not None:
                return found
            return await self._workers.in_thread(partial(self.sync.search, queries, k, **arguments))

    async def write(self, batch: Batch) -> None:
        """See ``Collection.write``.

        A write of a cancelled task never begins, or is complete when the task ends.
        """
        await self._workers.complete(partial(self.sync.write, batch))

    async def delete(self, ids: Sequence[Id]) -> None:
        """See ``Collection.delete``; cancellation as in ``write``."""
        await self._workers.complete(partial(self.sync.delete, ids))

    async def fetch(
        self, ids: Sequence[Id], *, vectors: Sequence[str] | None = None, payload: bool = True
    ) -> Batch:
        """See ``Collection.fetch``."""
        return await self._workers.run(
            partial(self.sync.fetch, ids, vectors=vectors, payload=payload)
        )

    async def read(
        self,
        *,
        vectors: Sequence[str] | None = None,
        payload: bool = True,
        filter: Any = None,
        page: int = 2_000,
    ) -> AsyncIterator[Batch]:
        """See ``Collection.read``; at most one page is read at a time, when it is asked for.

        async for batch in collection.read(vectors=()):
            ...
        """
        pages = self.sync.read(vectors=vectors, payload=payload, filter=filter, page=page)
        try:
            # A page is read to its end even if the task is cancelled: a generator that runs cannot
            # be closed.
            while (batch := await self._workers.complete(partial(next, pages, None))) is not None:
                yield batch
        finally:
            if not self._workers.closed:
                await self._workers.complete(pages.close)  # type: ignore[attr-defined]

    async def call(self, method: Callable[..., T], *args: Any, **named: Any) -> T:
        """Run another method of the collection, such as ``await col.call(col.sync.verify)``.

        It is complete when the task ends, even if the task is cancelled.
        """
        return await self._workers.complete(partial(method, *args, **named))
