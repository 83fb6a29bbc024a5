"""Ids of engines that know UUIDs: one way to write them, and none twice."""

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
    """Whether this is a UUID as engines give it back."""
    return _USUAL(text) is not None


def canonical(text: str) -> str | None:
    """A UUID as engines give it back; None for what is none."""
    if usual(text):  # most are, and the class takes ten times as long to say the same
        return text
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return None


def checked(
    ids: Sequence[Id], canonical: Canonical[Key], refused: Callable[[Id], InputError]
) -> list[Key]:
    """All ids as the engine gives them back.

    Args:
        canonical: one of them; None for one that the engine cannot have.
        refused: the error for such a one.

    Raises:
        InputError: one that it cannot have, or two spellings of the same.
    """
    found: dict[Key, Id] = {}
    for key in ids:
        good = canonical(key)
        if good is None:
            raise refused(key)
        if good in found:
            raise InputError(f"the ids {found[good]!r} and {key!r} are the same UUID")
        found[good] = key
    return list(found)


def possible(ids: Iterable[Id], canonical: Canonical[Key]) -> list[Key]:
    """The ids that may be there, once each, in order."""
    return list(dict.fromkeys(good for key in ids if (good := canonical(key)) is not None))
