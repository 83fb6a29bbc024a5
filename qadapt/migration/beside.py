"""What a collection has beside its vectors: what comes along to the target, and what does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from qadapt.migration import parting
from qadapt.migration.carrier import PART
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
        parting: how rows go from part to part; the parts are not told yet.
    """

    made: Beside
    losses: Mapping[str, str] = field(default_factory=dict)
    parting: Parting = field(default_factory=Parting)


def along(source: Endpoint, target: Endpoint) -> Along:
    """What the target is created with of what the source has."""
    there = source.store.beside(source.name)
    wanted = there if _related(source, target) else _common(there)
    refused = target.store.refuses_beside(wanted)
    losses: dict[str, list[str]] = {}
    extras = {}
    for name, extra in wanted.extras.items():
        why = refused.get(f"extras.{name}")
        if why is None:
            extras[name] = extra
        else:
            losses.setdefault(_EXTRAS[extra.kind], []).append(f"{name} ({why})")
    ways, why = parting.planned(source, target, wanted)
    if why is not None:
        losses[_parts_are(source)] = [_come_into_one(there, why)]
    if there.asleep:
        losses["inactive-tenants"] = [_asleep(there)]
    keyed = there.keyed if why is None else None
    made = Beside(extras=extras, parted=ways.apart or keyed is not None, keyed=keyed)
    return Along(made, {name: ", ".join(words) for name, words in losses.items()}, ways)


def _parts_are(source: Endpoint) -> str:
    words = source.store.parts_are
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


def _related(source: Endpoint, target: Endpoint) -> bool:
    """Whether both speak of schemas and extra vectors in the same words."""
    return _family(source) == _family(target)


def _family(end: Endpoint) -> str:
    return end.store.family or end.store.name


def _common(there: Beside) -> Beside:
    """Without what means something in the source's own words alone."""
    extras = {name: extra.replace(native={}) for name, extra in there.extras.items()}
    return Beside(extras, {}, there.parts, there.parted, there.keyed)
