"""Ids that Weaviate has: UUIDs alone."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from qadapt.errors import InputError
from qadapt.model import Id
from qadapt.stores import uuids


def canonical(key: Id) -> str | None:
    """The id as the server gives it back; None for one that it cannot have."""
    return uuids.canonical(key) if isinstance(key, str) else None


def checked(ids: Sequence[Id]) -> list[str]:
    """All ids as the server gives them back.

    Raises:
        InputError: one that is no UUID, or two spellings of the same.
    """
    return uuids.checked(ids, canonical, _refused)


def _refused(key: Id) -> InputError:
    return InputError(
        f"the id {key!r} is not one that Weaviate can have: its ids are UUIDs",
        hint="make a UUID of it with uuid.uuid5(NAMESPACE, str(id)), one namespace for "
        "each kind of id, and keep the id itself in the payload; nothing was written",
    )


def possible(ids: Sequence[Id]) -> list[str]:
    """The ids that may be there, once each, in order."""
    return uuids.possible(ids, canonical)


def split(first: str, last: str, n: int) -> list[tuple[str | None, str | None]]:
    """``n`` ranges of ids, or fewer, that hold all UUIDs; each is (behind, up to).

    Evenly between the first and the last that are there: so they are of like size for random
    UUIDs, for those made of the time, and for numbers written as UUIDs.
    """
    low, high = uuid.UUID(first).int, uuid.UUID(last).int
    n = max(1, min(n, high - low))
    cuts: list[str | None] = [
        str(uuid.UUID(int=low + (high - low) * at // n)) for at in range(1, n)
    ]
    return list(zip([None, *cuts], [*cuts, None], strict=True))
