"""Synchronous calls of an event loop, in a bounded number of threads."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar

from qadapt.errors import InputError
from qadapt.stores.awaited import LoopClients

T = TypeVar("T")


class Workers:
    """Threads for the calls of one database.

    Args:
        most: number of calls that run at a time; the others wait.
    """

    def __init__(self, most: int) -> None:
        if isinstance(most, bool) or not isinstance(most, int) or most < 1:
            raise InputError(
                f"max_concurrency must be an integer of at least 1; got {most!r}",
                hint="for example max_concurrency=16",
            )
        self.most = most
        self.closed = False
        self._slots = asyncio.Semaphore(most)
        self._threads = concurrent.futures.ThreadPoolExecutor(most, thread_name_prefix="qadapt_")

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """One of the calls that run at a time.

        Raises:
            InputError: closed.
        """
        async with self._slots:
            if self.closed:
                raise InputError(
                    "the connection is closed",
                    hint="open it again with qa.aopen(...), and use it inside the `async with` "
                    "block",
                )
            yield

    async def run(self, call: Callable[[], T]) -> T:
        """Run a call that only reads. If the task is cancelled, its result is discarded."""
        async with self.slot():
            return await self.in_thread(call)

    async def in_thread(self, call: Callable[[], T]) -> T:
        """As ``run``, for a caller that holds a slot."""
        return await asyncio.wrap_future(self.start(call))

    async def complete(self, call: Callable[[], T]) -> T:
        """Run a call that a cancelled task does not leave half-done.

        A call that has not begun never begins. One that has begun is awaited to its end, and the
        task is cancelled after it.
        """
        async with self.slot():
            return await completed(self.start(call))

    async def close(
        self, last: Callable[[], None], clients: LoopClients[Any] | None = None
    ) -> None:
        """Wait for the calls that run, refuse others, and run the last one, even if cancelled.

        Args:
            clients: closed before the last call.
        """
        if self.closed:
            return
        self.closed = True
        await to_the_end(asyncio.ensure_future(self._close(last, clients)))

    async def _close(self, last: Callable[[], None], clients: LoopClients[Any] | None) -> None:
        for _ in range(self.most):
            await self._slots.acquire()

        def end() -> None:
            self._threads.shutdown()  # waits for searches of cancelled tasks, too
            last()

        try:
            if clients is not None:
                await clients.close()
            await asyncio.get_running_loop().run_in_executor(None, end)
        finally:
            for _ in range(self.most):
                self._slots.release()  # calls that waited find the connection closed

    def start(self, call: Callable[[], T]) -> concurrent.futures.Future[T]:
        # Spans and other context variables of the task are those of the thread, too.
        return self._threads.submit(partial(contextvars.copy_context().run, call))


async def completed(work: concurrent.futures.Future[T]) -> T:
    """The result of work in a thread.

    Raises:
        CancelledError: the task was cancelled; the work has ended, or never begins.
    """
    found: T = await to_the_end(asyncio.wrap_future(work), work.cancel)
    return found


async def to_the_end(
    waiting: asyncio.Future[Any], cancel: Callable[[], object] = lambda: None
) -> Any:
    """A result that is awaited even while this task is cancelled.

    Args:
        cancel: called once if this task is cancelled; ends ``waiting`` if it has not begun.

    Raises:
        CancelledError: this task was cancelled, and ``waiting`` has ended; its error is the cause.
    """
    try:
        return await asyncio.shield(waiting)
    except asyncio.CancelledError as cancelled:
        cancel()
        while not waiting.done():
            try:
                await asyncio.wait([waiting])
            except asyncio.CancelledError:
                continue  # cancelled again, while the work goes on
        if waiting.cancelled():
            raise
        raise cancelled from waiting.exception()
