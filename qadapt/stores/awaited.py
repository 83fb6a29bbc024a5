"""Searches whose response is awaited in an event loop, without a thread that waits."""

from __future__ import annotations

import abc
import asyncio
from typing import Any

from qadapt.model import Hits


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
