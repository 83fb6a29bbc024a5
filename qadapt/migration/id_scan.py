"""Passes over all ids: duplicates and mapping before the copy, differences after it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.errors import InputError
from qadapt.migration import ids
from qadapt.migration.endpoint import Endpoint
from qadapt.migration.idset import IdSet, hash_ids, select
from qadapt.migration.partitions import RoutedBatch, Router, id_pages, id_scope_in_target
from qadapt.migration.plan import IdPlan
from qadapt.model import Batch, Id
from qadapt.stores.base import OnProgress, Progress

SHOWN = 20
EXAMPLES = 3

# Rows that are skipped, with the reason: by partition (where ids are unique in it) and id.
Skipped = Mapping[tuple[str | None, Id], str]


# -- before the copy -----------------------------------------------------------------------------


@dataclass
class Scan:
    """The result of reading all ids of a source.

    Attributes:
        ids: for the plan.
        count: rows that were read.
        watermark: the highest value of the payload field with the time of the last change.
        partitions: number of rows in each partition.
    """

    ids: IdPlan
    count: int
    watermark: Any = None
    partitions: Mapping[str, int] = field(default_factory=dict)


def scan_source(router: Router, *, updated_at: str | None, progress: OnProgress) -> Scan:
    """Read all ids of the source once; payloads too where they are needed."""
    payload = updated_at is not None or router.needs_payload()
    partitions = {name: 0 for name, _ in router.sources() if name is not None}
    total = router.source.store.count(router.source.name)
    unchanged = mapped = restored = invalid_count = count = 0
    examples: list[tuple[Id, Id]] = []
    invalid: list[Id] = []
    watermark: Any = None
    with IdSet() as seen:
        for routed in router.scan(payload=payload):
            rows = routed.rows
            valid = [key for key in rows.ids if ids.is_valid(key)]
            if len(valid) < len(rows):
                invalid_count += len(rows) - len(valid)
                found = [key for key in rows.ids if not ids.is_valid(key)]
                invalid += found[: SHOWN - len(invalid)]
            restored += sum(
                new != old for new, old in zip(rows.ids, routed.stored.ids, strict=True)
            )
            targets = [router.codec.target_id(key) for key in valid]
            pairs = [(a, b) for a, b in zip(valid, targets, strict=True) if a != b]
            mapped += len(pairs)
            unchanged += len(valid) - len(pairs)
            examples += pairs[: EXAMPLES - len(examples)]
            seen.add(targets, id_scope_in_target(routed))
            count += len(rows)
            if routed.partition is not None:
                partitions[routed.partition] = partitions.get(routed.partition, 0) + len(rows)
            if updated_at is not None:
                watermark = highest(rows, updated_at, watermark)
            progress(Progress("reading ids", count, total))
        repeated = seen.duplicates()
        duplicates = _confirm_duplicates(router, repeated, payload=payload) if repeated else []
    hidden_count, hidden = _hidden_rows(router, total, count)
    plan = IdPlan(
        unchanged=unchanged,
        mapped=mapped,
        restored=restored,
        examples=tuple(examples),
        duplicates=tuple([*duplicates, *hidden][:SHOWN]),
        invalid=tuple(invalid),
        duplicate_count=len(duplicates) + hidden_count,
        invalid_count=invalid_count,
    )
    return Scan(plan, count, watermark, partitions)


def _hidden_rows(router: Router, total: int, read: int) -> tuple[int, list[Id]]:
    """Rows that are counted but not read, because another row has the same id; and some ids.

    Args:
        total: rows before the ids were read; rows deleted since then are not hidden.
        read: rows that were read.
    """
    if min(total, router.source.store.count(router.source.name)) <= read:
        return 0, []
    found = [end.store.hidden_rows(end.name) for _, end in router.sources()]
    return sum(count for count, _ in found), [key for _, keys in found for key in keys]


def highest(batch: Batch, name: str, watermark: Any) -> Any:
    """The highest value of a payload field so far.

    Raises:
        InputError: values that cannot be compared.
    """
    for payload in batch.payloads or ():
        value = payload.get(name)
        if value is None:
            continue
        if not isinstance(value, (str, int, float)) or isinstance(value, bool):
            raise InputError(
                f"the payload field {name!r} must hold numbers or sortable text; got {value!r:.80}",
                hint="catch up by another field, or without one",
            )
        if watermark is not None and isinstance(value, str) != isinstance(watermark, str):
            raise InputError(
                f"the payload field {name!r} holds text in some rows and numbers in others",
                hint="write the field in one type first",
            )
        watermark = value if watermark is None or value > watermark else watermark
    return watermark


def _confirm_duplicates(router: Router, repeated: set[int], *, payload: bool) -> list[Id]:
    """The ids behind hashes that occur more than once, without hash collisions."""
    counts: dict[tuple[str | None, Id], int] = {}
    for routed in router.scan(payload=payload):
        valid = [key for key in routed.rows.ids if ids.is_valid(key)]
        scope = id_scope_in_target(routed)
        hashes = hash_ids(map(router.codec.target_id, valid), scope).tolist()
        for key, number in zip(valid, hashes, strict=True):
            if number in repeated:
                counts[scope, key] = counts.get((scope, key), 0) + 1
    by_target: dict[tuple[str | None, Id], list[Id]] = {}
    for (scope, key), count in counts.items():
        by_target.setdefault((scope, router.codec.target_id(key)), []).extend([key] * count)
    return sorted({key for keys in by_target.values() if len(keys) > 1 for key in keys}, key=str)


# -- after the copy ------------------------------------------------------------------------------


@dataclass(frozen=True)
class IdDiff:
    """Ids that one side lacks.

    Attributes:
        missing: hashes of target ids, uint64, of rows that the target lacks.
        unexpected: hashes of target ids, uint64, of rows that the source lacks.
    """

    router: Router
    skipped: Skipped
    targets: Sequence[tuple[str | None, Endpoint]]
    missing: npt.NDArray[np.uint64]
    unexpected: npt.NDArray[np.uint64]

    def missing_rows(self) -> Iterator[RoutedBatch]:
        """The rows of the source, without vectors, that the target lacks."""
        for routed in _scan_ids(self.router, self.skipped) if len(self.missing) else ():
            target_ids = [self.router.codec.target_id(key) for key in routed.rows.ids]
            wanted = set(select(target_ids, self.missing, routed.target_partition))
            if wanted:
                yield routed.take([row for row, key in enumerate(target_ids) if key in wanted])

    def unexpected_ids(self) -> Iterator[tuple[Endpoint, list[Id]]]:
        """Pages of the target's ids that the source lacks, each with its partition."""
        for partition, end in self.targets if len(self.unexpected) else ():
            for batch in id_pages(end, payload=False):
                keys = select(list(batch.ids), self.unexpected, partition)
                if keys:
                    yield end, keys


