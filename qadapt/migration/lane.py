"""One lane: reads a part, carries it, writes it, and has it acknowledged, batch by batch.

A lane holds two batches at most: one that is being read and one that is being written. So a
crash makes a reader and a writer each do one batch again, and memory is the same for any number
of rows. Lanes run as threads here (``copying``) or as tasks on other machines (``on_ray``).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import tenacity

from qadapt.errors import InputError, TransientError
from qadapt.migration import extras, ids
from qadapt.migration.ahead import ahead
from qadapt.migration.carrier import Carrier
from qadapt.migration.endpoint import Endpoint
from qadapt.migration.pace import Pace
from qadapt.migration.parting import Piece, one, pieces
from qadapt.migration.picking import pick
from qadapt.migration.plan import MigrationPlan
from qadapt.migration.putting import put
from qadapt.model import Batch, Extra, Id, Metric, Vector, direction
from qadapt.stores.base import Part

T = TypeVar("T")
SHOWN = 10


class Stopped(Exception):  # noqa: N818 - no error: somebody asked for it
    """The copy was asked to stop, and did so between two batches."""


@dataclass(frozen=True)
class Written:
    """A piece that the target acknowledged.

    Attributes:
        after: the last id of it, in the source's own words.
        rows, bytes: written.
        left_out: source ids of rows that were not, and why.
        seconds: that the write took.
        within: the source's tenant or partition, where it has such.
    """

    after: Id
    rows: int
    bytes: int
    left_out: Mapping[Id, str] = field(default_factory=dict)
    seconds: float = 0.0
    within: str | None = None


@dataclass
class Lane:
    """What a lane needs.

    Attributes:
        source, target: open.
        carrier: makes rows of one into rows of the other.
        pace: how many at once.
        allow: names of losses that are fine.
        patience: seconds that a server may be away.
        stop: set to stop between two batches.
        known: parts that the target is known to have, where notes in payloads name them.
    """

    source: Endpoint
    target: Endpoint
    carrier: Carrier
    pace: Pace
    allow: frozenset[str] = frozenset()
    patience: float = 60.0
    stop: threading.Event = field(default_factory=threading.Event)
    known: set[str] = field(default_factory=set)

    def copy(self, part: Part, after: Id | None) -> Iterator[Written]:
        """Copy a part from behind ``after`` to its end; each piece is yielded when it is written.

        Raises:
            Stopped
            TransientError: a server was away for longer than ``patience``.
            InputError: rows that the target cannot hold; nothing of the piece was written.
        """
        source, inside, within = one(self.source, part)
        with closing(ahead(self._pages(source, inside, after))) as pages:
            for native in pages:
                yield from self._pieces(native, within)

    # -- reading -----------------------------------------------------------------------------

    def _pages(self, source: Endpoint, part: Part | None, after: Id | None) -> Iterator[Batch]:
        """Pages of a part; after an interruption it goes on behind the last one."""
        while True:
            pages = source.store.read(
                source.name,
                vectors=self.carrier.names,
                part=part,
                after=after,
                page=self.pace.rows,
            )
            try:
                for page in pages:
                    yield page
                    after = page.ids[-1]
                return
            except TransientError:
                # The first page is asked for with patience; then it goes on as before.
                behind = after
                first = self._patiently(lambda: self._one(source, part, behind))  # noqa: B023
                if first is None:
                    return
                yield first
                after = first.ids[-1]

    def _one(self, source: Endpoint, part: Part | None, after: Id | None) -> Batch | None:
        pages = source.store.read(
            source.name,
            vectors=self.carrier.names,
            part=part,
            after=after,
            page=self.pace.rows,
        )
        return next(iter(pages), None)

    # -- writing -----------------------------------------------------------------------------

    def _pieces(self, native: Batch, within: str | None) -> Iterator[Written]:
        start = 0
        while start < len(native):
            if self.stop.is_set():
                raise Stopped
            rows = self.pace.rows
            yield self._write(native.rows(start, start + rows), within)
            start += rows

    def _write(self, native: Batch, within: str | None) -> Written:
        left_out: dict[Id, str] = {}
        size, begun = 0, time.monotonic()
        for piece in pieces(self.carrier, self.target, native, within):
            batch, bad = self._put(piece)
            left_out |= bad
            size += batch.nbytes
        seconds = time.monotonic() - begun
        self.pace.took(len(native), seconds)
        rows = len(native) - len(left_out)
        return Written(native.ids[-1], rows, size, left_out, seconds, within)

    def _put(self, piece: Piece) -> tuple[Batch, dict[Id, str]]:
        """Write rows that go to one place; those that could be, and why others could not."""
        batch, left_out = self.fit(piece.rows)
        if piece.place is not None and piece.within is None and piece.place not in self.known:
            self.target.store.add_parts(self.target.name, [piece.place])
            self.known.add(piece.place)

        def send(carried: Batch) -> None:
            self._send(piece.target, carried)

        left_out |= put(batch, piece.carrier, send, self.allow)
        return batch, left_out

    def _send(self, target: Endpoint, carried: Batch) -> None:
        def once() -> None:
            try:
                target.store.write(target.name, carried)
            except TransientError:
                self.pace.failed()
                raise

        self._patiently(once)

    def put(self, native: Batch, within: str | None = None) -> int:
        """Write rows of the source at once; how many the target could hold."""
        found = pieces(self.carrier, self.target, native, within)
        return len(native) - sum(len(self._put(piece)[1]) for piece in found)

    def fit(self, batch: Batch) -> tuple[Batch, dict[Id, str]]:
        """The rows that the target can hold, and why it cannot hold the others.

        Raises:
            InputError: there are such rows, and they were not allowed to be left out.
        """
        vectors, more = self.carrier.vectors, self.carrier.beside.extras
        bad = unfit(batch, vectors, more, gaps=self.target.store.traits.allows_missing_vectors)
        for name in {why for _, why in bad.values()}:
            if name not in self.allow:
                told = [(key, why) for key, (why, group) in bad.items() if group == name]
                listed = ", ".join(f"{key!r} ({why})" for key, why in told[:SHOWN])
                raise InputError(
                    f"{len(told)} rows of a batch cannot be held by the target: {listed}",
                    hint=f"repair them, or leave them out, which is listed: --allow {name}",
                )
        if not bad:
            return batch, {}
        rows = [row for row, key in enumerate(batch.ids) if key not in bad]
        return pick(batch, rows), {key: why for key, (why, _) in bad.items()}

    def _patiently(self, work: Callable[[], T]) -> T:
        """Do it again while a server is away, for as long as the patience lasts."""

        def sleep(seconds: float) -> None:
            if self.stop.wait(seconds):
                raise Stopped

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(TransientError),
            wait=tenacity.wait_random_exponential(multiplier=0.5, max=10),
            stop=tenacity.stop_after_delay(self.patience),
            sleep=sleep,
            reraise=True,
        )
        return retrying(work)


def unfit(
    batch: Batch, vectors: Mapping[str, Vector], more: Mapping[str, Extra], *, gaps: bool
) -> dict[Id, tuple[str, str]]:
    """Rows that no store, or this target, can hold: why, and the name that allows it."""
    bad: dict[Id, tuple[str, str]] = {
        key: ("an id that is not Unicode", "impossible-rows")
        for key in batch.ids
        if isinstance(key, str) and not key.isascii() and not ids.possible(key)
    }
    for name, array in batch.vectors.items():
        absent = batch.missing.get(name, np.zeros(len(batch), dtype=np.bool_))
        label = f"vector {name!r}" if name else "the vector"
        if not gaps:
            _note(bad, batch, absent, f"lacks {label}", "missing-vectors")
        finite = np.isfinite(array).all(axis=1)
        _note(bad, batch, ~absent & ~finite, f"{label} holds NaN or infinity", "impossible-rows")
        cosine, datatype = vectors[name].metric is Metric.COSINE, vectors[name].datatype
        if cosine:
            zero = ~absent & finite & ~array.any(axis=1)
            _note(bad, batch, zero, f"{label} is zero under cosine", "impossible-rows")
        unheld = direction.unheld(array, datatype, cosine=cosine)
        if unheld is not None:
            why = f"{label} has values that {datatype} cannot hold"
            _note(bad, batch, ~absent & unheld, why, "impossible-rows")
    for rows, why, group in extras.unfit(batch, more, gaps=gaps):
        _note(bad, batch, rows, why, group)
    return bad


def _note(
    bad: dict[Id, tuple[str, str]],
    batch: Batch,
    rows: npt.NDArray[np.bool_],
    why: str,
    group: str,
) -> None:
    for row in np.flatnonzero(rows).tolist():
        bad.setdefault(batch.ids[row], (why, group))


def carrier_of(plan: MigrationPlan, target: Endpoint) -> Carrier:
    """The carrier of a plan."""
    return Carrier(
        target.store,
        plan.made,
        keep_norms=plan.keep_norms,
        beside=plan.beside,
        parting=plan.parting,
    )


def lane_of(plan: MigrationPlan, source: Endpoint, target: Endpoint, patience: float) -> Lane:
    """The lane of a plan."""
    carrier = carrier_of(plan, target)
    allow = frozenset(plan.allow)
    return Lane(source, target, carrier, Pace(plan.probe.row_bytes, plan.batch_bytes), allow,
                patience)  # fmt: skip
