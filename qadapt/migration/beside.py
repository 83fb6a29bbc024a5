"""What a collection has beside its vectors: what comes along to the target, and what does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from qadapt.migration.declared import LOSS, declared
from qadapt.migration.endpoint import Endpoint
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
    """

    made: Beside
    losses: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def along(source: Endpoint, target: Endpoint) -> Along:
    """What the target is created with of what the source has."""
    there = source.store.beside(source.name)
    wanted = there if source.related(target) else _common(there)
    refused = target.store.refuses_beside(wanted)
    losses: dict[str, list[str]] = {}
    extras = {}
    for name, extra in wanted.extras.items():
        why = refused.get(f"extras.{name}")
        if why is None:
            extras[name] = extra
        else:
            losses.setdefault(_EXTRAS[extra.kind], []).append(f"{name} ({why})")
    fields = declared(source, target, there, related=source.related(target))
    if fields.lost is not None:
        losses.setdefault(LOSS, []).append(fields.lost)
    made = Beside(extras=extras, schema=fields.schema)
    told = {name: ", ".join(words) for name, words in losses.items()}
    return Along(made, told, fields.notes)


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
