"""A plan, a check and a migration as text: pairs of a label and a line."""

from __future__ import annotations

from collections.abc import Iterator

from qadapt.migration.plan import PARTITION, MigrationPlan, PartitionMap, VectorPlan
from qadapt.migration.report import Check, Migration, RecallCheck, Remedy
from qadapt.migration.schema import describe_extra
from qadapt.model import Kind, MatchLevel, Server

Pairs = list[tuple[str, str]]
SHOWN = 5  # partitions that are listed by name


def plan_lines(plan: MigrationPlan) -> Pairs:
    """A plan."""
    return list(_plan(plan))


def _plan(plan: MigrationPlan) -> Iterator[tuple[str, str]]:
    yield "source", f"{plan.source}#{plan.source_collection} ({_server(plan.source_server)})"
    yield "target", f"{plan.target}#{plan.target_collection} ({_server(plan.target_server)})"
    yield "rows", f"{plan.count:,}, about {plan.estimated_bytes / 1e6:,.1f} MB"
    yield from _vector_lines(plan)
    if plan.partitions.assigned_by != "none":
        stored = plan.partitions.assigned_by == "store"
        label = plan.partitions.source_kind if stored else "partitions"
        yield label, _partitions(plan.partitions)
    yield "ids", _ids(plan)
    if plan.trial_copy.payload_types:
        fields = plan.trial_copy.payload_types.items()
        yield "payload", ", ".join(f"{key} ({'|'.join(kinds)})" for key, kinds in fields)
    for name, kind in (plan.schema.schema.get("entries") or {}).items():
        yield "field", f"{name}: {kind}"
    for key, kind in plan.payload_indexes.items():
        settings = (plan.payload_index_settings.get(key) or {}).items()
        details = ", ".join([kind, *(f"{name} {value}" for name, value in settings)])
        yield "index", f"{key} ({details}), created after the copy"
    for loss in plan.losses:
        state = "allowed" if loss.allowed else f"refused without --allow {loss.name}"
        yield "loss", f"{loss.name}: {loss.detail} ({state})"
    for note in plan.notes:
        yield "note", note
    if plan.aliases:
        yield "aliases", f"of the source: {', '.join(plan.aliases)}"
    if plan.cutover:
        yield "cut-over", plan.cutover
    yield from _execution(plan)
    yield from _memory(plan)


def _memory(plan: MigrationPlan) -> Iterator[tuple[str, str]]:
    if plan.memory is not None:
        yield "memory", str(plan.memory)


def _vector_lines(plan: MigrationPlan) -> Iterator[tuple[str, str]]:
    for name, each in plan.vectors.items():
        yield f"vector {name}".strip(), _vector(each)
        yield "  quantization", _quantization(each)
        yield "  comparison", each.comparison
    for name, extra in plan.schema.extras.items():
        yield f"vector {name}".strip(), describe_extra(extra)
        yield "  comparison", plan.extra_comparisons.get(name, "exact")


def _execution(plan: MigrationPlan) -> Iterator[tuple[str, str]]:
    size = f"{plan.batch_bytes / 1e6:.1f} MB"
    ranges, workers = _many(plan.scan_ranges, "scan range"), _many(plan.workers, "worker")
    yield "copy", f"{ranges}, {workers}, batches of {size} initially"
    trial = plan.trial_copy
    if trial.read_rate is not None:
        rates = f"read {trial.read_rate:,.0f}"
        if trial.write_rate is not None:
            rates += f", wrote {trial.write_rate:,.0f}"
        yield "trial copy", f"{trial.rows} rows: {rates} rows/s"
    if plan.estimated_seconds is not None:
        yield "time", f"about {duration(plan.estimated_seconds)} for the copy, by the trial copy"


def _many(n: int, what: str) -> str:
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"


def _server(server: Server) -> str:
    return f"{server.store} {server.version or ''}".strip()


def _vector(each: VectorPlan) -> str:
    datatype = str(each.source.datatype)
    if each.target.datatype != each.source.datatype:
        datatype += f" -> {each.target.datatype}"
    return f"{each.source.dim} dimensions, {each.source.metric}, {datatype}, {each.count:,} rows"


def _quantization(each: VectorPlan) -> str:
    if Kind.NONE is each.requested_quantization.kind is each.source_quantization.kind:
        return "none"
    text = f"{each.source_quantization} -> {each.target_quantization} ({each.match.level})"
    if each.match.level is not MatchLevel.EXACT:
        text += f": {'; '.join(each.match.differences)}"
    if each.rescore is not None:
        text += f"; rescore {each.rescore}"
    return text


