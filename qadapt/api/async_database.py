"""AsyncDatabase: an open connection for an event loop."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, TypeVar

from qadapt.api.async_collection import AsyncCollection
from qadapt.api.database import Database, open
from qadapt.api.workers import Workers, completed
from qadapt.model import Server
from qadapt.model.address import Address

T = TypeVar("T")
MAX_CONCURRENCY = 16


class AsyncDatabase:
    """Open database for one event loop; an asynchronous context manager.

        async with qa.aopen("qdrant+http://localhost:6333") as db:
            col = await db.collection("articles")
            hits = await col.search(query, k=10)

    Args:
        database: an open database, for example ``qa.wrap(client)``; closed by ``close``.
        max_concurrency: number of calls that run at a time, and of connections that they use; the
            others wait.

    Attributes:
        sync: the ``qa.Database``; ``call`` runs its other methods.
    """

    def __init__(
        self,
        database: Database,
        *,
        max_concurrency: int = MAX_CONCURRENCY,
        _workers: Workers | None = None,
    ) -> None:
        self.sync = database
        self._workers = _workers or Workers(max_concurrency)

    def __repr__(self) -> str:
        return f"<Async{repr(self.sync).removeprefix('<')}"

    @property
    def searches(self) -> str:
        """``native`` if the client awaits repeated searches, ``thread`` if a thread waits."""
        return self.sync.searches

    async def collections(self) -> list[str]:
        """See ``Database.collections``."""
        return await self._workers.run(self.sync.collections)

    async def aliases(self) -> Mapping[str, str]:
        """See ``Database.aliases``."""
        return await self._workers.run(self.sync.aliases)

    async def server(self) -> Server:
        """See ``Database.server``."""
        return await self._workers.run(self.sync.server)

    async def collection(self, name: str) -> AsyncCollection:
        """Get a collection by name or alias.

        Raises:
            NotFoundError: the collection does not exist.
        """
        found = await self._workers.run(partial(self.sync.__getitem__, name))
        return AsyncCollection(found, self._workers)

    async def create(self, collection: str, **definition: Any) -> AsyncCollection:
        """See ``Database.create``; complete when the task ends, even if it is cancelled."""
        made = await self._workers.complete(partial(self.sync.create, collection, **definition))
        return AsyncCollection(made, self._workers)

    async def drop(self, collection: str) -> None:
        """See ``Database.drop``; complete when the task ends, even if it is cancelled."""
        await self._workers.complete(partial(self.sync.drop, collection))

    async def call(self, method: Callable[..., T], *args: Any, **named: Any) -> T:
        """Run another method, such as ``await db.call(db.sync.switch_alias, "live", "notes")``.

        It is complete when the task ends, even if the task is cancelled.
        """
        return await self._workers.complete(partial(method, *args, **named))

    async def close(self) -> None:
        """Wait for the calls that run, and close the connection.

        Later calls raise an InputError; closing twice has no effect.
        """
        await self._workers.close(self.sync.close, self.sync._store.loop_clients)

    async def __aenter__(self) -> AsyncDatabase:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()


class Opening:
    """A connection that is opened by ``await`` or ``async with``."""

    def __init__(self, connect: Callable[[], Database], max_concurrency: int) -> None:
        self._connect = connect
        self._most = max_concurrency
        self._opened: AsyncDatabase | None = None

    def __await__(self) -> Generator[Any, None, AsyncDatabase]:
        return self._open().__await__()

    async def __aenter__(self) -> AsyncDatabase:
        self._opened = await self._open()
        return self._opened

    async def __aexit__(self, *_: object) -> None:
        assert self._opened is not None
        await self._opened.close()

    async def _open(self) -> AsyncDatabase:
        workers = Workers(self._most)
        work = workers.start(self._connect)
        try:
            database = await completed(work)
        except BaseException:
            # The caller does not get the connection, so it is closed here.
            opened = work.done() and not work.cancelled() and work.exception() is None
            await workers.close(work.result().close if opened else lambda: None)
            raise
        return AsyncDatabase(database, _workers=workers)


def aopen(
    address: str | Address,
    *,
    disabled: Sequence[str] = (),
    insecure: bool = False,
    max_concurrency: int = MAX_CONCURRENCY,
) -> Opening:
    """Connect to a database for an event loop: ``await qa.aopen(...)`` or ``async with``.

    Args:
        address, disabled, insecure: see ``open``.
        max_concurrency: number of calls that run at a time, and of connections that they use.

    Raises:
        InputError: ``max_concurrency`` is not a positive integer.
        AddressError, SpecError, MissingExtraError, UnreachableError, AuthError
    """
    connect = partial(open, address, disabled=disabled, insecure=insecure)
    return Opening(connect, max_concurrency)
