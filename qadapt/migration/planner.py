"""Making the plan of a migration: schema, quantization, ids, losses, time."""

from __future__ import annotations

from qadapt.errors import AlreadyExistsError, InputError, UnsupportedError
from qadapt.local import codes, seen
from qadapt.local.settings import read_settings
from qadapt.migration import gaps, parting
from qadapt.migration.beside import Along, along, of_two
from qadapt.migration.carrier import Carrier
from qadapt.migration.endpoint import Endpoint
from qadapt.migration.extras import of_floats
from qadapt.migration.indexes import Indexes, sort_out
from qadapt.migration.options import Options
from qadapt.migration.plan import (
    ALLOWED,
    IdPlan,
    Loss,
    MigrationPlan,
    Probe,
    VectorPlan,
)
from qadapt.migration.probe import probe
from qadapt.migration.scan import scan
from qadapt.migration.translating import NONE, translated
from qadapt.model import (
    CollectionInfo,
    Kind,
    Level,
    Match,
    Metric,
    Quantization,
    Vector,
    VectorInfo,
)
from qadapt.planning.journal import utc_now
from qadapt.stores.base import OnProgress, Store, silent
from qadapt.version import __version__


def make_plan(
    source: Endpoint, target: Endpoint, options: Options, progress: OnProgress = silent
) -> MigrationPlan:
    """The plan; nothing is changed but for the scratch collection of the probe.

    Raises:
        NotFoundError: no such source.
        InputError: source and target are the same.
        AlreadyExistsError: the target is there and ``existing-target`` is not allowed.
        UnsupportedError: the target cannot hold the vectors.
    """
    source.must_be_there()
    if str(source) == str(target):
        raise InputError(
            "source and target are the same collection",
            hint="to change its quantization in place: qadapt apply",
        )
    existing = target.there
    if existing and "existing-target" not in options.allow:
        raise AlreadyExistsError(
            f"there is a collection {target.name!r} at {target.store.address} already",
            hint="choose another name behind '#', drop it, or add rows to it: "
            "--allow existing-target",
        )
    empty = source.store.measure(source.name, progress)
    info = seen.info(source.store, source.name)
    gaps.refuse_unread(source, info, empty)
    vectors = _vectors(source, target, info, options)
    come = along(source, target, {name: each.target for name, each in vectors.items()})
    if not vectors and not come.made.extras:
        told = "; ".join(f"{name}: {what}" for name, what in come.losses.items())
        raise UnsupportedError(
            f"the target cannot have any vector of {source.name!r}: {told}",
            hint="choose another target",
        )
    carrier = Carrier(
        target.store,
        {name: each.target for name, each in vectors.items()},
        keep_norms=options.keep_norms,
        beside=come.made,
        parting=come.parting,
    )
    scanned = scan(source, target, carrier, updated_at=options.updated_at, progress=progress)
    ways = parting.told(come.parting, scanned.parts, carrier)
    parts = parting.reading(source, ways, options.workers, scanned.count)
    tried = probe(
        source,
        target,
        carrier,
        vectors,
        parts,
        copied=options.probe and not existing,
        allow=options.allow,
    )
    sorted_out = sort_out(source, target, tried, come.made, ways, existing=existing)
    return MigrationPlan(
        source=source.store.address.identity,
        source_collection=source.name,
        target=target.store.address.identity,
        target_collection=target.name,
        source_server=source.store.server(),
        target_server=target.store.server(),
        count=scanned.count,
        vectors=vectors,
        ids=scanned.ids,
        probe=tried,
        losses=_losses(
            source, target, info, vectors, scanned.ids, tried, sorted_out, come, options, existing
        ),
        allow=options.allow,
        notes=(
            *gaps.notes(empty),
            *_notes(source, target, vectors, scanned.ids, tried, sorted_out, options),
            *come.notes,
        ),
        parts=len(parts),
        workers=options.workers,
        batch_bytes=options.batch_bytes,
        bytes=scanned.count * tried.row_bytes,
        seconds=_seconds(scanned.count, tried, min(options.workers, len(parts))),
        keep_norms=options.keep_norms,
        updated_at=options.updated_at,
        mark=scanned.mark,
        fingerprint=info.fingerprint,
        created=utc_now(),
        qadapt=__version__,
        indexes=sorted_out.made,
        beside=come.made.replace(parts=tuple(ways.places.values())),
        compared=carrier.compared,
        index_settings=sorted_out.settings,
        parting=ways,
    )


def _seconds(count: int, tried: Probe, lanes: int) -> float | None:
    """Reading and writing overlap; more lanes help, by how much nobody knows beforehand."""
    if tried.read_rate is None or tried.write_rate is None:
        return None
    return count / min(tried.read_rate, tried.write_rate)


