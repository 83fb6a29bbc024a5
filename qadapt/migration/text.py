"""A plan, a check and a migration in words: pairs of a label and a line."""

from __future__ import annotations

from collections.abc import Iterator

from qadapt.migration import extras
from qadapt.migration.indexes import settings_words
from qadapt.migration.plan import MigrationPlan, Parting, VectorPlan
from qadapt.migration.report import Check, Migration
from qadapt.model import Kind, Level, Server

Pairs = list[tuple[str, str]]
SHOWN = 5  # parts that are told by name


def plan_lines(plan: MigrationPlan) -> Pairs:
    """What would be done."""
    return list(_plan(plan))


def _plan(plan: MigrationPlan) -> Iterator[tuple[str, str]]:
    yield "from", f"{plan.source}#{plan.source_collection} ({_server(plan.source_server)})"
    yield "to", f"{plan.target}#{plan.target_collection} ({_server(plan.target_server)})"
    yield "rows", f"{plan.count:,}, about {plan.bytes / 1e6:,.1f} MB"
    for name, each in plan.vectors.items():
        yield (f"vector {name}".strip(), _vector(each))
        yield "  codes", _codes(each)
        yield "  compared", each.comparison
    for name, extra in plan.beside.extras.items():
        yield f"vector {name}".strip(), extras.words(extra)
        yield "  compared", plan.compared.get(name, "bit for bit")
    if plan.parting.by != "nothing":
        yield plan.parting.here if plan.parting.by == "store" else "parts", _parting(plan.parting)
    yield "ids", _ids(plan)
    if plan.probe.entries:
        told = ", ".join(f"{key} ({'|'.join(kinds)})" for key, kinds in plan.probe.entries.items())
        yield "payload", told
    for name, words in (plan.beside.schema.get("entries") or {}).items():
        yield "field", f"{name}: {words}"
    for key, kind in plan.indexes.items():
        told = ", ".join([kind, *settings_words(plan.index_settings.get(key) or {})])
        yield "index", f"{key} ({told}), made after the load"
    for loss in plan.losses:
        sign = "allowed" if loss.allowed else f"refused without --allow {loss.name}"
        yield "not carried", f"{loss.name}: {loss.what} ({sign})"
    for note in plan.notes:
        yield "note", note
    size = f"{plan.batch_bytes / 1e6:.1f} MB"
    lanes = f"{_many(plan.parts, 'part')}, {_many(plan.workers, 'worker')}"
    yield "how", f"{lanes}, batches of {size} to begin with"
    if plan.probe.read_rate is not None:
        rates = f"read {plan.probe.read_rate:,.0f}"
        if plan.probe.write_rate is not None:
            rates += f", wrote {plan.probe.write_rate:,.0f}"
        yield "probe", f"{plan.probe.rows} rows: {rates} rows/s"
    if plan.seconds is not None:
        yield "time", f"about {duration(plan.seconds)} for the copy, by the probe"


def _many(n: int, what: str) -> str:
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"


def _server(server: Server) -> str:
    return f"{server.store} {server.version or ''}".strip()


def _vector(each: VectorPlan) -> str:
    kinds = str(each.source.datatype)
    if each.target.datatype != each.source.datatype:
        kinds += f" -> {each.target.datatype}"
    return f"{each.source.dim} dimensions, {each.source.metric}, {kinds}, {each.count:,} of them"


def _codes(each: VectorPlan) -> str:
    if each.wanted.kind is Kind.NONE and each.current.kind is Kind.NONE:
        return "none"
    words = f"{each.current} -> {each.becomes} ({each.match.level})"
    if each.match.level is not Level.EXACT:
        words += f": {'; '.join(each.match.differences)}"
    if each.rescore is not None:
        words += f"; rescored as {each.rescore}"
    return words


