"""Partitions and tenants: reading a source and routing its rows to the target, by partition.

A partition is addressed as a collection, ``NAME@PARTITION``. Rows of a source with
partitions are read partition by partition; rows of a target with partitions are written, counted
and compared partition by partition, because an id is unique in one partition only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from qadapt.errors import StoreError, UnsupportedError
from qadapt.migration.endpoint import Endpoint
from qadapt.migration.partition_plan import plan_partitions, reserved_fields_in
from qadapt.migration.plan import PARTITION, PartitionMap
from qadapt.migration.row_codec import (
    PartitionNote,
    RowCodec,
    noted_partitions,
)
from qadapt.model import Batch, CollectionSchema
from qadapt.stores.base import ReadRequest, ScanRange, Store

# The partition of rows that name none where others do; it always exists in Milvus.
DEFAULT = "_default"
# The key of a scan range that holds the source's partition.
_PARTITION = "in"
# A scan range of fewer rows is not worth its own requests.
MIN_RANGE_ROWS = 2_000
RANGES_PER_WORKER = 4
ID_PAGE = 10_000


# -- planning ------------------------------------------------------------------------------------


def existing_partitions(source: Endpoint, target: Endpoint) -> PartitionMap:
    """The partition map of two existing collections, for a comparison."""
    return plan_partitions(source, target, source.schema())[0]


def complete(partitions: PartitionMap, rows: Mapping[str, int], target: Store) -> PartitionMap:
    """The map with the names and row counts that the scan found.

    Raises:
        UnsupportedError: the target accepts no name for a partition.
    """
    kept = {name: count for name, count in rows.items() if count or name != DEFAULT}
    names = {}
    if partitions.preserved:
        same_kind = partitions.source_kind == partitions.target_kind
        names = {name: target_name(target, name, same_kind=same_kind) for name in kept}
    return partitions.replace(rows=kept, names=names)


def duplicate_id_hint(source: Endpoint, target: Endpoint, partitions: PartitionMap) -> str:
    """What to do about an id that is in several partitions; empty if it is not the reason."""
    if partitions.assigned_by != "store" or (
        partitions.preserved and target.store.ids_unique_per_partition
    ):
        return ""
    reason = (
        "keeps an id once per collection" if partitions.preserved else "has them in one collection"
    )
    return (
        f"; an id is unique within one of the {partitions.source_kind} only, and the target "
        f"{reason}: copy them one by one to separate collections ({source.name}@NAME)"
    )


# -- scan ranges ---------------------------------------------------------------------------------


def split_source(
    source: Endpoint, partitions: PartitionMap, workers: int, count: int, n: int | None = None
) -> list[ScanRange]:
    """The ranges that workers read side by side: at least one for each partition.

    Args:
        n: number of ranges for a source without partitions; None for a number that suits the
            workers.
    """
    wanted = min(workers * RANGES_PER_WORKER, max(1, count // MIN_RANGE_ROWS))
    if partitions.assigned_by != "store":
        ranges = wanted if n is None else n
        return source.store.scan_ranges(source.name, ranges) if ranges > 1 else [{}]
    found: list[ScanRange] = []
    for name, end in source_partitions(source, partitions):
        share = wanted * partitions.rows.get(name or "", 0) // max(1, count)
        inside = end.store.scan_ranges(end.name, share) if share > 1 else [{}]
        found += [{_PARTITION: name, **each} for each in inside]
    return found


def locate(
    source: Endpoint, scan_range: ScanRange
) -> tuple[Endpoint, ScanRange | None, str | None]:
    """Where to read a scan range: the endpoint, the store's range in it, and the partition."""
    partition = scan_range.get(_PARTITION)
    inside = {key: value for key, value in scan_range.items() if key != _PARTITION}
    return source.partition(partition), inside or None, partition


def source_partitions(
    source: Endpoint, partitions: PartitionMap
) -> Iterator[tuple[str | None, Endpoint]]:
    """The current partitions of the source by name; the whole source where it has none."""
    if partitions.assigned_by != "store":
        yield None, source
        return
    for name in source.schema().partitions:
        yield name, source.partition(name)