# -- vectors -------------------------------------------------------------------------------------


def _vectors(
    source: Endpoint, target: Endpoint, info: CollectionInfo, options: Options
) -> dict[str, VectorPlan]:
    behind = gaps.left_behind(source)
    there = {name: each for name, each in info.vectors.items() if name not in behind}
    if not there and not source.store.beside(source.name).extras:
        empty = ", ".join(map(repr, info.unmeasured))
        raise UnsupportedError(
            f"{source.name!r} has no vector that qadapt can copy"
            + (f"; no row has {empty}" if empty else ""),
            hint="qadapt inspect shows them",
        )
    made = {name: _made(target.store, each, options) for name, each in there.items()}
    problem = target.store.refuses(made)
    if problem is not None:
        what = ", ".join(map(gaps.label, made)) or "a collection without a dense vector"
        raise UnsupportedError(
            f"the target cannot hold {what}: {problem}",
            hint="copy the vectors one by one with another target, or use a newer server",
        )
    return {
        name: _vector(source, target.store, each, made[name], options)
        for name, each in there.items()
    }


def _made(store: Store, now: VectorInfo, options: Options) -> Vector:
    """The target's vector: of the same datatype where it has that, else float32."""
    wanted = options.datatype
    if wanted is None and now.datatype in ("float16", "uint8"):
        same = Vector(now.dim, now.metric, now.datatype)
        return same if store.refuses({now.name: same}) is None else same.replace(datatype="float32")
    return Vector(now.dim, now.metric, wanted or "float32")


def _vector(
    source: Endpoint, store: Store, now: VectorInfo, made: Vector, options: Options
) -> VectorPlan:
    current = now.quantization.replace(rescore=None)
    asked = options.of(now.name)
    if asked is None and source.store.name != store.name:
        # The store's own fields mean something there alone.
        current = current.replace(native={})
    wanted, becomes, match = _quantization(store, current if asked is None else asked, made, now)
    settings = read_settings(source.store, source.name).of(now.name)
    return VectorPlan(
        source=now.vector,
        target=made,
        count=now.count,
        current=now.quantization,
        wanted=wanted,
        becomes=becomes,
        match=match,
        comparison=of_floats(store, made),
        held_by=now.held_by if asked is None else "store",
        rescore=settings.rescore if asked is None else asked.rescore,
    )


def _quantization(
    store: Store, wanted: Quantization, made: Vector, now: VectorInfo
) -> tuple[Quantization, Quantization, Match]:
    bare = wanted.replace(rescore=None)
    if bare.kind is Kind.FLOAT16 and now.datatype == "float16":
        # There it is the datatype, which is carried as such.
        return NONE, NONE, Match.of()
    if bare.kind is Kind.NONE:
        return NONE, NONE, Match.of()
    if now.held_by == "qadapt":
        return bare, bare, codes.match(bare)
    return translated(store, bare, made)


# -- what cannot be carried ----------------------------------------------------------------------


def _losses(
    source: Endpoint,
    target: Endpoint,
    info: CollectionInfo,
    vectors: dict[str, VectorPlan],
    ids: IdPlan,
    tried: Probe,
    sorted_out: Indexes,
    come: Along,
    options: Options,
    existing: bool,
) -> tuple[Loss, ...]:
    found = dict(source.store.beyond_rows(source.name))
    for name, what in come.losses.items():
        found[name] = "; ".join(filter(None, [found.get(name), what]))
    indexes = [*sorted_out.lost, *filter(None, [found.pop("payload-indexes", "")])]
    if indexes:
        found["payload-indexes"] = "; ".join(indexes)
    for name, each in vectors.items():
        if each.match.level is Level.UNSUPPORTED:
            why = "; ".join(each.match.differences)
            found["quantization"] = f"{gaps.label(name)} would have none: {why}"
        lacking = info.count - each.count
        if lacking > 0 and not target.store.traits.allows_missing_vectors:
            what = f"{lacking:,} rows lack {gaps.label(name)}"
            found["missing-vectors"] = ", ".join(
                filter(None, [what, come.losses.get("missing-vectors")])
            )
    if ids.duplicate_count:
        found["duplicate-ids"] = f"{ids.duplicate_count:,}: {_first(ids.duplicates)}"
        found["duplicate-ids"] += parting.clash(source, target, come.parting)
    if ids.impossible_count:
        found["impossible-rows"] = f"{ids.impossible_count:,} ids: {_first(ids.impossible)}"
    if tried.changed:
        found["payload"] = "; ".join(tried.changed)
    if existing:
        rows = target.store.count(target.name)
        found["existing-target"] = f"{target.name!r} has {rows:,} rows"
    for name in found:
        if name not in ALLOWED:
            raise InputError(f"the store names a loss that qadapt does not know: {name!r}")
    return tuple(Loss(name, what, name in options.allow) for name, what in found.items())


