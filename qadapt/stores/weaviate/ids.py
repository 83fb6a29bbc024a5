"""Ids of Weaviate: UUIDs only."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from qadapt.errors import InputError
from qadapt.model import Id
from qadapt.model.numbers import shown
from qadapt.stores import uuids


def canonical(key: Id) -> str | None:
    """The id in the server's form; None if it is not a valid id."""
    return uuids.canonical(key) if isinstance(key, str) else None


def checked(ids: Sequence[Id]) -> list[str]:
    """All ids in the server's form.

    Raises:
        InputError: an id is not a UUID, or two ids are the same UUID.
    """
    return uuids.checked(ids, canonical, _refused)


def _refused(key: Id) -> InputError:
    return InputError(
        f"the id {shown(key)} is not a valid Weaviate id (UUID)",
        hint="derive a UUID with uuid.uuid5(NAMESPACE, str(id)), with one namespace per type "
        "of id, and store the original id in the payload; nothing was written",
    )


def possible(ids: Sequence[Id]) -> list[str]:
    """The valid ids, without duplicates, in order."""
    return uuids.possible(ids, canonical)


def split(first: str, last: str, n: int) -> list[tuple[str | None, str | None]]:
    """At most ``n`` ranges of ids that cover all UUIDs; each is (after, up to and including).

    The bounds are spread evenly between the first and the last existing id, which gives ranges of
    similar size for random and time-based UUIDs and for numbers written as UUIDs.
    """
    low, high = uuid.UUID(first).int, uuid.UUID(last).int
    n = max(1, min(n, high - low))
    cuts: list[str | None] = [
        str(uuid.UUID(int=low + (high - low) * at // n)) for at in range(1, n)
    ]
    return list(zip([None, *cuts], [*cuts, None], strict=True))
