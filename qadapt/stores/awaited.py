"""Searches whose response is awaited in an event loop, without a thread that waits."""

from __future__ import annotations

import abc
import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

from qadapt.model import Hits

C = TypeVar("C")


class LoopClients(Generic[C]):
    """Asynchronous clients of one store: one for each event loop that searches.

    Args:
        open: makes a client; it is called in the loop.
        close: closes a client, in its loop.
    """

    def __init__(self, open: Callable[[], C], close: Callable[[C], Awaitable[None]]) -> None:
        self._open = open
        self._close = close
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, C] = WeakKeyDictionary()

    def get(self) -> C:
        """The client of this loop."""
        loop = asyncio.get_running_loop()
        found = self._clients.get(loop)
        if found is None:
            found = self._clients[loop] = self._open()
        return found

    async def close(self) -> None:
        """Close the client of this loop; the next search opens another one."""
        found = self._clients.pop(asyncio.get_running_loop(), None)
        if found is not None:
            await self._close(found)


class AwaitedSearch(abc.ABC):
    """A prepared search that an event loop can await; see ``Store.prepare_search``."""

    @abc.abstractmethod
    def __call__(self, queries: Any) -> Hits | None:
        """Search, and wait in this thread."""

    @abc.abstractmethod
    async def awaited(self, queries: Any) -> Hits | None:
        """The same search; None also if these queries must be searched in a thread."""


async def response(call: Any) -> Any:
    """The response of a gRPC call that was started with ``future``; cancellation cancels it."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()

    def wake() -> None:
        if not done.done():
            done.set_result(None)

    def ended(_: Any) -> None:
        try:
            loop.call_soon_threadsafe(wake)
        except RuntimeError:
            # The loop was closed after the call was cancelled: nothing waits for it.
            call.cancel()

    call.add_done_callback(ended)
    try:
        await done
    except asyncio.CancelledError:
        call.cancel()
        raise
    return call.result()
