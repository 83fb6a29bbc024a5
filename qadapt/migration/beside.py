"""What a collection has beside its vectors: what comes along to the target, and what does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from qadapt.errors import UnsupportedError
from qadapt.migration import extras as travelling
from qadapt.migration import parting
from qadapt.migration.carrier import PART
from qadapt.migration.declared import LOSS, declared
from qadapt.migration.endpoint import Endpoint
from qadapt.migration.plan import ALLOWED, Parting
from qadapt.model import Beside, Vector

# The name of a loss, by what ``Store.refuses_beside`` refuses.
_EXTRAS = {"sparse": "sparse-vectors", "multi": "multivectors"}


@dataclass(frozen=True)
class Along:
    """What becomes of it.

    Attributes:
        made: what the target is created with.
        losses: the name of a loss, and what would stay behind.
        notes: what a reader must know.
        parting: how rows go from part to part; the parts are not told yet.
    """

    made: Beside
    losses: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    parting: Parting = field(default_factory=Parting)


def along(source: Endpoint, target: Endpoint, vectors: Mapping[str, Vector] | None = None) -> Along:
    """What the target is created with of what the source has.

    Args:
        vectors: the dense ones that the target is created with.
    """
    there = source.store.beside(source.name)
    wanted = there if source.related(target) else _common(there)
    wanted = wanted.replace(extras=travelling.fitting(wanted.extras, target.store))
    made_there = {}
    if target.there:
        made_there = dict(target.store.beside(target.name).extras)
        refused: Mapping[str, str] = travelling.absent(wanted.extras, target)
    else:
        more = travelling.beside_dense(wanted.extras, target, vectors or {})
        refused = {**more, **target.store.refuses_beside(wanted)}
    losses: dict[str, list[str]] = {}
    extras = {}
    for name, extra in wanted.extras.items():
        why = refused.get(f"extras.{name}")
        if why is None:
            extras[name] = made_there.get(name, extra)
        else:
            losses.setdefault(_EXTRAS[extra.kind], []).append(f"{name or 'unnamed'} ({why})")
    if not target.store.traits.allows_missing_vectors:
        for words in travelling.gaps(source, extras):
            losses.setdefault("missing-vectors", []).append(words)
    fields = declared(source, target, there, related=source.related(target))
    if fields.lost is not None:
        losses.setdefault(LOSS, []).append(fields.lost)
    ways, why = parting.planned(source, target, wanted)
    if why is not None:
        losses[_parts_are(source)] = [_come_into_one(there, why)]
    if there.asleep:
        losses["inactive-tenants"] = [_asleep(there)]
    keyed = there.keyed if why is None else None
    made = Beside(
        extras=extras,
        schema=fields.schema,
        parted=ways.apart or keyed is not None,
        keyed=keyed,
    )
    notes = (*travelling.notes(there.extras, extras, source, target), *fields.notes)
    told = {name: ", ".join(words) for name, words in losses.items()}
    return Along(made, told, notes, ways)


def of_two(source: Endpoint, target: Endpoint) -> Beside:
    """What two collections have both, to compare it; what the target cannot have is left out.

    Raises:
        UnsupportedError: the target lacks an extra vector that it could have, or has another.
    """
    there, other = (end.store.beside(end.name) for end in (source, target))
    alone = Beside(extras=there.extras)
    wanted = alone if source.related(target) else _common(alone)
    refused = target.store.refuses_beside(wanted)
    extras = {}
    for name, extra in there.extras.items():
        if name in other.extras:
            if not travelling.alike(extra, other.extras[name]):
                raise UnsupportedError(
                    f"vector {name!r} is {travelling.words(extra)} in the source, and "
                    f"{travelling.words(other.extras[name])} in the target"
                )
            extras[name] = other.extras[name]
        elif f"extras.{name}" not in refused:
            raise UnsupportedError(f"the target has no vector {name!r}")
    return Beside(extras=extras, schema=other.schema)


def _parts_are(source: Endpoint) -> str:
    words = source.store.traits.partition_kind
    return words if words in ALLOWED else "partitions"


def _come_into_one(there: Beside, why: str) -> str:
    if there.keyed is not None:
        return f"those of the partition key {there.keyed!r} ({why})"
    return (
        f"{', '.join(there.parts[:10])}{', ...' if len(there.parts) > 10 else ''} ({why}); rows "
        f"come into one collection, and {PART!r} in their payloads says which they were in"
    )


def _asleep(there: Beside) -> str:
    return (
        f"{len(there.asleep)}, whose rows cannot be read: {', '.join(there.asleep[:10])}"
        f"{', ...' if len(there.asleep) > 10 else ''}; activate them first with the client: "
        f"collection.tenants.activate({list(there.asleep[:3])!r})"
    )


def create(target: Endpoint, vectors: Mapping[str, Vector], beside: Beside) -> None:
    """Create the target, without codes; a store of a plug-in need not know of ``beside``."""
    if beside:
        target.store.create(target.name, vectors, {}, beside)
    else:
        target.store.create(target.name, vectors, {})


def _common(there: Beside) -> Beside:
    """Without what means something in the source's own words alone."""
    extras = {name: extra.replace(native={}) for name, extra in there.extras.items()}
    return Beside(extras, {}, there.parts, there.parted, there.keyed)
