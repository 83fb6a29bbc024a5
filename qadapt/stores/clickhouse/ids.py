"""Ids of a table: integers of its key, texts, or UUIDs as texts."""

from __future__ import annotations

import re
from collections.abc import Sequence

from qadapt.errors import InputError
from qadapt.model import Id
from qadapt.model.numbers import shown
from qadapt.stores.clickhouse.schema import Column, Table

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")


def bounds(kind: str) -> tuple[int, int]:
    """The smallest and largest integer of a type, such as ``UInt32``."""
    bits = int(kind.lstrip("UInt"))
    if kind.startswith("U"):
        return 0, 2**bits - 1
    return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1


def accepts(column: Column, key: Id) -> bool:
    """Whether a key can have an id."""
    if isinstance(key, int):
        if "Int" not in column.type:
            return False
        least, most = bounds(column.type)
        return least <= key <= most
    if column.type == "UUID":
        return _UUID.match(key) is not None
    return column.type == "String" and valid_text(key)


def valid_text(text: str) -> bool:
    """Whether a text can be encoded as UTF-8."""
    return not any("\ud800" <= each <= "\udfff" for each in text)


def check_ids(table: Table, ids: Sequence[Id]) -> None:
    """Check that the key can have these ids.

    Raises:
        InputError
    """
    column = table.require_key()
    for each in ids:
        if not accepts(column, each):
            raise InputError(
                f"the id {shown(each)} does not fit the column {column.name!r} of the type "
                f"{column.type}",
                hint="use ids of this type; the first rows of a new table determine the type",
            )