# -- routing -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RoutedBatch:
    """Rows of one page that go to one partition of the target.

    Attributes:
        partition: the source's partition, from the store or from the payload; None for none.
        id_scope: the source's partition that the ids are unique in; None for the whole source.
        target_partition: the target's partition; None for none.
        target: the endpoint to write to.
        stored: the rows as the source stores them.
        rows: the decoded rows.
        note: the partition to note in the payload.
    """

    partition: str | None
    id_scope: str | None
    target_partition: str | None
    target: Endpoint
    stored: Batch
    rows: Batch
    note: PartitionNote = None

    def take(self, rows: list[int]) -> RoutedBatch:
        """Some of the rows, in the given order."""
        if len(rows) == len(self.rows):
            return self
        return replace(self, stored=self.stored.take(rows), rows=self.rows.take(rows))


class Router:
    """Routes rows of a source to the partitions of a target; threads may share it."""

    def __init__(
        self, source: Endpoint, target: Endpoint, codec: RowCodec, partitions: PartitionMap
    ) -> None:
        self.source = source
        self.target = target
        self.codec = codec
        self.partitions = partitions
        self._names: dict[str, str] = {}
        self._created: set[str] = set()

    def target_partition(self, name: str) -> str:
        """The target's partition for a partition of the source.

        Raises:
            UnsupportedError: the target accepts no name for it.
        """
        if name not in self._names:
            same_kind = self.partitions.source_kind == self.partitions.target_kind
            self._names[name] = target_name(self.target.store, name, same_kind=same_kind)
        return self._names[name]

    def route(self, stored: Batch, partition: str | None) -> list[RoutedBatch]:
        """Decode a page of the source, and split it by the target's partitions.

        Args:
            partition: the source's partition that the page was read from.
        """
        rows = self.codec.decode(stored)
        preserved, target = self.partitions.preserved, self.target
        if self.partitions.assigned_by == "store" and partition is not None:
            name = self.target_partition(partition) if preserved else None
            note = None if preserved else partition
            end = target.partition(name)
            return [RoutedBatch(partition, partition, name, end, stored, rows, note)]
        noted = noted_partitions(stored, rows)
        if self.partitions.assigned_by == "none":
            return [RoutedBatch(None, None, None, target, stored, rows, noted)]
        groups: dict[str, list[int]] = {}
        for row, key in enumerate(rows.ids):
            groups.setdefault(noted.get(key, DEFAULT), []).append(row)
        found = []
        for label, members in groups.items():
            name = self.target_partition(label)
            whole = RoutedBatch(label, None, name, target.partition(name), stored, rows)
            found.append(whole if len(groups) == 1 else whole.take(members))
        return found

    def sources(self) -> Iterator[tuple[str | None, Endpoint]]:
        """The current partitions of the source by name."""
        return source_partitions(self.source, self.partitions)

    def targets(self) -> list[tuple[str | None, Endpoint]]:
        """The current partitions of the target, without those whose source is inactive.

        Raises:
            StoreError: a tenant of the target is inactive.
        """
        if not self.partitions.preserved:
            return [(None, self.target)]
        ours = self.source.schema()
        theirs = self.target.schema()
        excluded = {self.target_partition(name) for name in ours.inactive_partitions}
        inactive = [name for name in theirs.inactive_partitions if name not in excluded]
        if inactive:
            raise StoreError(
                f"{len(inactive)} {self.partitions.target_kind} of {self.target} are not active: "
                f"{', '.join(inactive[:5])}",
                hint="activate them with the client: collection.tenants.activate(name)",
            )
        return [
            (name, self.target.partition(name))
            for name in theirs.partitions
            if name not in excluded
        ]

    def create_missing(self) -> None:
        """Create the target's partitions for partitions that the source has gained.

        Raises:
            StoreError: a tenant of the target is inactive.
        """
        if self.partitions.assigned_by != "store" or not self.partitions.preserved:
            return
        existing = {name for name, _ in self.targets()}
        new = []
        for name, end in self.sources():
            wanted = self.target_partition(name or DEFAULT)
            if wanted in existing:
                continue
            # The default partition always exists in Milvus, and is usually empty.
            if name != DEFAULT or end.store.count(end.name):
                new.append(wanted)
        if new:
            self.target.store.create_partitions(self.target.name, new)

    def ensure_partition(self, routed: RoutedBatch) -> None:
        """Create the target's partition of rows whose payload names it, unless it exists."""
        name = routed.target_partition
        if name is None or routed.id_scope is not None or name in self._created:
            return
        self.target.store.create_partitions(self.target.name, [name])
        self._created.add(name)

    def search_filter(self, partition: str | None, *, source: bool) -> dict[str, Any] | None:
        """The filter for rows of one partition where all are in one collection; None for none.

        Args:
            source: whether the source is searched, else the target.
        """
        merged = (
            self.partitions.assigned_by == "payload" if source else not self.partitions.preserved
        )
        return {PARTITION: partition} if merged and partition is not None else None

    # -- passes over ids -------------------------------------------------------------------------

    def needs_payload(self) -> bool:
        """Whether decoding ids and routing them needs the payloads."""
        return self.partitions.assigned_by == "payload" or bool(reserved_fields_in(self.source))

    def scan(self, *, payload: bool) -> Iterator[RoutedBatch]:
        """All rows of the source without vectors, routed."""
        for partition, end in self.sources():
            for stored in id_pages(end, payload=payload):
                yield from self.route(stored, partition)


