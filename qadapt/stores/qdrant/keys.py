"""Ids that the engine has: whole numbers from 0 to 2^64 - 1, and UUIDs."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from qadapt.errors import InputError
from qadapt.model import Id

MAX = 2**64 - 1


def canonical(key: Id) -> Id | None:
    """The id as the engine gives it back; None for one that it cannot have."""
    if isinstance(key, str):
        try:
            return str(uuid.UUID(key))
        except ValueError:
            return None
    return key if 0 <= key <= MAX else None


def checked(ids: Sequence[Id]) -> list[Id]:
    """All ids as the engine gives them back.

    Raises:
        InputError: one that it cannot have, or two spellings of the same.
    """
    found: dict[Id, Id] = {}
    for key in ids:
        good = canonical(key)
        if good is None:
            raise InputError(
                f"the id {key!r} is not one that Qdrant can have",
                hint="ids are whole numbers from 0 to 2^64 - 1 or UUIDs; make a UUID of another "
                "id with uuid.uuid5 and keep the id itself in the payload",
            )
        if good in found:
            raise InputError(f"the ids {found[good]!r} and {key!r} are the same UUID")
        found[good] = key
    return list(found)


def possible(ids: Sequence[Id]) -> list[Id]:
    """The ids that may be there, once each, in order."""
    return list(dict.fromkeys(good for key in ids if (good := canonical(key)) is not None))
