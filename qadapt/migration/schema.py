"""Planning the schema of a target: extra vectors, typed payload fields and partitions.

Extra vectors are sparse vectors and multivectors. The dense vectors are planned in ``vectors``.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from qadapt.errors import UnsupportedError
from qadapt.migration.endpoint import Endpoint
from qadapt.migration.plan import PARTITION, RESERVED_FIELDS, Comparison, PartitionMap
from qadapt.migration.vectors import comparison_of
from qadapt.model import CollectionSchema, ExtraVector, Metric, Vector
from qadapt.model.losses import LOSSES
from qadapt.stores.base import ReadRequest, Store

TYPED_FIELDS = "typed-fields"
# The key of a schema that lists declarations which no copy can have.
_UNCOPIED = "behind"
_EXTRA_LOSSES = {"sparse": "sparse-vectors", "multi": "multivectors"}
# Settings of extra vectors that each store chooses itself.
_DEFAULTED = ("multivector_config", "index_type")
SHOWN = 10


@dataclass(frozen=True)
class SchemaPlan:
    """The schema of the target, without its dense vectors.

    Attributes:
        schema: what the target is created with.
        losses: detail of each loss, by its name.
        notes: further information for the reader.
        partitions: how partitions are mapped; names and counts are not known yet.
    """

    schema: CollectionSchema
    losses: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    partitions: PartitionMap = field(default_factory=PartitionMap)


def plan_schema(
    source: Endpoint, target: Endpoint, vectors: Mapping[str, Vector] | None = None
) -> SchemaPlan:
    """The schema of the target.

    Args:
        vectors: the dense vectors of the target.
    """
    found = source.schema()
    wanted = found if source.same_family(target) else _portable(found)
    wanted = wanted.replace(extras=supported_datatypes(wanted.extras, target.store))
    losses: dict[str, list[str]] = {}
    extras = _plan_extras(target, wanted, vectors or {}, losses)
    if not target.store.traits.allows_missing_vectors:
        for detail in _rows_without(source, extras):
            losses.setdefault("missing-vectors", []).append(detail)
    payload = _plan_payload(source, target, found)
    if payload.loss is not None:
        losses.setdefault(TYPED_FIELDS, []).append(payload.loss)
    partitions, reason = plan_partitions(source, target, wanted)
    if reason is not None:
        losses[_partition_loss(source)] = [_merged_partitions(found, reason)]
    if found.inactive_partitions:
        losses["inactive-tenants"] = [_inactive_tenants(found)]
    key = found.partition_key if reason is None else None
    schema = CollectionSchema(
        extras=extras,
        schema=payload.schema,
        is_partitioned=partitions.preserved or key is not None,
        partition_key=key,
    )
    notes = (*_extra_notes(found.extras, extras, source, target), *payload.notes)
    details = {name: ", ".join(each) for name, each in losses.items()}
    return SchemaPlan(schema, details, notes, partitions)


def common_schema(source: Endpoint, target: Endpoint) -> CollectionSchema:
    """The extra vectors that two existing collections share, for a comparison.

    Extra vectors that the target's store does not support are left out.

    Raises:
        UnsupportedError: the target lacks an extra vector that its store supports, or has an
            incompatible one.
    """
    ours, theirs = (end.schema() for end in (source, target))
    alone = CollectionSchema(extras=ours.extras)
    wanted = alone if source.same_family(target) else _portable(alone)
    refused = target.store.unsupported_schema(wanted)
    extras = {}
    for name, extra in ours.extras.items():
        if name in theirs.extras:
            if not _compatible(extra, theirs.extras[name]):
                raise UnsupportedError(
                    f"vector {name!r} differs: {describe_extra(extra)} in the source, "
                    f"{describe_extra(theirs.extras[name])} in the target",
                    hint="copy to a new collection, which gets the vectors of the source",
                )
            extras[name] = theirs.extras[name]
        elif f"extras.{name}" not in refused:
            raise UnsupportedError(
                f"the target has no vector {name!r}",
                hint="copy to a new collection, or add the vector to the target",
            )
    return CollectionSchema(extras=extras, schema=theirs.schema)


def create_collection(
    target: Endpoint, vectors: Mapping[str, Vector], schema: CollectionSchema
) -> None:
    """Create the target without quantization.

    ``schema`` is passed only if it is not empty: stores of plug-ins need not support it.
    """
    if schema:
        target.store.create(target.name, vectors, {}, schema)
    else:
        target.store.create(target.name, vectors, {})


def _portable(found: CollectionSchema) -> CollectionSchema:
    """The schema without settings in the native terms of the source."""
    extras = {name: extra.replace(native={}) for name, extra in found.extras.items()}
    return CollectionSchema(extras, {}, found.partitions, found.is_partitioned, found.partition_key)


# -- extra vectors -------------------------------------------------------------------------------


def _plan_extras(
    target: Endpoint,
    wanted: CollectionSchema,
    vectors: Mapping[str, Vector],
    losses: dict[str, list[str]],
) -> dict[str, ExtraVector]:
    existing: Mapping[str, ExtraVector] = {}
    if target.exists:
        existing = dict(target.schema().extras)
        refused: Mapping[str, str] = missing_extras(wanted.extras, target)
    else:
        refused = {
            **multivectors_refused(wanted.extras, target, vectors),
            **target.store.unsupported_schema(wanted),
        }
    extras = {}
    for name, extra in wanted.extras.items():
        reason = refused.get(f"extras.{name}")
        if reason is None:
            extras[name] = existing.get(name, extra)
        else:
            losses.setdefault(_EXTRA_LOSSES[extra.kind], []).append(
                f"{name or 'unnamed'} ({reason})"
            )
    return extras


def supported_datatypes(extras: Mapping[str, ExtraVector], store: Store) -> dict[str, ExtraVector]:
    """Extra vectors with their datatype if the store supports it, else with float32."""
    found = {}
    for name, extra in extras.items():
        wide = extra.replace(datatype="float32")
        alone, instead = ({name: each} for each in (extra, wide))
        better = store.unsupported_schema(CollectionSchema(alone)) and not store.unsupported_schema(
            CollectionSchema(instead)
        )
        found[name] = wide if better else extra
    return found


def missing_extras(extras: Mapping[str, ExtraVector], target: Endpoint) -> dict[str, str]:
    """Extra vectors that an existing collection lacks or has with another definition: why."""
    existing = target.schema().extras
    found = {}
    for name, extra in extras.items():
        other = existing.get(name)
        if other is None:
            found[f"extras.{name}"] = f"{target.name!r} has no vector of that name"
        elif not _compatible(extra, other):
            found[f"extras.{name}"] = f"in {target.name!r} it is {describe_extra(other)}"
    return found


def multivectors_refused(
    extras: Mapping[str, ExtraVector], target: Endpoint, vectors: Mapping[str, Vector]
) -> dict[str, str]:
    """Multivectors that the target does not support together with the dense vectors: why."""
    if target.store.unsupported_vectors(vectors) is not None:
        return {}
    found = {}
    for name, extra in extras.items():
        if extra.kind == "multi":
            row = Vector(extra.dim or 1, extra.metric or Metric.COSINE)
            reason = target.store.unsupported_vectors({**vectors, name: row})
            if reason is not None:
                found[f"extras.{name}"] = reason
    return found


def extra_comparisons(store: Store, extras: Mapping[str, ExtraVector]) -> dict[str, Comparison]:
    """How extra vectors of the target are compared with the source's, by name."""
    return {name: _comparison(store, extra) for name, extra in extras.items()}


