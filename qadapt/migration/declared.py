"""How entries of the payload are declared: what of that a target is created with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from qadapt.migration.endpoint import Endpoint
from qadapt.model import Beside

LOSS = "typed-fields"
# Words of a schema for what no copy has.
BEHIND = "behind"


@dataclass(frozen=True)
class Declared:
    """What becomes of it.

    Attributes:
        schema: of the target, in the words of its family.
        lost: what is refused, or None.
        notes: what a reader must know.
    """

    schema: Mapping[str, Any] = field(default_factory=dict)
    lost: str | None = None
    notes: tuple[str, ...] = ()


def declared(source: Endpoint, target: Endpoint, there: Beside, *, related: bool) -> Declared:
    """The target's schema, of what the source has ``there``.

    Where the target is of another family, values come along and the declaration does not: that is
    told, and no reason to refuse. Where the target is of the same family and cannot make it, it is.
    """
    wanted = {name: each for name, each in there.schema.items() if name != BEHIND}
    notes = []
    if behind := there.schema.get(BEHIND):
        notes.append(f"{LOSS}: {', '.join(behind)} of {source.store.name} stay behind")
    if target.there:
        own = target.store.beside(target.name).schema
        if related and dict(wanted) != dict(own):
            notes.append(f"{LOSS}: the target is there and keeps its own schema")
        return Declared(own, None, tuple(notes))
    if not related:
        if words := entries(wanted):
            notes.append(
                f"{LOSS}: {words} of {source.store.name} become entries of the payload in "
                f"{target.store.name}: values come along, what was declared does not"
            )
        return Declared({}, None, tuple(notes))
    problem = target.store.refuses_beside(Beside(schema=wanted)).get("schema") if wanted else None
    if problem is not None:
        return Declared({}, problem, tuple(notes))
    return Declared(wanted, None, tuple(notes))


def entries(schema: Mapping[str, Any]) -> str:
    """The entries of payloads in words; the primary key is none, and becomes the id."""
    key = (schema.get("key") or {}).get("name")
    found = {k: v for k, v in (schema.get("entries") or {}).items() if k != key}
    return ", ".join(f"{name} ({words})" for name, words in found.items())
