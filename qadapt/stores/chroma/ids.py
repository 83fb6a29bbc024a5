"""Ids: Chroma stores texts, so integers are stored as decimal numbers.

A collection either has integers among its ids or not. If it has, a text that is a decimal number
is an integer, and such texts cannot be written. A setting in the collection's metadata records it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress

from qadapt.errors import InputError
from qadapt.model import Id
from qadapt.model.numbers import shown
from qadapt.stores.decimal_ids import numbers

_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,19}")
LEAST, MOST, DIGITS = -(2**63), 2**64 - 1, 20


def is_number(text: str) -> bool:
    """Whether a text is the decimal form of an integer."""
    return _NUMBER.fullmatch(text) is not None


def accepts(key: Id) -> bool:
    """Whether a new collection can have an id: a text of Unicode, or an integer of 64 bits."""
    if isinstance(key, int):
        return LEAST <= key <= MOST
    return bool(key) and not any("\ud800" <= each <= "\udfff" for each in key)


def check(ids: Sequence[Id]) -> None:
    """Check that Chroma can store ids.

    Raises:
        InputError
    """
    for key in ids:
        if not accepts(key):
            raise InputError(
                f"the id {shown(key)} is not valid in Chroma",
                hint="use integers of 64 bits, or texts that are not empty",
            )


def encode(key: Id) -> str:
    """The text that Chroma stores."""
    return str(key)


def decode(text: str, *, integers: bool) -> Id:
    """The id of a text.

    Args:
        integers: decimal numbers of this collection are integers.
    """
    return int(text) if integers and is_number(text) else text


def decoded(texts: Iterable[str], *, integers: bool) -> list[Id]:
    """The ids of texts."""
    found = list(texts)
    if not integers or not found:
        return list(found)
    if max(map(len, found)) <= DIGITS:
        plain = numbers(found)
        if plain is not None:
            return list(plain)
        with suppress(ValueError):
            signed = list(map(int, found))
            if list(map(str, signed)) == found:
                return list(signed)
    return [decode(text, integers=True) for text in found]


def possible(ids: Sequence[Id], *, integers: bool) -> list[str]:
    """The texts of the ids that a collection can have, without duplicates, in order."""
    wanted = (key for key in ids if accepts(key))
    return list(dict.fromkeys(encode(key) for key in wanted if _fits(key, integers)))


def check_kind(ids: Sequence[Id], *, integers: bool) -> None:
    """Check that ids are distinct texts in a collection.

    Raises:
        InputError
    """
    for key in ids:
        if not _fits(key, integers):
            raise _ambiguous(key, integers)


def _fits(key: Id, integers: bool) -> bool:
    """Whether ``decode`` returns an id unchanged."""
    if isinstance(key, int):
        return integers
    return not (integers and is_number(key))


def _ambiguous(key: Id, integers: bool) -> InputError:
    if integers:
        return InputError(
            f"the id {key!r} is a text, and the collection has integers as ids: Chroma stores both "
            f"as the text {key!r}",
            hint=f"write the integer {key}, or use another text",
        )
    return InputError(
        f"the id {key!r} is an integer, and the collection has decimal numbers as texts: Chroma "
        f"stores both as the text '{key}'",
        hint=f"write the text '{key}', or create another collection for integers",
    )