def _comparison(store: Store, extra: ExtraVector) -> Comparison:
    if extra.kind == "sparse":
        return "exact" if store.traits.keeps_explicit_zeros else "nonzero"
    return comparison_of(store, extra)


def _compatible(one: ExtraVector, other: ExtraVector) -> bool:
    """Whether rows of one can be stored as rows of the other."""
    return (one.kind, one.dim, one.metric) == (other.kind, other.dim, other.metric)


def _rows_without(source: Endpoint, extras: Mapping[str, ExtraVector]) -> list[str]:
    """The number of rows that lack each extra vector; reads all rows without payloads."""
    found = dict.fromkeys(extras, 0)
    if extras:
        for batch in source.store.read(
            source.name, ReadRequest(vectors=list(extras), payload=False)
        ):
            for name in extras:
                found[name] += int(batch.extras[name].absent().sum())
    return [f"{count:,} rows lack vector {name!r}" for name, count in found.items() if count]


def _extra_notes(
    found: Mapping[str, ExtraVector],
    made: Mapping[str, ExtraVector],
    source: Endpoint,
    target: Endpoint,
) -> tuple[str, ...]:
    """What changes in the extra vectors."""
    notes = []
    for name, extra in made.items():
        label, before = f"vector {name!r}", found[name]
        comparison = _comparison(target.store, extra)
        if comparison == "normalized" and _comparison(source.store, before) != comparison:
            notes.append(
                f"{target.store.name} normalizes the rows of {label}: their lengths are lost, also "
                "with --keep-norms; directions and rankings are preserved"
            )
        if comparison == "nonzero":
            notes.append(f"{target.store.name} drops entries of {label} whose value is 0")
        if before.datatype != extra.datatype:
            notes.append(
                f"{label} is {before.datatype} in the source and {extra.datatype} in the target"
            )
        if extra.native.get("quantization_config"):
            notes.append(f"the quantization of {label} is set as in the source and not verified")
        lost = {
            key: value
            for key, value in before.native.items()
            if key not in extra.native and key not in _DEFAULTED and value
        }
        if lost:
            notes.append(
                f"settings of {label} that are specific to {source.store.name} are not copied: "
                f"{textwrap.shorten(json.dumps(lost), 200)}"
            )
            if lost.get("modifier") == "idf":
                notes.append(
                    f"{source.store.name} weights {label} by inverse document frequency (idf) when "
                    f"searching; {target.store.name} does not, so scores will differ"
                )
    return tuple(notes)


