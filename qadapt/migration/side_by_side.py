"""Pages of a source against their rows in the target, a few at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from qadapt.migration.compare import Difference, differences
from qadapt.migration.parting import Piece
from qadapt.migration.picking import pick
from qadapt.migration.plan import VectorPlan

SHOWN = 20
COMPARERS = 2  # pages that are compared at a time


@dataclass
class Found:
    """What was compared.

    Attributes:
        compared, different: rows.
        differences: the first of them.
    """

    compared: int = 0
    different: int = 0
    differences: list[Difference] = field(default_factory=list)


class Comparing:
    """Compares pages with the target side by side, as many at a time as are held in memory; what
    is found is told in the order of the pages. A context manager."""

    def __init__(self, plans: Mapping[str, VectorPlan]) -> None:
        self._plans = plans
        self._pool = ThreadPoolExecutor(COMPARERS, "qadapt-compare")
        self._waiting: deque[Future[Found]] = deque()
        self._found = Found()

    def __enter__(self) -> Comparing:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def add(self, piece: Piece) -> None:
        """Compare a page; waits for the oldest where too many are under way."""
        if not len(piece.rows):
            return
        if len(self._waiting) == COMPARERS:
            self._take()
        self._waiting.append(self._pool.submit(_compare, piece, self._plans))

    def all(self) -> Found:
        """What was found, when all pages are compared."""
        while self._waiting:
            self._take()
        return self._found

    def _take(self) -> None:
        one, whole = self._waiting.popleft().result(), self._found
        whole.compared += one.compared
        whole.different += one.different
        whole.differences += one.differences[: SHOWN - len(whole.differences)]


def _compare(piece: Piece, plans: Mapping[str, VectorPlan]) -> Found:
    batch = piece.rows
    wanted = piece.carrier.carry(batch)
    end = piece.target
    found = end.store.fetch(end.name, wanted.ids, vectors=piece.carrier.names)
    if len(found) < len(wanted):  # the lacking ones are told of as missing ids
        there = set(found.ids)
        rows = [row for row, key in enumerate(wanted.ids) if key in there]
        batch, wanted = pick(batch, rows), pick(wanted, rows)
    told = differences(wanted, found, plans, list(batch.ids), piece.carrier.compared)
    return Found(len(wanted), len({each.id for each in told}), told[:SHOWN])
