"""The copy on this machine: workers as threads, scan ranges from the journal, progress."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from qadapt.errors import TransientError
from qadapt.migration.journal import Journal, RangeProgress
from qadapt.migration.plan import MigrationPlan
from qadapt.migration.worker import CopyWorker, Stopped, WriteAck
from qadapt.stores.base import OnProgress, Progress

REPORT_SECONDS = 0.2  # between two reports of progress
RECOUNT_SECONDS = 15.0  # between two counts of the source, for the lag
MAX_RECOUNTED = 50  # sources with more partitions are not recounted: stores count them one by one


@dataclass(frozen=True)
class CopyStats:
    """What one run copied.

    Attributes:
        rows, bytes: written by this run.
        seconds: duration.
        writes: number of batches.
        write_seconds: time spent in writes, summed over all workers.
        skipped: rows that the target rejected.
    """

    rows: int = 0
    bytes: int = 0
    seconds: float = 0.0
    writes: int = 0
    write_seconds: float = 0.0
    skipped: int = 0

    @property
    def rows_per_second(self) -> float:
        """Throughput."""
        return self.rows / self.seconds if self.seconds else 0.0


class AckRecorder:
    """Records the batches of all workers in the journal, and counts them."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._lock = threading.Lock()
        self.stats = CopyStats()

    def record(self, number: int, ack: WriteAck) -> None:
        """Record a batch of a scan range that the target acknowledged."""
        self._journal.acknowledge(
            number, ack.after, ack.rows, ack.bytes, ack.skipped, ack.partition
        )
        with self._lock:
            now = self.stats
            self.stats = replace(
                now,
                rows=now.rows + ack.rows,
                bytes=now.bytes + ack.bytes,
                writes=now.writes + 1,
                write_seconds=now.write_seconds + ack.seconds,
                skipped=now.skipped + len(ack.skipped),
            )


def copy_with_threads(
    plan: MigrationPlan, journal: Journal, worker: CopyWorker, progress: OnProgress
) -> CopyStats:
    """Copy the rows that are not acknowledged in the journal yet.

    Raises:
        KeyboardInterrupt: after each worker has finished its batch.
        QadaptError: the first error of a worker; the others stop at their next batch.
    """
    pending: queue.Queue[RangeProgress] = queue.Queue()
    ranges = [each for each in journal.ranges() if not each.done]
    for each in ranges:
        pending.put(each)
    recorder = AckRecorder(journal)
    failures: list[BaseException] = []

    def run() -> None:
        try:
            while not worker.stop.is_set():
                current = pending.get_nowait()
                for ack in worker.copy(current.scan_range, current.after):
                    recorder.record(current.number, ack)
                journal.finish(current.number)
        except (queue.Empty, Stopped):
            return
        except BaseException as error:  # noqa: BLE001 - raised again by the main thread
            failures.append(error)
            worker.stop.set()

    begun = time.monotonic()
    count = min(plan.workers, len(ranges))
    threads = [threading.Thread(target=run, name=f"qadapt-worker-{no}") for no in range(count)]
    report = progress_reporter(plan, worker, journal.rows(), progress)
    for thread in threads:
        thread.start()
    try:
        while any(thread.is_alive() for thread in threads):
            if threads[-1].is_alive():
                threads[-1].join(REPORT_SECONDS)
            else:
                time.sleep(REPORT_SECONDS / 4)
            report(recorder.stats.rows)
    finally:
        if any(thread.is_alive() for thread in threads):
            worker.stop.set()
            for thread in threads:
                thread.join()
    if failures:
        raise failures[0]
    report(recorder.stats.rows)
    return replace(recorder.stats, seconds=time.monotonic() - begun)


def progress_reporter(
    plan: MigrationPlan, worker: CopyWorker, rows_before: int, progress: OnProgress
) -> Callable[[int], None]:
    """A function that reports progress: the rate, and the lag behind a source that grows.

    Args:
        rows_before: rows that earlier runs copied.
    """
    begun = time.monotonic()
    total, counted = plan.count, time.monotonic()

    def report(rows: int) -> None:
        nonlocal total, counted
        now = time.monotonic()
        done = rows_before + rows
        if now - counted > RECOUNT_SECONDS and len(plan.partitions.rows) <= MAX_RECOUNTED:
            counted = now
            try:
                total = worker.source.store.count(worker.source.name)
            except TransientError:
                # The workers meet the same error and retry; the last count remains in use.
                total = max(total, done)
        rate = rows / max(now - begun, 1e-6)
        progress(Progress("copying", done, total, rate=rate, lag=max(0, total - done)))

    return report
