"""One worker of a copy: reads a scan range and writes it to the target, batch by batch.

Each batch passes one pipeline: read, decode, route, filter, encode, write. The next page is read
while a batch is written, so a worker holds two batches at most. After a crash each worker repeats
at most one read and one write, and memory does not depend on the number of rows.

Workers run as threads of this process (``local_executor``) or as Ray tasks (``ray_executor``).
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import tenacity

from qadapt.errors import TransientError
from qadapt.migration.endpoint import Endpoint
from qadapt.migration.partitions import RoutedBatch, Router, locate
from qadapt.migration.plan import MigrationPlan
from qadapt.migration.row_codec import RowCodec
from qadapt.migration.writer import BatchSizer, RowFilter, write_bisecting
from qadapt.model import Batch, Id
from qadapt.stores.base import ReadRequest, ScanRange

T = TypeVar("T")


class Stopped(Exception):  # noqa: N818 - not an error: the caller asked for it
    """The copy was asked to stop, and stopped between two batches."""


@dataclass(frozen=True)
class WriteAck:
    """A batch that the target acknowledged.

    Attributes:
        after: the id of its last row, as the source stores it.
        rows, bytes: that were written.
        skipped: the reason for each row that was not written, by decoded id.
        seconds: duration of the write.
        partition: the source's partition, where it has partitions.
    """

    after: Id
    rows: int
    bytes: int
    skipped: Mapping[Id, str] = field(default_factory=dict)
    seconds: float = 0.0
    partition: str | None = None


class CopyWorker:
    """Copies scan ranges; threads may share it.

    Args:
        source, target: open endpoints.
        retry_timeout: seconds to retry while a server is unreachable.

    Attributes:
        stop: set it to stop between two batches.
    """

    def __init__(
        self, plan: MigrationPlan, source: Endpoint, target: Endpoint, retry_timeout: float
    ) -> None:
        self.source = source
        self.target = target
        self.codec = RowCodec.of_plan(plan, target.store)
        self.router = Router(source, target, self.codec, plan.partitions)
        self.allow = frozenset(plan.allow)
        self.filter = RowFilter(
            self.codec.vectors,
            self.codec.schema.extras,
            missing_vectors=target.store.traits.allows_missing_vectors,
            allow=self.allow,
        )
        self.sizer = BatchSizer(plan.trial_copy.row_bytes, plan.batch_bytes)
        self.retry_timeout = retry_timeout
        self.stop = threading.Event()

    def copy(self, scan_range: ScanRange, after: Id | None) -> Iterator[WriteAck]:
        """Copy a scan range from behind ``after`` to its end; yields each acknowledged batch.

        Raises:
            Stopped
            TransientError: a server was unreachable for longer than ``retry_timeout``.
            InputError: the target cannot store some rows; none of the batch was written.
        """
        source, inside, partition = locate(self.source, scan_range)
        with closing(prefetch(self._pages(source, inside, after))) as pages:
            for page in pages:
                start = 0
                while start < len(page):
                    if self.stop.is_set():
                        raise Stopped
                    rows = self.sizer.rows
                    yield self._copy_batch(page.rows(start, start + rows), partition)
                    start += rows

    def write(self, stored: Batch, partition: str | None) -> int:
        """Write rows as the source stores them, and return how many the target accepted."""
        return len(stored) - len(self._write(stored, partition)[0])

    # -- one batch -------------------------------------------------------------------------------

    def _copy_batch(self, stored: Batch, partition: str | None) -> WriteAck:
        begun = time.monotonic()
        skipped, size = self._write(stored, partition)
        seconds = time.monotonic() - begun
        self.sizer.succeeded(len(stored), seconds)
        written = len(stored) - len(skipped)
        return WriteAck(stored.ids[-1], written, size, skipped, seconds, partition)

    def _write(self, stored: Batch, partition: str | None) -> tuple[dict[Id, str], int]:
        """Decode, route, filter, encode and write; the skipped rows and the bytes written."""
        skipped: dict[Id, str] = {}
        size = 0
        for routed in self.router.route(stored, partition):
            rows, unfit = self.filter.split(routed.rows)
            self.router.ensure_partition(routed)
            skipped |= unfit
            skipped |= write_bisecting(
                rows, self.codec, partial(self._send, routed.target), self.allow,
                partition=routed.note,
            )  # fmt: skip
            size += rows.nbytes
        return skipped, size

    def storable(self, routed: RoutedBatch) -> RoutedBatch:
        """The rows that the target can store."""
        _, unfit = self.filter.split(routed.rows)
        if not unfit:
            return routed
        return routed.take([row for row, key in enumerate(routed.rows.ids) if key not in unfit])

    def _send(self, target: Endpoint, encoded: Batch) -> None:
        def once() -> None:
            try:
                target.store.write(target.name, encoded)
            except TransientError:
                self.sizer.failed()
                raise

        self._retrying(once)

    # -- reading ---------------------------------------------------------------------------------

    def _pages(self, source: Endpoint, part: ScanRange | None, after: Id | None) -> Iterator[Batch]:
        """Pages of a scan range; after an interruption, reading continues behind the last page."""
        while True:
            try:
                for page in self._read(source, part, after):
                    yield page
                    after = page.ids[-1]
                return
            except TransientError:
                first = self._retrying(partial(self._first, source, part, after))
                if first is None:
                    return
                yield first
                after = first.ids[-1]

    def _read(self, source: Endpoint, part: ScanRange | None, after: Id | None) -> Iterator[Batch]:
        return source.store.read(
            source.name,
            ReadRequest(
                vectors=self.codec.names, scan_range=part, after=after, page=self.sizer.rows
            ),
        )

    def _first(self, source: Endpoint, part: ScanRange | None, after: Id | None) -> Batch | None:
        return next(iter(self._read(source, part, after)), None)

    def _retrying(self, work: Callable[[], T]) -> T:
        """Retry while a server is unreachable, with exponential backoff."""

        def sleep(seconds: float) -> None:
            if self.stop.wait(seconds):
                raise Stopped

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(TransientError),
            wait=tenacity.wait_random_exponential(multiplier=0.5, max=10),
            stop=tenacity.stop_after_delay(self.retry_timeout),
            sleep=sleep,
            reraise=True,
        )
        return retrying(work)


def prefetch(items: Iterator[T]) -> Generator[T, None, None]:
    """The same items; a thread reads the next item while one is in use, and no more than that.

    An exception of ``items`` is raised here. Closing the generator waits for the current read.
    """
    results: queue.Queue[tuple[bool, T | BaseException | None]] = queue.Queue()
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
                results.put((False, None))
                return
            except BaseException as error:  # noqa: BLE001 - raised again by the consumer
                results.put((False, error))
                return
            results.put((True, item))

    thread = threading.Thread(target=read, name="qadapt-reader", daemon=True)
    thread.start()
    try:
        while True:
            more, item = results.get()
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