def id_pages(end: Endpoint, *, payload: bool) -> Iterator[Batch]:
    """All rows of a collection without vectors."""
    return end.store.read(end.name, ReadRequest(vectors=(), payload=payload, page=ID_PAGE))


# -- partition names -----------------------------------------------------------------------------

_ESCAPED = re.compile(r"[^A-Za-z0-9_]")
_AMBIGUOUS = re.compile(r"_(?=x[0-9a-f])")
_ESCAPE = re.compile(r"_x([0-9a-f]{2,6})_")


def target_name(target: Store, name: str, *, same_kind: bool) -> str:
    """The target's name for a partition of the source.

    A name that the target accepts is kept. In any other name, each character that is not a letter,
    digit or ``_`` is escaped as ``_xHH_`` with its code point: ``a-b`` becomes ``a_x2d_b``. A store
    that accepts ``a-b`` gets the original name again. A name that looks escaped is escaped once
    more, so that no two names become one.

    Args:
        same_kind: source and target have the same kind of partitions, so that all names are kept.

    Raises:
        UnsupportedError: the target accepts neither the name nor its escaped form.
    """
    refusal = _refusal(target, name)
    if same_kind:
        if refusal is None:
            return name
    else:
        unescaped = _ESCAPE.sub(_char, name)
        if unescaped != name and _escape(unescaped) == name and _refusal(target, unescaped) is None:
            return unescaped
        if refusal is None and unescaped == name:
            return name
        escaped = _escape(name)
        if _refusal(target, escaped) is None:
            return escaped
    raise UnsupportedError(
        f"the target does not accept the partition name {name!r}: {refusal}",
        hint=f"rename it, or copy that partition to a separate collection: SRC@{name}",
    )


def _refusal(target: Store, name: str) -> str | None:
    return target.unsupported_schema(CollectionSchema(partitions=(name,), is_partitioned=True)).get(
        "partitions"
    )


def _char(found: re.Match[str]) -> str:
    code = int(found[1], 16)
    return chr(code) if code <= 0x10FFFF else found[0]


def _escape(name: str) -> str:
    plain = _AMBIGUOUS.sub("_x5f_", name)
    return _ESCAPED.sub(lambda found: f"_x{ord(found[0]):02x}_", plain)


def id_scope_in_target(routed: RoutedBatch) -> str | None:
    """The target's partition that the ids of a batch must be unique in; None for all of it."""
    return routed.target_partition if routed.target.store.ids_unique_per_partition else None
