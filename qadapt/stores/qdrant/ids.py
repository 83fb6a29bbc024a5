"""Valid ids of the engine: integers from 0 to 2^64 - 1, and UUIDs."""

from __future__ import annotations

from collections.abc import Sequence

from qadapt.errors import InputError
from qadapt.model import Id
from qadapt.model.numbers import shown
from qadapt.stores import uuids

MAX = 2**64 - 1


def canonical(key: Id) -> Id | None:
    """The id in the engine's format; None if it is not valid."""
    if isinstance(key, str):
        return uuids.canonical(key)
    return key if 0 <= key <= MAX else None


def checked(ids: Sequence[Id]) -> list[Id]:
    """Convert ids to the engine's format.

    Raises:
        InputError: an invalid id, or two spellings of the same id.
    """
    return uuids.checked(ids, canonical, _refused)


def _refused(key: Id) -> InputError:
    return InputError(
        f"{shown(key)} is not a valid Qdrant id (unsigned integer or UUID)",
        hint="ids must be integers from 0 to 2^64 - 1 or UUIDs; derive a UUID from another id "
        "with uuid.uuid5 and store the original id in the payload",
    )


def possible(ids: Sequence[Id]) -> list[Id]:
    """The valid ids without duplicates, in order."""
    return uuids.possible(ids, canonical)
