"""Ids of tables with a primary key: signed integers of 64 bits, or texts."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from qadapt.errors import InputError
from qadapt.model import Id

INT64 = 2**63


def accepts(key: Id) -> bool:
    """A signed integer of 64 bits, or a text that UTF-8 can represent, without NUL."""
    return -INT64 <= key < INT64 if isinstance(key, int) else is_text(key)


def is_text(key: str) -> bool:
    """Whether a text is without NUL and lone surrogates."""
    return "\0" not in key and (
        key.isascii() or not any("\ud800" <= each <= "\udfff" for each in key)
    )


def are_integers(ids: Sequence[Id]) -> bool:
    """Whether ids are integers, which are not empty; otherwise they are texts.

    Raises:
        InputError: both.
    """
    numbers = sum(isinstance(each, int) for each in ids)
    if 0 < numbers < len(ids):
        raise InputError(
            "the ids are both integers and texts, but the ids of a table have one type",
            hint="use one type of id",
        )
    return numbers > 0


def ranges(ends: Sequence[Any]) -> list[dict[str, Any]]:
    """Scan ranges of the ids, whose bounds are the last ids of all ranges.

    Rows with later ids belong to the last range.
    """
    return [
        {name: each for name, each in (("after", low), ("through", high)) if each is not None}
        for low, high in itertools.pairwise([None, *ends[:-1], None])
    ]
