"""A second pass: what was written, changed or deleted in the source since it was read.

Rows that only one side has are found by all ids of both. Changed rows are found by an entry of
the payload that says when a row was written, where there is one: rows from the highest value on
that the source had when the copy began (so the entry must never go backwards). Without one, all
rows of both sides are compared, which misses nothing and reads everything.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from qadapt.migration.checking import target_ids
from qadapt.migration.compare import differences
from qadapt.migration.idset import IdSet, among
from qadapt.migration.journal import Journal
from qadapt.migration.lane import Lane
from qadapt.migration.parting import Piece, part_of, pieces, sources, targets
from qadapt.migration.picking import pick
from qadapt.migration.plan import MigrationPlan
from qadapt.migration.recall_check import Out
from qadapt.migration.report import CaughtUp
from qadapt.migration.scan import every_piece, highest, pages
from qadapt.model import Id
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


def _by_ids(lane: Lane, left_out: Out, progress: OnProgress) -> tuple[int, int]:
    """Adds rows that the target lacks, and deletes rows that the source lacks."""
    source, carrier = lane.source, lane.carrier
    there = targets(source, lane.target, carrier)
    with IdSet() as mine, IdSet() as theirs:
        for place, keys in target_ids(source, carrier, left_out):
            mine.add([other for _, other in keys], place)
        for place, end in there:
            for batch in pages(end, payload=False):
                theirs.add(batch.ids, place)
                progress(Progress("comparing ids", mine.count + theirs.count))
        lost, extra = mine.without(theirs), theirs.without(mine)
    added = deleted = 0
    if len(lost):
        for piece in every_piece(source, carrier, payload=True):
            other = [carrier.target_id(key) for key in piece.rows.ids]
            wanted = set(among(other, lost, piece.place))
            keys_here = [
                key for key, key_there in zip(piece.native.ids, other, strict=True)
                if key_there in wanted
            ]  # fmt: skip
            added += _carry(lane, keys_here, piece.within)
            progress(Progress("adding rows", added, len(lost)))
    if len(extra):
        for place, end in there:
            for batch in pages(end, payload=False):
                gone = among(list(batch.ids), extra, place)
                if gone:
                    end.store.delete(end.name, gone)
                    deleted += len(gone)
                    progress(Progress("deleting rows", deleted, len(extra)))
    return added, deleted


def _carry(lane: Lane, keys: Sequence[Id], within: str | None) -> int:
    """Copies rows by the source's ids; how many there were."""
    done = 0
    end = part_of(lane.source, within)
    for start in range(0, len(keys), BATCH):
        native = end.store.fetch(end.name, keys[start : start + BATCH], vectors=lane.carrier.names)
        done += lane.put(native, within)
    return done


def _by_mark(
    lane: Lane, entry: str, known: Any, left_out: Out, progress: OnProgress
) -> tuple[int, Any]:
    """Copies rows whose entry is at the mark or later; the new mark is taken first."""
    mark = known
    for piece in every_piece(lane.source, lane.carrier, payload=True):
        mark = highest(piece.rows, entry, mark)
    changed = 0
    for piece in every_piece(lane.source, lane.carrier, payload=True):
        rows = zip(piece.native.ids, piece.rows.payloads or (), piece.rows.ids, strict=True)
        keys = [
            key
            for key, payload, own in rows
            if (piece.within, own) not in left_out
            and (known is None or _since(payload.get(entry), known))
        ]
        changed += _carry(lane, keys, piece.within)
        progress(Progress("copying changed rows", changed))
    return changed, mark


def _since(value: Any, known: Any) -> bool:
    """Whether a row may have changed; one without the entry may have."""
    return value is None or bool(value >= known)


def _by_rows(plan: MigrationPlan, lane: Lane, left_out: Out, progress: OnProgress) -> int:
    """Compares all rows, and copies those that differ."""
    changed = seen = 0
    for within, end in sources(lane.source, lane.carrier.parting):
        for native in end.store.read(end.name, vectors=lane.carrier.names, page=BATCH):
            for piece in pieces(lane.carrier, lane.target, native, within):
                own = piece.rows.ids
                kept = [row for row, key in enumerate(own) if (within, key) not in left_out]
                changed += _differing(plan, lane, piece.pick(kept))
            seen += len(native)
            progress(Progress("comparing rows", seen, plan.count))
    return changed


def _differing(plan: MigrationPlan, lane: Lane, piece: Piece) -> int:
    """Copies rows that differ; how many."""
    batch, _ = lane.fit(piece.rows)
    if not len(batch):
        return 0
    carrier = lane.carrier
    wanted = piece.carrier.carry(batch)
    end = piece.target
    found = end.store.fetch(end.name, wanted.ids, vectors=carrier.names)
    there = set(found.ids)
    both = [row for row, key in enumerate(wanted.ids) if key in there]
    own_ids = list(pick(batch, both).ids)
    told = differences(pick(wanted, both), found, plan.vectors, own_ids, carrier.compared)
    other = {each.id for each in told}
    rows = [row for row, key in enumerate(piece.rows.ids) if key in other]
    return lane.put(pick(piece.native, rows), piece.within)