def _partitions(partitions: PartitionMap) -> str:
    rows = partitions.rows
    text = f"{len(rows)} {partitions.source_kind}"
    if partitions.preserved:
        text += f" -> {len(set(partitions.names.values()))} {partitions.target_kind}"
    else:
        text += f" -> one collection, with the payload field {PARTITION!r}"
    listed = []
    for name, count in list(rows.items())[:SHOWN]:
        target = partitions.names.get(name, name)
        listed.append(f"{name}{'' if target == name else f' -> {target}'} ({count:,} rows)")
    return f"{text}: {', '.join(listed)}{', ...' if len(rows) > SHOWN else ''}"


def _ids(plan: MigrationPlan) -> str:
    ids = plan.ids
    parts = [f"{ids.unchanged:,} unchanged"]
    if ids.mapped:
        shown = ", ".join(f"{a!r} -> {b}" for a, b in ids.examples[:1])
        parts.append(f"{ids.mapped:,} mapped to UUIDs ({shown})")
    if ids.restored:
        parts.append(f"{ids.restored:,} mapped back to their original ids")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """A duration with its unit."""
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def check_lines(check: Check) -> Pairs:
    """The result of a check."""
    return list(_check(check))


def _check(check: Check) -> Iterator[tuple[str, str]]:
    yield "rows", f"{check.source_count:,} in the source, {check.target_count:,} in the target"
    skipped = f"; {check.skipped:,} skipped as allowed" if check.skipped else ""
    yield "ids", f"{check.missing:,} missing, {check.unexpected:,} unexpected{skipped}"
    bound = ""
    if check.scope == "sample":
        bound = f"; at most {check.max_different_share:.3%} of all rows differ (95 % confidence)"
    yield "compared", f"{check.compared:,} rows, {check.different:,} differ{bound}"
    for each in check.recalls:
        yield "recall", _recall(each)
        if each.proof.reason:
            yield "note", each.proof.reason
        if each.remedy is not None:
            yield from _remedy(each.remedy)
    for note in check.notes:
        yield "note", note
    for difference in check.differences:
        yield "difference", f"{difference.id!r} {difference.kind}: {difference.detail}"


def _remedy(remedy: Remedy) -> Iterator[tuple[str, str]]:
    if remedy.recall is None:
        yield "to meet it", remedy.reason
        return
    place = "the target" if remedy.measured_on == "target" else "a copy of its rows"
    if remedy.partition:
        place += f" in the partition {remedy.partition!r}"
    yield "to meet it", f"{remedy.setting}: recall {remedy.recall:.3f}, measured on {place}"
    yield "run", remedy.command


def _recall(each: RecallCheck) -> str:
    vector = f" of {each.vector!r}" if each.vector else ""
    exact = ""
    if each.exact_recall is not None and each.source_exact_recall is not None:
        exact = f"; exact search {each.exact_recall:.3f}, source {each.source_exact_recall:.3f}"
    return (
        f"recall@{each.k}{vector} {each.recall:.3f} ({each.low:.3f} to {each.high:.3f}, "
        f"{each.queries} queries), source {each.source_recall:.3f}{exact}; "
        f"required: {each.requirement}{'' if each.passed else '  MISSED'}; "
        f"ground truth: {each.ground_truth} of the source"
    )


def migration_lines(done: Migration) -> Pairs:
    """The result of a migration."""
    return list(_migration(done))


def _migration(done: Migration) -> Iterator[tuple[str, str]]:
    metrics = done.metrics
    before = f", {metrics.rows_before:,} by earlier runs" if metrics.rows_before else ""
    yield "copied", f"{metrics.rows:,} rows in {duration(metrics.copy_seconds)}{before}"
    if metrics.rows:
        yield (
            "rate",
            f"{metrics.rows_per_second:,.0f} rows/s, {metrics.megabytes_per_second:.1f} MB/s of "
            f"vectors, {metrics.write_share:.0%} of the time in writes",
        )
    for key, reason in done.skipped:
        yield "skipped", f"{key!r}: {reason}"
    for name, status in done.status.items():
        state = f"{status.state}" + (f": {status.reason}" if status.reason else "")
        label = f"quantization of {name}" if name else "quantization"
        yield label, f"{done.plan.vectors[name].target_quantization}: {state}"
    if done.catch_up is not None:
        caught = done.catch_up
        yield (
            "catch-up",
            f"{caught.added:,} added, {caught.changed:,} changed, {caught.deleted:,} deleted "
            f"(changes found by: {caught.detected_by})",
        )
    if done.check is not None:
        yield from check_lines(done.check)
    if done.cutover is not None:
        cut = done.cutover
        previous = f", previously to {cut.previous!r}" if cut.previous else ""
        yield "alias", f"{cut.alias!r} points to {cut.current!r}{previous}"
        yield "roll back", cut.rollback
    yield from _memory(done.plan)