def diff_ids(router: Router, skipped: Skipped, progress: OnProgress) -> IdDiff:
    """Compare the ids of both sides by partition; both sides are read at the same time."""
    targets = router.targets()
    stop = threading.Event()
    with (
        IdSet() as ours,
        IdSet() as theirs,
        ThreadPoolExecutor(1, "qadapt-ids") as pool,
        _set_finally(stop),
    ):
        reading = pool.submit(_add_targets, targets, theirs, stop)
        for routed in _scan_ids(router, skipped):
            ours.add(map(router.codec.target_id, routed.rows.ids), routed.target_partition)
            progress(Progress("comparing ids", ours.count + theirs.count))
        reading.result()
        progress(Progress("comparing ids", ours.count + theirs.count))
        return IdDiff(router, skipped, targets, ours.difference(theirs), theirs.difference(ours))


def _scan_ids(router: Router, skipped: Skipped) -> Iterator[RoutedBatch]:
    """All rows of the source without vectors, without rows that are skipped."""
    for routed in router.scan(payload=router.needs_payload()):
        if not skipped:
            yield routed
            continue
        kept = [
            row for row, key in enumerate(routed.rows.ids) if (routed.id_scope, key) not in skipped
        ]
        yield routed.take(kept)


def _add_targets(
    targets: Sequence[tuple[str | None, Endpoint]], found: IdSet, stop: threading.Event
) -> None:
    for partition, end in targets:
        for batch in id_pages(end, payload=False):
            if stop.is_set():
                return
            found.add(batch.ids, partition)


@contextmanager
def _set_finally(stop: threading.Event) -> Iterator[None]:
    """Stop the other thread's read when this thread fails, rather than wait for its end."""
    try:
        yield
    finally:
        stop.set()