def _first(keys: tuple[object, ...]) -> str:
    return ", ".join(repr(key) for key in keys[:10]) + (", ..." if len(keys) > 10 else "")


def _notes(
    source: Endpoint,
    target: Endpoint,
    vectors: dict[str, VectorPlan],
    ids: IdPlan,
    tried: Probe,
    sorted_out: Indexes,
    options: Options,
) -> tuple[str, ...]:
    notes = []
    if sorted_out.by_itself:
        notes.append(
            f"{target.store.name} indexes {', '.join(sorted_out.by_itself)} for filters by itself"
        )
    for name, each in vectors.items():
        label = gaps.label(name)
        if each.comparison == "length 1" and not options.keep_norms:
            notes.append(
                f"{target.store.name} keeps cosine vectors at length 1: lengths of {label} are "
                "lost (--keep-norms keeps them in the payload); angles and ranks are not"
            )
        if each.comparison == "length 1" and options.keep_norms:
            notes.append(f"lengths of {label} go into the payload as 'qadapt_norms'")
        if source.store.traits.normalizes_cosine and each.source.metric is Metric.COSINE:
            notes.append(f"{source.store.name} has {label} at length 1 already: that is copied")
        if each.source.datatype != each.target.datatype:
            notes.append(
                f"{label} is {each.source.datatype} in the source and {each.target.datatype} "
                f"in the target: {_datatype_words(each)}"
            )
        if each.match.level is Level.DIFFERS:
            notes.append(f"{each.current} differs there: {'; '.join(each.match.differences)}")
    if ids.mapped:
        notes.append(
            f"{ids.mapped:,} ids become UUIDs; each row keeps its own as 'qadapt_source_id', and "
            "gets it back where it is copied to a store that takes it"
        )
    if ids.home:
        notes.append(f"{ids.home:,} rows were migrated before and get their own ids again")
    if tried.refused:
        notes.append(f"the target cannot hold every row: {tried.refused}")
    if tried.wrapped:
        notes.append(
            f"{', '.join(tried.wrapped)}: {target.store.name} does not keep these entries, so they "
            "travel as JSON text in 'qadapt_entries'; filters cannot ask for them there"
        )
    if tried.noted:
        notes.append(
            f"{', '.join(tried.noted)}: {target.store.name} keeps some of these numbers as their "
            "neighbours; the exact ones are noted in 'qadapt_entries', and come home"
        )
    return tuple(notes)


def _datatype_words(each: VectorPlan) -> str:
    if each.target.datatype == "float32":
        return "what is read is kept exactly; what the source rounded stays rounded"
    return "values are rounded; check allows for it"


def plan_of_two(source: Endpoint, target: Endpoint, options: Options) -> MigrationPlan:
    """How two collections that are there compare: the target's vectors as they are."""
    for end in (source, target):
        end.store.measure(end.name)
    info, other = (seen.info(end.store, end.name) for end in (source, target))
    beside = of_two(source, target)
    carrier = Carrier(target.store, {}, beside=beside)
    behind = gaps.left_behind(source)
    vectors = {}
    for name, now in info.vectors.items():
        if name in behind:
            continue
        if name not in other.vectors and name not in other.unmeasured:
            raise UnsupportedError(f"the target has no {gaps.label(name)}")
        # One that no row of the target has is there, and each row differs that should have it.
        there = other.vectors.get(name, now)
        if (now.dim, now.metric) != (there.dim, there.metric):
            raise UnsupportedError(
                f"{gaps.label(name)} has {now.dim} dimensions and {now.metric} in the source, "
                f"{there.dim} and {there.metric} in the target"
            )
        vectors[name] = VectorPlan(
            source=now.vector,
            target=there.vector,
            count=now.count,
            current=now.quantization,
            wanted=there.quantization,
            becomes=there.quantization,
            match=Match.of(),
            comparison=of_floats(target.store, there.vector),
        )
    return MigrationPlan(
        source=source.store.address.identity,
        source_collection=source.name,
        target=target.store.address.identity,
        target_collection=target.name,
        source_server=info.server,
        target_server=other.server,
        count=info.count,
        vectors=vectors,
        ids=IdPlan(),
        probe=Probe(),
        losses=(),
        allow=(),
        notes=(),
        parts=1,
        workers=1,
        batch_bytes=options.batch_bytes,
        bytes=0,
        seconds=None,
        keep_norms=options.keep_norms,
        updated_at=None,
        mark=None,
        fingerprint=info.fingerprint,
        created=utc_now(),
        qadapt=__version__,
        beside=beside,
        compared=carrier.compared,
        parting=parting.as_they_are(source, target),
    )
