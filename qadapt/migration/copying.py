"""The copy on this machine: lanes as threads, parts from the journal, progress as it goes."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from qadapt.errors import TransientError
from qadapt.migration.journal import Journal, Stand
from qadapt.migration.lane import Lane, Stopped, Written
from qadapt.migration.plan import MigrationPlan
from qadapt.stores.base import OnProgress, Progress

LOOK = 0.2  # seconds between two reports of progress
RECOUNT = 15.0  # seconds between two counts of the source, for the lag
MANY = 50  # parts whose rows are not counted again: some stores count them one by one


@dataclass(frozen=True)
class Copied:
    """What one run copied.

    Attributes:
        rows, bytes: written by this run.
        seconds: that it took.
        writes: requests of ours, batches.
        write_seconds: spent in them, all lanes together.
        left_out: rows that the target cannot hold.
    """

    rows: int = 0
    bytes: int = 0
    seconds: float = 0.0
    writes: int = 0
    write_seconds: float = 0.0
    left_out: int = 0

    @property
    def rate(self) -> float:
        """Rows a second."""
        return self.rows / self.seconds if self.seconds else 0.0


class Ledger:
    """What lanes report: acknowledged in the journal, and counted."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._lock = threading.Lock()
        self.copied = Copied()

    def written(self, no: int, piece: Written) -> None:
        """A piece of a part was acknowledged by the target."""
        self._journal.acknowledge(
            no, piece.after, piece.rows, piece.bytes, piece.left_out, piece.within
        )
        with self._lock:
            now = self.copied
            self.copied = replace(
                now,
                rows=now.rows + piece.rows,
                bytes=now.bytes + piece.bytes,
                writes=now.writes + 1,
                write_seconds=now.write_seconds + piece.seconds,
                left_out=now.left_out + len(piece.left_out),
            )


def copy(plan: MigrationPlan, journal: Journal, lane: Lane, progress: OnProgress) -> Copied:
    """Copy what the journal says is not copied yet.

    Raises:
        KeyboardInterrupt: after each lane has finished its batch.
        QadaptError: the first that a lane met; the others stop at their next batch.
    """
    open_parts: queue.Queue[Stand] = queue.Queue()
    waiting = [stand for stand in journal.stands() if not stand.done]
    for stand in waiting:
        open_parts.put(stand)
    ledger = Ledger(journal)
    failures: list[BaseException] = []

    def run() -> None:
        try:
            while not lane.stop.is_set():
                stand = open_parts.get_nowait()
                for piece in lane.copy(stand.part, stand.after):
                    ledger.written(stand.no, piece)
                journal.done(stand.no)
        except (queue.Empty, Stopped):
            return
        except BaseException as error:  # noqa: BLE001 - raised again by the main thread
            failures.append(error)
            lane.stop.set()

    begun = time.monotonic()
    count = min(plan.workers, len(waiting))
    threads = [threading.Thread(target=run, name=f"qadapt-lane-{no}") for no in range(count)]
    before = sum(stand.rows for stand in journal.stands())
    tell = reporter(plan, lane, before, progress)
    for thread in threads:
        thread.start()
    try:
        while any(thread.is_alive() for thread in threads):
            threads[-1].join(LOOK) if threads[-1].is_alive() else time.sleep(LOOK / 4)
            tell(ledger.copied.rows)
    finally:
        if any(thread.is_alive() for thread in threads):
            lane.stop.set()
            for thread in threads:
                thread.join()
    if failures:
        raise failures[0]
    tell(ledger.copied.rows)
    return replace(ledger.copied, seconds=time.monotonic() - begun)


def reporter(
    plan: MigrationPlan, lane: Lane, before: int, progress: OnProgress
) -> Callable[[int], None]:
    """Tells how far it is: rate, and the lag behind a source that grows.

    Args:
        before: rows that earlier runs copied.
    """
    begun = time.monotonic()
    total, counted = plan.count, time.monotonic()

    def tell(rows: int) -> None:
        nonlocal total, counted
        now = time.monotonic()
        if now - counted > RECOUNT and len(plan.parting.counts) <= MANY:
            counted = now
            try:
                total = lane.source.store.count(lane.source.name)
            except TransientError:
                # The lanes meet it too, and wait or give up; the old count stands.
                total = max(total, before + rows)
        rate = rows / max(now - begun, 1e-6)
        lag = max(0, total - before - rows)
        progress(Progress("copying", before + rows, total, rate=rate, lag=lag))

    return tell
