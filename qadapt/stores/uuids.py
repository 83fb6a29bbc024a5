"""Canonical UUID ids and duplicate checks."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from qadapt.errors import InputError
from qadapt.model import Id

Key = TypeVar("Key", bound=Id)
Canonical = Callable[[Id], Key | None]
_USUAL = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch


def usual(text: str) -> bool:
    """Whether this is a UUID in canonical form."""
    return _USUAL(text) is not None


def canonical(text: str) -> str | None:
    """The canonical form of a UUID; None if the text is not a UUID."""
    if usual(text):  # most are canonical, and uuid.UUID takes ten times as long to confirm it
        return text
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return None


def checked(
    ids: Sequence[Id], canonical: Canonical[Key], refused: Callable[[Id], InputError]
) -> list[Key]:
    """Convert all ids to canonical form.

    Args:
        canonical: converts one id; None for an id that the engine cannot store.
        refused: returns the error for an invalid id.

    Raises:
        InputError: an invalid id, or two spellings of the same id.
    """
    found: dict[Key, Id] = {}
    for key in ids:
        good = canonical(key)
        if good is None:
            raise refused(key)
        if good in found:
            raise InputError(
                f"the ids {found[good]!r} and {key!r} are the same UUID",
                hint="write UUIDs in one form: lower case, with hyphens",
            )
        found[good] = key
    return list(found)


def possible(ids: Iterable[Id], canonical: Canonical[Key]) -> list[Key]:
    """The valid ids in canonical form, without duplicates, in order."""
    return list(dict.fromkeys(good for key in ids if (good := canonical(key)) is not None))
