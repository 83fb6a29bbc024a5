"""Ids that the engine has: whole numbers from 0 to 2^64 - 1, and UUIDs."""

from __future__ import annotations

from collections.abc import Sequence

from qadapt.errors import InputError
from qadapt.model import Id
from qadapt.stores import uuids

MAX = 2**64 - 1


def canonical(key: Id) -> Id | None:
    """The id as the engine gives it back; None for one that it cannot have."""
    if isinstance(key, str):
        return uuids.canonical(key)
    return key if 0 <= key <= MAX else None


def checked(ids: Sequence[Id]) -> list[Id]:
    """All ids as the engine gives them back.

    Raises:
        InputError: one that it cannot have, or two spellings of the same.
    """
    return uuids.checked(ids, canonical, _refused)


def _refused(key: Id) -> InputError:
    return InputError(
        f"{key!r} is not a valid Qdrant id (unsigned integer or UUID)",
        hint="ids must be integers from 0 to 2^64 - 1 or UUIDs; derive a UUID from another id "
        "with uuid.uuid5 and store the original id in the payload",
    )


def possible(ids: Sequence[Id]) -> list[Id]:
    """The ids that may be there, once each, in order."""
    return uuids.possible(ids, canonical)
