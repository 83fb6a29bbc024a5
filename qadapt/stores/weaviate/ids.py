"""Ids that Weaviate has: UUIDs alone."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from qadapt.errors import InputError
from qadapt.model import Id


def canonical(key: Id) -> str | None:
    """The id as the server gives it back; None for one that it cannot have."""
    if not isinstance(key, str):
        return None
    try:
        return str(uuid.UUID(key))
    except ValueError:
        return None


def checked(ids: Sequence[Id]) -> list[str]:
    """All ids as the server gives them back.

    Raises:
        InputError: one that is no UUID, or two spellings of the same.
    """
    found: dict[str, Id] = {}
    for key in ids:
        good = canonical(key)
        if good is None:
            raise InputError(
                f"the id {key!r} is not one that Weaviate can have: its ids are UUIDs",
                hint="make a UUID of it with uuid.uuid5(NAMESPACE, str(id)), one namespace for "
                "each kind of id, and keep the id itself in the payload; nothing was written",
            )
        if good in found:
            raise InputError(f"the ids {found[good]!r} and {key!r} are the same UUID")
        found[good] = key
    return list(found)


def possible(ids: Sequence[Id]) -> list[str]:
    """The ids that may be there, once each, in order."""
    return list(dict.fromkeys(good for key in ids if (good := canonical(key)) is not None))


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
