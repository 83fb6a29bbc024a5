"""Planning the partitions of a target, before they are read."""

from __future__ import annotations

from qadapt.migration.endpoint import Endpoint
from qadapt.migration.plan import PARTITION, RESERVED_FIELDS, PartitionMap
from qadapt.model import CollectionSchema
from qadapt.model.losses import LOSSES
from qadapt.stores.base import ReadRequest

SHOWN = 10


def plan_partitions(
    source: Endpoint, target: Endpoint, wanted: CollectionSchema
) -> tuple[PartitionMap, str | None]:
    """How partitions are mapped, and why the target cannot have those of the source.

    Args:
        wanted: the source's schema in terms that the target understands.
    """
    kind = source.store.traits.partition_kind or "partitions"
    if wanted.partition_key is not None:
        return PartitionMap(), _partitions_refused(target, wanted)
    if wanted.is_partitioned:
        reason = _partitions_refused(target, CollectionSchema(is_partitioned=True))
        target_kind = target.store.traits.partition_kind if reason is None else ""
        return PartitionMap("store", reason is None, kind, target_kind), reason
    if (
        PARTITION in reserved_fields_in(source)
        and _partitions_refused(target, CollectionSchema(is_partitioned=True)) is None
    ):
        field = f"values of the payload field {PARTITION!r}"
        return PartitionMap("payload", True, field, target.store.traits.partition_kind), None
    return PartitionMap(), None


def reserved_fields_in(source: Endpoint) -> frozenset[str]:
    """The payload fields of qadapt's that occur in the first 100 rows of a collection."""
    first = next(iter(source.store.read(source.name, ReadRequest(vectors=(), page=100))), None)
    payloads = (first.payloads or ()) if first is not None else ()
    return frozenset(
        name for each in payloads for name in RESERVED_FIELDS if isinstance(each.get(name), str)
    )


def _partitions_refused(target: Endpoint, wanted: CollectionSchema) -> str | None:
    if not target.exists:
        return target.store.unsupported_schema(wanted).get("partitions")
    found = target.schema()
    fits = found.is_partitioned and found.partition_key == wanted.partition_key
    return None if fits else f"{target.name!r} has none"


def partition_loss(source: Endpoint) -> str:
    """The name of the loss of merged partitions."""
    kind = source.store.traits.partition_kind
    return kind if kind in LOSSES else "partitions"


def merged_partitions(found: CollectionSchema, reason: str) -> str:
    """The detail of that loss."""
    if found.partition_key is not None:
        return f"the partition key {found.partition_key!r} ({reason})"
    return (
        f"{_first(found.partitions)} ({reason}); all rows are copied to one collection, where the "
        f"payload field {PARTITION!r} names the partition of each row"
    )


def inactive_tenants(found: CollectionSchema) -> str:
    """The detail of tenants that cannot be read."""
    return (
        f"{len(found.inactive_partitions)}: {_first(found.inactive_partitions)}; their "
        "rows cannot be read until the client "
        f"activates them: collection.tenants.activate({list(found.inactive_partitions[:3])!r})"
    )


def _first(names: tuple[str, ...]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