def describe_extra(extra: ExtraVector) -> str:
    """An extra vector in one line."""
    kind = "sparse" if extra.kind == "sparse" else f"multivector, {extra.dim} x n, {extra.metric}"
    native: Mapping[str, Any] = {k: v for k, v in extra.native.items() if k != "multivector_config"}
    settings = f", {textwrap.shorten(json.dumps(native), 200)}" if native else ""
    return f"{kind}, {extra.datatype}{settings}"


# -- typed payload fields ------------------------------------------------------------------------


@dataclass(frozen=True)
class _PayloadSchema:
    """The payload schema of the target, in the terms of its family; a loss, and notes."""

    schema: Mapping[str, Any] = field(default_factory=dict)
    loss: str | None = None
    notes: tuple[str, ...] = ()


def _plan_payload(source: Endpoint, target: Endpoint, found: CollectionSchema) -> _PayloadSchema:
    """The declarations of payload fields that the target gets.

    In another family, values are copied and declarations are not: that is a note. A target of the
    same family that does not support a declaration is a loss.
    """
    same_family = source.same_family(target)
    wanted = {name: each for name, each in found.schema.items() if name != _UNCOPIED}
    notes = []
    if uncopied := found.schema.get(_UNCOPIED):
        notes.append(f"{TYPED_FIELDS}: not copied from {source.store.name}: {', '.join(uncopied)}")
    if target.exists:
        existing = target.schema().schema
        if same_family and dict(wanted) != dict(existing):
            notes.append(f"{TYPED_FIELDS}: the existing target keeps its own schema")
        return _PayloadSchema(existing, None, tuple(notes))
    if not same_family:
        if fields := _field_list(wanted):
            notes.append(
                f"{TYPED_FIELDS}: {fields} of {source.store.name} become payload fields of "
                f"{target.store.name}: values are copied, declarations are not"
            )
        return _PayloadSchema({}, None, tuple(notes))
    problem = (
        target.store.unsupported_schema(CollectionSchema(schema=wanted)).get("schema")
        if wanted
        else None
    )
    if problem is not None:
        return _PayloadSchema({}, problem, tuple(notes))
    return _PayloadSchema(wanted, None, tuple(notes))


def _field_list(schema: Mapping[str, Any]) -> str:
    """The declared payload fields with their types, without the primary key."""
    key = (schema.get("key") or {}).get("name")
    fields = {name: each for name, each in (schema.get("entries") or {}).items() if name != key}
    return ", ".join(f"{name} ({kind})" for name, kind in fields.items())


# -- partitions ----------------------------------------------------------------------------------


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


def _partition_loss(source: Endpoint) -> str:
    kind = source.store.traits.partition_kind
    return kind if kind in LOSSES else "partitions"


def _merged_partitions(found: CollectionSchema, reason: str) -> str:
    if found.partition_key is not None:
        return f"the partition key {found.partition_key!r} ({reason})"
    return (
        f"{_first(found.partitions)} ({reason}); all rows are copied to one collection, where the "
        f"payload field {PARTITION!r} names the partition of each row"
    )


def _inactive_tenants(found: CollectionSchema) -> str:
    return (
        f"{len(found.inactive_partitions)}: {_first(found.inactive_partitions)}; their "
        "rows cannot be read until the client "
        f"activates them: collection.tenants.activate({list(found.inactive_partitions[:3])!r})"
    )


def _first(names: tuple[str, ...]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
