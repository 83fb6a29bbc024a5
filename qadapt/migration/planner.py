"""Making the plan of a migration: vectors, schema, ids, trial copy, losses and notes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from qadapt.errors import AlreadyExistsError, InputError, UnsupportedError
from qadapt.local import collection_info
from qadapt.migration.cutover_text import aliases_of, cutover_text
from qadapt.migration.endpoint import Endpoint
from qadapt.migration.id_scan import Scan, scan_source
from qadapt.migration.memory import memory_of_both
from qadapt.migration.options import Options
from qadapt.migration.partitions import (
    Router,
    complete,
    duplicate_id_hint,
    existing_partitions,
    split_source,
)
from qadapt.migration.payload_indexes import PayloadIndexPlan, plan_payload_indexes
from qadapt.migration.plan import (
    FIELDS,
    NORMS,
    SOURCE_ID,
    Loss,
    MigrationPlan,
    TrialCopy,
    VectorPlan,
    vector_label,
)
from qadapt.migration.row_codec import RowCodec
from qadapt.migration.schema import SchemaPlan, common_schema, extra_comparisons, plan_schema
from qadapt.migration.trial_copy import run_trial_copy
from qadapt.migration.vectors import (
    comparison_of,
    empty_vector_notes,
    non_dense_vectors,
    plan_vectors,
    refuse_unmeasured,
)
from qadapt.model import CollectionInfo, Match, MatchLevel, Metric
from qadapt.model.losses import LOSSES
from qadapt.planning.change_record import utc_now
from qadapt.stores.base import OnProgress, silent
from qadapt.version import __version__

SHOWN = 10


@dataclass(frozen=True)
class _Findings:
    """What was found before the plan is put together."""

    source: Endpoint
    target: Endpoint
    options: Options
    existing: bool
    info: CollectionInfo
    empty: Mapping[str, int]
    vectors: Mapping[str, VectorPlan]
    schema: SchemaPlan
    scan: Scan
    trial: TrialCopy
    indexes: PayloadIndexPlan


def make_plan(
    source: Endpoint, target: Endpoint, options: Options, progress: OnProgress = silent
) -> MigrationPlan:
    """The plan; changes nothing except for the scratch collection of the trial copy.

    Raises:
        NotFoundError: the source does not exist.
        InputError: source and target are the same collection.
        AlreadyExistsError: the target exists, and ``existing-target`` is not allowed.
        UnsupportedError: the target cannot store the vectors.
    """
    source.ensure_loaded()
    existing = _refuse_target(source, target, options)
    empty = source.store.measure_dimensions(source.name, progress)
    info = collection_info.info(source.store, source.name)
    refuse_unmeasured(source, info, empty)
    vectors = plan_vectors(source, target, info, options)
    dense = {name: each.target for name, each in vectors.items()}
    schema = plan_schema(source, target, dense)
    _refuse_no_vectors(source, vectors, schema)
    codec = RowCodec(
        target.store,
        dense,
        keep_norms=options.keep_norms,
        schema=schema.schema,
        drop_partition=schema.partitions.assigned_by != "store",
    )
    router = Router(source, target, codec, schema.partitions)
    scan = scan_source(router, updated_at=options.updated_at, progress=progress)
    partitions = complete(schema.partitions, scan.partitions, target.store)
    scan_ranges = split_source(source, partitions, options.workers, scan.count)
    comparisons = extra_comparisons(target.store, schema.schema.extras)
    trial = run_trial_copy(
        source, target, codec, vectors, comparisons, scan_ranges,
        write=options.trial_copy and not existing, allow=options.allow,
    )  # fmt: skip
    indexes = plan_payload_indexes(
        source, target, trial, schema.schema, partitions, existing=existing
    )
    found = _Findings(
        source, target, options, existing, info, empty, vectors, schema, scan, trial, indexes
    )
    aliases = aliases_of(source)
    return _plan(source, target, info, vectors).replace(
        count=scan.count,
        ids=scan.ids,
        trial_copy=trial,
        losses=_losses(found),
        allow=options.allow,
        notes=tuple(_notes(found)),
        scan_ranges=len(scan_ranges),
        workers=options.workers,
        batch_bytes=options.batch_bytes,
        estimated_bytes=scan.count * trial.row_bytes,
        estimated_seconds=_seconds(scan.count, trial),
        keep_norms=options.keep_norms,
        updated_at=options.updated_at,
        watermark=scan.watermark,
        payload_indexes=indexes.kinds,
        payload_index_settings=indexes.settings,
        schema=schema.schema.replace(partitions=tuple(partitions.names.values())),
        extra_comparisons=comparisons,
        partitions=partitions,
        aliases=aliases,
        cutover=cutover_text(source, target, aliases),
        memory=memory_of_both(info, vectors, target.store.name),
    )


def comparison_plan(source: Endpoint, target: Endpoint) -> MigrationPlan:
    """The plan to compare two existing collections that qadapt did not copy on this machine.

    Raises:
        UnsupportedError: the target lacks a vector, or has an incompatible one.
    """
    for end in (source, target):
        end.store.measure_dimensions(end.name)
    info, other = (collection_info.info(end.store, end.name) for end in (source, target))
    schema = common_schema(source, target)
    uncopied = non_dense_vectors(source)
    vectors = {}
    for name, now in info.vectors.items():
        if name in uncopied:
            continue
        if name not in other.vectors and name not in other.unknown_dimensions:
            raise UnsupportedError(
                f"the target has no {vector_label(name)}",
                hint="copy to a new collection, or add the vector to the target",
            )
        # If no row of the target has the vector, each row that should have it is a difference.
        there = other.vectors.get(name, now)
        if (now.dim, now.metric) != (there.dim, there.metric):
            raise UnsupportedError(
                f"{vector_label(name)} has {now.dim} dimensions and {now.metric} in the source, "
                f"{there.dim} and {there.metric} in the target",
                hint="copy to a new collection, which gets the vectors of the source",
            )
        vectors[name] = VectorPlan(
            source=now.vector,
            target=there.vector,
            count=now.count,
            source_quantization=now.quantization,
            requested_quantization=there.quantization,
            target_quantization=there.quantization,
            match=Match.of(),
            comparison=comparison_of(target.store, there.vector),
        )
    return _plan(source, target, info, vectors).replace(
        schema=schema,
        extra_comparisons=extra_comparisons(target.store, schema.extras),
        partitions=existing_partitions(source, target),
    )


def _plan(
    source: Endpoint, target: Endpoint, info: CollectionInfo, vectors: Mapping[str, VectorPlan]
) -> MigrationPlan:
    return MigrationPlan(
        source=source.store.address.identity,
        source_collection=source.name,
        target=target.store.address.identity,
        target_collection=target.name,
        source_server=source.store.server(),
        target_server=target.store.server(),
        count=info.count,
        vectors=vectors,
        fingerprint=info.fingerprint,
        created=utc_now(),
        qadapt=__version__,
    )


def _refuse_target(source: Endpoint, target: Endpoint, options: Options) -> bool:
    """Whether the target exists, as allowed."""
    if str(source) == str(target):
        raise InputError(
            "source and target are the same collection",
            hint="to change its quantization in place: qadapt apply",
        )
    if not target.exists:
        return False
    if "existing-target" not in options.allow:
        raise AlreadyExistsError(
            f"the collection {target.name!r} exists already at {target.store.address}",
            hint="choose another name after '#', drop the collection, or add rows to it: "
            "--allow existing-target",
        )
    return True


def _refuse_no_vectors(
    source: Endpoint, vectors: Mapping[str, VectorPlan], schema: SchemaPlan
) -> None:
    if not vectors and not schema.schema.extras:
        details = "; ".join(f"{name}: {detail}" for name, detail in schema.losses.items())
        raise UnsupportedError(
            f"the target cannot store any vector of {source.name!r}: {details}",
            hint="choose another target",
        )


def _seconds(count: int, trial: TrialCopy) -> float | None:
    """Duration of the copy: reads and writes overlap. The gain of several workers is unknown."""
    if trial.read_rate is None or trial.write_rate is None:
        return None
    return count / min(trial.read_rate, trial.write_rate)


# -- losses --------------------------------------------------------------------------------------


def _losses(found: _Findings) -> tuple[Loss, ...]:
    source, target, ids = found.source, found.target, found.scan.ids
    details = dict(source.store.uncopied(source.name))
    for name, detail in found.schema.losses.items():
        details[name] = "; ".join(filter(None, [details.get(name), detail]))
    indexes = [*found.indexes.lost, *filter(None, [details.pop("payload-indexes", "")])]
    if indexes:
        details["payload-indexes"] = "; ".join(indexes)
    details.update(_vector_losses(found))
    if ids.duplicate_count:
        hint = duplicate_id_hint(source, target, found.schema.partitions)
        details["duplicate-ids"] = f"{ids.duplicate_count:,}: {_first(ids.duplicates)}{hint}"
    if ids.invalid_count:
        details["rejected-rows"] = f"{ids.invalid_count:,} invalid ids: {_first(ids.invalid)}"
    if found.trial.differences:
        details["payload"] = "; ".join(found.trial.differences)
    if found.existing:
        rows = target.store.count(target.name)
        details["existing-target"] = f"{target.name!r} has {rows:,} rows"
    for name in details:
        if name not in LOSSES:
            raise InputError(
                f"the store {source.store.name!r} reports an unknown loss: {name!r}",
                hint="upgrade the package of this store",
            )
    allow = found.options.allow
    return tuple(Loss(name, detail, name in allow) for name, detail in details.items())


def _vector_losses(found: _Findings) -> dict[str, str]:
    losses = {}
    for name, each in found.vectors.items():
        if each.match.level is MatchLevel.UNSUPPORTED:
            reason = "; ".join(each.match.differences)
            works = f"; supported: {each.match.support[0]}" if each.match.support else ""
            losses["quantization"] = f"{vector_label(name)} would not be quantized: {reason}{works}"
        lacking = found.info.count - each.count
        if lacking > 0 and not found.target.store.traits.allows_missing_vectors:
            detail = f"{lacking:,} rows lack {vector_label(name)}"
            losses["missing-vectors"] = ", ".join(
                filter(None, [detail, found.schema.losses.get("missing-vectors")])
            )
    return losses


def _first(keys: tuple[object, ...]) -> str:
    return ", ".join(repr(key) for key in keys[:SHOWN]) + (", ..." if len(keys) > SHOWN else "")


# -- notes ---------------------------------------------------------------------------------------


def _notes(found: _Findings) -> Iterator[str]:
    store, trial, ids = found.target.store, found.trial, found.scan.ids
    yield from empty_vector_notes(found.empty)
    if found.indexes.automatic:
        yield f"{store.name} indexes {', '.join(found.indexes.automatic)} automatically"
    for name, each in found.vectors.items():
        yield from _vector_notes(found, vector_label(name), each)
    if ids.mapped:
        yield (
            f"{ids.mapped:,} ids become UUIDs; the payload keeps each original id as "
            f"{SOURCE_ID!r}, and a store that accepts it gets it back"
        )
    if ids.restored:
        yield f"{ids.restored:,} rows were migrated before and get their original ids again"
    if trial.rejected:
        yield f"the target rejects some rows: {trial.rejected}"
    if trial.dropped_fields:
        yield (
            f"{store.name} does not preserve the payload fields {', '.join(trial.dropped_fields)}: "
            f"they are copied as JSON text in {FIELDS!r}, where filters cannot find them"
        )
    if trial.lossy_fields:
        yield (
            f"{store.name} rounds some numbers of the payload fields "
            f"{', '.join(trial.lossy_fields)}: the exact values are kept in {FIELDS!r}"
        )
    yield from found.schema.notes


def _vector_notes(found: _Findings, label: str, each: VectorPlan) -> Iterator[str]:
    source, target, keep_norms = found.source, found.target, found.options.keep_norms
    if each.comparison == "normalized" and not keep_norms:
        yield (
            f"{target.store.name} normalizes cosine vectors: the lengths of {label} are lost "
            "(--keep-norms keeps them in the payload); directions and rankings are preserved"
        )
    if each.comparison == "normalized" and keep_norms:
        yield f"the payload keeps the lengths of {label} as {NORMS!r}"
    if source.store.traits.normalizes_cosine and each.source.metric is Metric.COSINE:
        yield f"{source.store.name} normalized {label} when it was written; those values are copied"
    if each.source.datatype != each.target.datatype:
        effect = (
            "the stored values are kept exactly; earlier rounding remains"
            if each.target.datatype == "float32"
            else "values are rounded, and the check allows for it"
        )
        yield (
            f"{label} is {each.source.datatype} in the source and {each.target.datatype} in the "
            f"target: {effect}"
        )
    if each.match.level is MatchLevel.DIFFERS:
        differences = "; ".join(each.match.differences)
        yield f"{each.source_quantization} has no exact equivalent in the target: {differences}"
