"""Ids: ``_id`` of a document is a text of 1 to 512 bytes.

In an index that qadapt created, an integer is stored as its digits and read as an integer. A text
that looks like an integer would be read as one, so it is refused there. In another index, all ids
are texts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from qadapt.errors import InputError
from qadapt.model import Id
from qadapt.model.numbers import shown
from qadapt.stores.decimal_ids import numbers

MAX_BYTES = 512
_INTEGER = re.compile(r"0|-?[1-9][0-9]*")


def accepts(key: Id) -> bool:
    """Whether an index that qadapt created can store an id unchanged."""
    return problem(key, managed=True) is None


def problem(key: Id, *, managed: bool) -> str | None:
    """Why an index cannot have an id; None if it can."""
    if isinstance(key, int):
        return None if managed else "is an integer, and ids of this index are texts"
    if managed and _INTEGER.fullmatch(key):
        return "is a text that would be read as an integer"
    if any("\ud800" <= each <= "\udfff" for each in key):
        return "has a lone surrogate"
    if not 1 <= len(key.encode()) <= MAX_BYTES:
        return f"does not have 1 to {MAX_BYTES} bytes"
    return None


def check(ids: Iterable[Id], *, managed: bool) -> None:
    """Check that an index can have these ids.

    Raises:
        InputError
    """
    for each in ids:
        why = problem(each, managed=managed)
        if why is not None:
            raise InputError(
                f"the id {shown(each)} {why}",
                hint="use integers, or texts that are not integers, of at most 512 bytes"
                if managed
                else "use texts of at most 512 bytes",
            )


def possible(ids: Sequence[Id], *, managed: bool) -> list[Id]:
    """The ids that an index may have, without duplicates."""
    return [each for each in dict.fromkeys(ids) if problem(each, managed=managed) is None]


def read_all(texts: Sequence[str], *, managed: bool) -> list[Id]:
    """The ids of several documents."""
    if not managed:
        return list(texts)
    plain = numbers(texts)
    return [read(each, managed=True) for each in texts] if plain is None else list(plain)


def read(text: str, *, managed: bool) -> Id:
    """The id of ``_id``."""
    return int(text) if managed and _INTEGER.fullmatch(text) else text
