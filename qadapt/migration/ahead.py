"""Reading one item ahead in a thread of its own, so that reading and writing overlap."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator
from typing import TypeVar

T = TypeVar("T")


def ahead(items: Iterator[T]) -> Generator[T, None, None]:
    """The same items; while one is being used, the next is read, and no more than that.

    What reading raises is raised here. Closing the generator waits for the read that is on.
    """
    handed: queue.Queue[tuple[bool, T | BaseException | None]] = queue.Queue()
    wanted = threading.Semaphore(1)
    closed = threading.Event()

    def read() -> None:
        while True:
            wanted.acquire()
            if closed.is_set():
                return
            try:
                item = next(items)
            except StopIteration:
                handed.put((False, None))
                return
            except BaseException as error:  # noqa: BLE001 - raised again where it is used
                handed.put((False, error))
                return
            handed.put((True, item))

    thread = threading.Thread(target=read, name="qadapt-reader", daemon=True)
    thread.start()
    try:
        while True:
            more, item = handed.get()
            if isinstance(item, BaseException):
                raise item
            if not more:
                return
            wanted.release()
            yield item  # type: ignore[misc]
    finally:
        closed.set()
        wanted.release()
        thread.join()