def _parting(parting: Parting) -> str:
    counts = parting.counts
    words = f"{len(counts)} {parting.here}"
    if parting.apart:
        words += f" -> {len(set(parting.places.values()))} {parting.there}"
    else:
        words += " -> one collection, 'qadapt_part' in the payload says which"
    told = []
    for name, count in list(counts.items())[:SHOWN]:
        place = parting.places.get(name, name)
        told.append(f"{name}{'' if place == name else f' -> {place}'} ({count:,} rows)")
    return f"{words}: {', '.join(told)}{', ...' if len(counts) > SHOWN else ''}"


def _ids(plan: MigrationPlan) -> str:
    ids = plan.ids
    words = [f"{ids.kept:,} stay"]
    if ids.mapped:
        shown = ", ".join(f"{a!r} -> {b}" for a, b in ids.examples[:1])
        words.append(f"{ids.mapped:,} become UUIDs ({shown})")
    if ids.home:
        words.append(f"{ids.home:,} get their own back")
    return ", ".join(words)


def duration(seconds: float) -> str:
    """A length of time."""
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def check_lines(check: Check) -> Pairs:
    """What a comparison found."""
    return list(_check(check))


def _check(check: Check) -> Iterator[tuple[str, str]]:
    yield "rows", f"{check.source_count:,} in the source, {check.target_count:,} in the target"
    out = f"; {check.left_out:,} left out on purpose" if check.left_out else ""
    yield "ids", f"{check.missing:,} missing, {check.extra:,} not in the source{out}"
    bound = ""
    if check.how == "sample":
        bound = f"; of all rows at most {check.bound:.3%} differ (95 %)"
    yield "compared", f"{check.compared:,} rows, {check.different:,} differ{bound}"
    for each in check.recalls:
        name = f" of {each.vector!r}" if each.vector else ""
        sign = "" if each.passed else "  MISSED"
        exact = ""
        if each.exact is not None and each.source_exact is not None:
            exact = f"; by exact search {each.exact:.3f}, the source's own {each.source_exact:.3f}"
        yield (
            "recall",
            f"recall@{each.k}{name} {each.recall:.3f} ({each.low:.3f} to {each.high:.3f}) by "
            f"{each.queries} queries, the source's own {each.source_recall:.3f}{exact}; "
            f"gate {each.gate}{sign}; ground truth: {each.ground_truth} of the source",
        )
        if each.proof.reason:
            yield "but", each.proof.reason
    for note in check.notes:
        yield "note", note
    for each_difference in check.differences:
        yield "differs", f"{each_difference.id!r} {each_difference.what}: {each_difference.detail}"


def migration_lines(done: Migration) -> Pairs:
    """What became of a migration."""
    return list(_migration(done))


def _migration(done: Migration) -> Iterator[tuple[str, str]]:
    metrics = done.metrics
    before = f", {metrics.already:,} were there from before" if metrics.already else ""
    yield "copied", f"{metrics.rows:,} rows in {duration(metrics.copy_seconds)}{before}"
    if metrics.rows:
        yield (
            "rate",
            f"{metrics.rate:,.0f} rows/s, {metrics.megabytes_rate:.1f} MB/s of vectors, "
            f"{metrics.write_share:.0%} of the time in writes",
        )
    for key, why in done.left_out:
        yield "left out", f"{key!r}: {why}"
    for name, status in done.status.items():
        state = f"{status.state}" + (f": {status.reason}" if status.reason else "")
        label = f"codes of {name}" if name else "codes"
        yield label, f"{done.plan.vectors[name].becomes}: {state}"
    if done.caught_up is not None:
        caught = done.caught_up
        yield (
            "caught up",
            f"{caught.added:,} added, {caught.changed:,} changed, {caught.deleted:,} deleted "
            f"(by {caught.by})",
        )
    if done.check is not None:
        yield from check_lines(done.check)
    if done.cutover is not None:
        cut = done.cutover
        was = f", before at {cut.before!r}" if cut.before else ""
        yield "alias", f"{cut.alias!r} stands at {cut.now!r}{was}"
        yield "take back", cut.rollback
