"""Ids in a collection whose primary key is text, and in one whose primary key is a number.

A collection of Milvus has ids of one type. Those that qadapt creates have a VARCHAR key, in which
both kinds live: text as it is, and a number as ``#`` and twenty digits, so that numbers sort as
numbers. Text that begins with ``#`` itself gets ``#~`` before it. Collections made by others keep
what they have: numbers in an INT64 key, text as it is in a VARCHAR one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from qadapt.errors import InputError
from qadapt.model import Id

MAX_LENGTH = 512
MAX_NUMBER = 2**64 - 1
_NUMBER = re.compile(r"#(\d{20})")
_ESCAPE = "#~"


@dataclass(frozen=True)
class PrimaryKey:
    """The primary key of one collection.

    Attributes:
        field: its name.
        number: INT64; else VARCHAR.
        tagged: made by qadapt, so both kinds are in it.
        length: most bytes of a VARCHAR key.
        chars: the length is of characters, as Lite counts.
    """

    field: str
    number: bool = False
    tagged: bool = False
    length: int = MAX_LENGTH
    chars: bool = False

    def to_native(self, key: Id) -> int | str:
        """The key as the collection has it.

        Raises:
            InputError: one that it cannot have.
        """
        if self.number:
            if isinstance(key, str) or not -(2**63) <= key < 2**63:
                raise self._no(key, "its primary key is INT64: whole numbers of 64 bits")
            return key
        if isinstance(key, int):
            if not self.tagged:
                raise self._no(key, "its primary key is VARCHAR: text")
            if not 0 <= key <= MAX_NUMBER:
                raise self._no(key, "numbers are from 0 to 2^64 - 1")
            return f"#{key:020}"
        text = _ESCAPE + key if self.tagged and key.startswith("#") else key
        problem = _problem(key) or self._too_long(text)
        if problem:
            raise self._no(key, problem)
        return text

    def _too_long(self, text: str) -> str | None:
        size, unit = (len(text), "characters") if self.chars else (len(text.encode()), "bytes")
        return f"ids have at most {self.length} {unit}" if size > self.length else None

    def _no(self, key: Id, why: str) -> InputError:
        return InputError(f"the id {key!r:.100} is not one that this collection can have: {why}")

    def from_native(self, key: int | str) -> Id:
        """The id as the user has it."""
        if not self.tagged or isinstance(key, int) or not key.startswith("#"):
            return key
        found = _NUMBER.fullmatch(key)
        return int(found[1]) if found else key.removeprefix(_ESCAPE)

    def checked(self, ids: Sequence[Id]) -> list[int | str]:
        """All of them.

        Raises:
            InputError
        """
        return [self.to_native(key) for key in ids]

    def possible(self, ids: Sequence[Id]) -> list[int | str]:
        """Those that may be there, once each, in order."""
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
        return "it holds a lone surrogate, which is not Unicode"
    return "it holds a NUL character" if "\0" in key else None
