"""Applying changes of the source to the target: rows added, changed or deleted since the copy.

Added and deleted rows are found by comparing all ids of both sides. Changed rows are found by a
payload field with the time of the last change, if there is one: all rows from the highest value on
that the source had when the copy began, so the field must never decrease. Without the field, all
rows of both sides are compared, which finds every change and reads everything.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from qadapt.migration.compare import compare_with_target
from qadapt.migration.id_scan import Skipped, diff_ids, highest
from qadapt.migration.journal import Journal
from qadapt.migration.partitions import RoutedBatch
from qadapt.migration.plan import MigrationPlan
from qadapt.migration.report import CatchUp
from qadapt.migration.worker import CopyWorker
from qadapt.model import Id
from qadapt.stores.base import OnProgress, Progress, ReadRequest

BATCH = 500
WATERMARK = "watermark"


def catch_up(
    plan: MigrationPlan, journal: Journal, worker: CopyWorker, progress: OnProgress
) -> CatchUp:
    """Apply the changes of the source to the target."""
    begun = time.monotonic()
    skipped = journal.skipped()
    added, deleted = _apply_id_changes(worker, skipped, progress)
    if plan.updated_at is None:
        changed = _copy_different(plan, worker, skipped, progress)
        detected_by = "comparison of all rows"
    else:
        known = journal.get(WATERMARK)
        changed, watermark = _copy_updated(worker, plan.updated_at, known, skipped, progress)
        journal.put(**{WATERMARK: watermark})
        detected_by = f"{plan.updated_at} >= {known!r}"
    return CatchUp(
        added=added,
        changed=changed,
        deleted=deleted,
        detected_by=detected_by,
        seconds=time.monotonic() - begun,
    )


def _apply_id_changes(
    worker: CopyWorker, skipped: Skipped, progress: OnProgress
) -> tuple[int, int]:
    """Add rows that the target lacks, and delete rows that the source lacks."""
    diff = diff_ids(worker.router, skipped, progress)
    added = deleted = 0
    for routed in diff.missing_rows():
        added += _copy_rows(worker, routed.stored.ids, routed.id_scope)
        progress(Progress("adding rows", added, len(diff.missing)))
    for end, keys in diff.unexpected_ids():
        end.store.delete(end.name, keys)
        deleted += len(keys)
        progress(Progress("deleting rows", deleted, len(diff.unexpected)))
    return added, deleted


def _copy_rows(worker: CopyWorker, keys: Sequence[Id], partition: str | None) -> int:
    """Copy rows by their stored ids, and return how many the target accepted."""
    written = 0
    end = worker.source.partition(partition)
    for start in range(0, len(keys), BATCH):
        block = keys[start : start + BATCH]
        written += worker.write(
            end.store.fetch(end.name, block, vectors=worker.codec.names), partition
        )
    return written


def _copy_updated(
    worker: CopyWorker, name: str, known: Any, skipped: Skipped, progress: OnProgress
) -> tuple[int, Any]:
    """Copy rows whose payload field is at the watermark or later.

    The new watermark is read before the rows are copied.
    """
    watermark = known
    for routed in worker.router.scan(payload=True):
        watermark = highest(routed.rows, name, watermark)
    changed = 0
    for routed in worker.router.scan(payload=True):
        rows = zip(routed.stored.ids, routed.rows.payloads or (), routed.rows.ids, strict=True)
        keys = [
            key
            for key, payload, original in rows
            if (routed.id_scope, original) not in skipped
            and (known is None or _may_have_changed(payload.get(name), known))
        ]
        changed += _copy_rows(worker, keys, routed.id_scope)
        progress(Progress("copying changed rows", changed))
    return changed, watermark


def _may_have_changed(value: Any, known: Any) -> bool:
    """Whether a row may have changed; rows without the field may have."""
    return value is None or bool(value >= known)


def _copy_different(
    plan: MigrationPlan, worker: CopyWorker, skipped: Skipped, progress: OnProgress
) -> int:
    """Compare all rows, and copy those that differ."""
    changed = done = 0
    for partition, end in worker.router.sources():
        for page in end.store.read(end.name, ReadRequest(vectors=worker.codec.names, page=BATCH)):
            for routed in worker.router.route(page, partition):
                kept = [
                    row
                    for row, key in enumerate(routed.rows.ids)
                    if (partition, key) not in skipped
                ]
                changed += _copy_different_rows(plan, worker, routed.take(kept))
            done += len(page)
            progress(Progress("comparing rows", done, plan.count))
    return changed


def _copy_different_rows(plan: MigrationPlan, worker: CopyWorker, routed: RoutedBatch) -> int:
    storable = worker.storable(routed)
    if not len(storable.rows):
        return 0
    _, found = compare_with_target(worker.codec, storable, plan.vectors, plan.extra_comparisons)
    if not found:
        return 0
    changed = {each.id for each in found}
    rows = [row for row, key in enumerate(storable.rows.ids) if key in changed]
    return worker.write(storable.stored.take(rows), storable.id_scope)
