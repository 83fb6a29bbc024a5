"""A second pass: what was written, changed or deleted in the source since it was read.

Rows that only one side has are found by all ids of both. Changed rows are found by an entry of
the payload that says when a row was written, where there is one: rows from the highest value on
that the source had when the copy began (so the entry must never go backwards). Without one, all
rows of both sides are compared, which misses nothing and reads everything.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from qadapt.migration.checking import target_ids
from qadapt.migration.compare import differences
from qadapt.migration.idset import IdSet, among
from qadapt.migration.journal import Journal
from qadapt.migration.lane import Lane
from qadapt.migration.picking import pick
from qadapt.migration.plan import MigrationPlan
from qadapt.migration.report import CaughtUp
from qadapt.migration.scan import highest, pages
from qadapt.model import Batch, Id
from qadapt.stores.base import OnProgress, Progress

BATCH = 500
MARK = "mark"


def catch_up(plan: MigrationPlan, journal: Journal, lane: Lane, progress: OnProgress) -> CaughtUp:
    """Make the target what the source is now."""
    begun = time.monotonic()
    entry = plan.updated_at
    left_out = journal.left_out()
    added, deleted = _by_ids(lane, left_out, progress)
    if entry is None:
        changed = _by_rows(plan, lane, left_out, progress)
        by = "all rows of both sides"
    else:
        known = journal.get(MARK)
        changed, mark = _by_mark(lane, entry, known, left_out, progress)
        journal.put(**{MARK: mark})
        by = f"{entry} from {known!r} on"
    return CaughtUp(
        added=added, changed=changed, deleted=deleted, by=by, seconds=time.monotonic() - begun
    )


def _by_ids(lane: Lane, left_out: dict[Id, str], progress: OnProgress) -> tuple[int, int]:
    """Adds rows that the target lacks, and deletes rows that the source lacks."""
    source, target = lane.source, lane.target
    with IdSet() as mine, IdSet() as theirs:
        for keys in target_ids(source, lane.carrier, left_out):
            mine.add([there for _, there in keys])
        for batch in pages(target, payload=False):
            theirs.add(batch.ids)
            progress(Progress("comparing ids", mine.count + theirs.count))
        lost, extra = mine.without(theirs), theirs.without(mine)
    added = deleted = 0
    if len(lost):
        for native in pages(source, payload=True):
            there = [lane.carrier.target_id(key) for key in lane.carrier.home(native).ids]
            wanted = set(among(there, lost))
            keys_here = [
                key for key, other in zip(native.ids, there, strict=True) if other in wanted
            ]
            added += _carry(lane, keys_here)
            progress(Progress("adding rows", added, len(lost)))
    if len(extra):
        for batch in pages(target, payload=False):
            gone = among(list(batch.ids), extra)
            if gone:
                target.store.delete(target.name, gone)
                deleted += len(gone)
                progress(Progress("deleting rows", deleted, len(extra)))
    return added, deleted


def _carry(lane: Lane, keys: Sequence[Id]) -> int:
    """Copies rows by the source's ids; how many there were."""
    done = 0
    for start in range(0, len(keys), BATCH):
        vectors = lane.carrier.names
        native = lane.source.store.fetch(
            lane.source.name, keys[start : start + BATCH], vectors=vectors
        )
        done += lane.put(native)
    return done


def _by_mark(
    lane: Lane, entry: str, known: Any, left_out: dict[Id, str], progress: OnProgress
) -> tuple[int, Any]:
    """Copies rows whose entry is at the mark or later; the new mark is taken first."""
    mark = known
    for batch in pages(lane.source, payload=True):
        mark = highest(lane.carrier.home(batch), entry, mark)
    changed = 0
    for native in pages(lane.source, payload=True):
        batch = lane.carrier.home(native)
        keys = [
            key
            for key, payload, own in zip(native.ids, batch.payloads or (), batch.ids, strict=True)
            if own not in left_out and (known is None or _since(payload.get(entry), known))
        ]
        changed += _carry(lane, keys)
        progress(Progress("copying changed rows", changed))
    return changed, mark


def _since(value: Any, known: Any) -> bool:
    """Whether a row may have changed; one without the entry may have."""
    return value is None or bool(value >= known)


def _by_rows(plan: MigrationPlan, lane: Lane, left_out: dict[Id, str], progress: OnProgress) -> int:
    """Compares all rows, and copies those that differ."""
    changed = seen = 0
    for native in _with_vectors(lane):
        batch = lane.carrier.home(native)
        rows = [row for row, key in enumerate(batch.ids) if key not in left_out]
        batch, native = pick(batch, rows), pick(native, rows)
        batch, _ = lane.fit(batch)
        wanted = lane.carrier.carry(batch)
        carrier = lane.carrier
        found = lane.target.store.fetch(lane.target.name, wanted.ids, vectors=carrier.names)
        there = set(found.ids)
        both = [row for row, key in enumerate(wanted.ids) if key in there]
        own_ids = list(pick(batch, both).ids)
        told = differences(pick(wanted, both), found, plan.vectors, own_ids, carrier.compared)
        other = {each.id for each in told}
        own = dict(zip(lane.carrier.home(native).ids, range(len(native)), strict=True))
        changed += lane.put(pick(native, [own[key] for key in batch.ids if key in other]))
        seen += len(native)
        progress(Progress("comparing rows", seen, plan.count))
    return changed


def _with_vectors(lane: Lane) -> Iterator[Batch]:
    source = lane.source
    return source.store.read(source.name, vectors=lane.carrier.names, page=BATCH)
