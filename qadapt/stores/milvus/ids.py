"""Convert ids to primary keys of Milvus and back.

The primary key of a Milvus collection has one type. Collections created by qadapt have a VARCHAR
key that stores both kinds of ids: a string unchanged, and an integer as ``#`` and twenty digits, so
that integers sort numerically. A string that starts with ``#`` gets the prefix ``#~``. Other
collections use ids unchanged: integers in an INT64 key, strings in a VARCHAR key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from qadapt.errors import InputError
from qadapt.model import Id
from qadapt.model.numbers import shown

MAX_LENGTH = 512
MAX_NUMBER = 2**64 - 1
_NUMBER = re.compile(r"#(\d{20})")
_ESCAPE = "#~"


@dataclass(frozen=True)
class PrimaryKey:
    """The primary key of one collection.

    Attributes:
        field: its name.
        number: whether it is INT64; otherwise VARCHAR.
        tagged: whether qadapt created the collection, so the key stores integers and strings.
        length: the maximum length of a VARCHAR key.
        chars: whether the length counts characters, as in Lite, instead of bytes.
    """

    field: str
    number: bool = False
    tagged: bool = False
    length: int = MAX_LENGTH
    chars: bool = False

    def to_native(self, key: Id) -> int | str:
        """The primary key of an id.

        Raises:
            InputError: the collection cannot store the id.
        """
        if self.number:
            if isinstance(key, str) or not -(2**63) <= key < 2**63:
                raise self._no(key, "the primary key is INT64 and needs a signed 64-bit integer")
            return key
        if isinstance(key, int):
            if not self.tagged:
                raise self._no(key, "the primary key is VARCHAR and needs a string")
            if not 0 <= key <= MAX_NUMBER:
                raise self._no(key, "integers must be between 0 and 2^64 - 1")
            return f"#{key:020}"
        text = _ESCAPE + key if self.tagged and key.startswith("#") else key
        problem = _problem(key) or self._too_long(text)
        if problem:
            raise self._no(key, problem)
        return text

    def _too_long(self, text: str) -> str | None:
        size, unit = (len(text), "characters") if self.chars else (len(text.encode()), "bytes")
        return f"ids can have at most {self.length} {unit}" if size > self.length else None

    def _no(self, key: Id, why: str) -> InputError:
        return InputError(
            f"{shown(key)} is not a valid id for this collection: {why}",
            hint="use ids of the type and length that the primary key of the collection has",
        )

    def from_native(self, key: int | str) -> Id:
        """The id of a primary key."""
        if not self.tagged or isinstance(key, int) or not key.startswith("#"):
            return key
        found = _NUMBER.fullmatch(key)
        return int(found[1]) if found else key.removeprefix(_ESCAPE)

    def all_from_native(self, keys: Iterable[int | str]) -> list[Id]:
        """The ids of primary keys; integers take a third of the time of ``from_native``."""
        found = list(keys)
        if not self.tagged or not found or not isinstance(found[0], str):
            return found
        # Of numbers only, the text without "#" has 20 digits for each.
        digits = "".join([key[1:] for key in found if len(key) == 21 and key[0] == "#"])  # type: ignore[arg-type, index]
        if len(digits) == 20 * len(found) and digits.isdecimal():
            return [int(key[1:]) for key in found]  # type: ignore[index]
        return [self.from_native(key) for key in found]

    def checked(self, ids: Sequence[Id]) -> list[int | str]:
        """The primary keys of ids.

        Raises:
            InputError: the collection cannot store one of the ids.
        """
        return [self.to_native(key) for key in ids]

    def possible(self, ids: Sequence[Id]) -> list[int | str]:
        """The primary keys of ids that the collection can store, without duplicates, in order."""
        found: dict[int | str, None] = {}
        for key in ids:
            try:
                found[self.to_native(key)] = None
            except InputError:
                continue
        return list(found)


def _problem(key: str) -> str | None:
    if not key:
        return "it is empty"
    if any("\ud800" <= char <= "\udfff" for char in key):
        return "it contains a lone surrogate, which is not valid Unicode"
    return "it contains a NUL character" if "\0" in key else None
