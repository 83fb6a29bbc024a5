"""How entries of the payload are declared: what of that a target is created with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from qadapt.migration.endpoint import Endpoint
from qadapt.model import Beside

LOSS = "typed-fields"


@dataclass(frozen=True)
class Declared:
    """What becomes of it.

    Attributes:
        schema: of the target, in the words of its family.
        lost: what is refused, or None.
        note: what a reader must know, or None.
    """

    schema: Mapping[str, Any] = field(default_factory=dict)
    lost: str | None = None
    note: str | None = None


def declared(source: Endpoint, target: Endpoint, there: Beside, *, related: bool) -> Declared:
    """The target's schema, of what the source has ``there``.

    Where the target is of another family, values come along and the declaration does not: that is
    told, and no reason to refuse. Where the target is of the same family and cannot make it, it is.
    """
    wanted = there.schema
    if target.there:
        own = target.store.beside(target.name).schema
        other = related and dict(wanted) != dict(own)
        note = f"{LOSS}: the target is there and keeps its own schema" if other else None
        return Declared(own, None, note)
    if not related:
        words = entries(wanted)
        note = (
            f"{LOSS}: {words} of {source.store.name} become entries of the payload in "
            f"{target.store.name}: values come along, what was declared does not"
        )
        return Declared({}, None, note if words else None)
    problem = target.store.refuses_beside(Beside(schema=wanted)).get("schema") if wanted else None
    if problem is not None:
        return Declared({}, problem)
    return Declared(wanted)


def entries(schema: Mapping[str, Any]) -> str:
    """A schema in words."""
    found = schema.get("entries") or {}
    return ", ".join(f"{name} ({words})" for name, words in found.items())
