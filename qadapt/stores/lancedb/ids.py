"""Ids: a column has integers or texts."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from qadapt.errors import InputError
from qadapt.model import Id
from qadapt.model.numbers import shown
from qadapt.stores.lancedb.schema import Table


def accepts(table: Table, key: Id) -> bool:
    """Whether the id column can have an id."""
    if isinstance(key, int):
        return not table.text_key and table.least_id <= key <= table.largest_id
    return table.text_key and is_text(key)


def is_text(key: str) -> bool:
    """Whether a text can be stored and written in a condition."""
    if "\0" in key:
        return False
    return key.isascii() or not any("\ud800" <= each <= "\udfff" for each in key)


def check_ids(table: Table, ids: Sequence[Id]) -> None:
    """Check that the id column can have these ids.

    Raises:
        InputError
    """
    for each in ids:
        if not accepts(table, each):
            kind = "texts"
            if not table.text_key:
                kind = f"integers from {table.least_id} to {table.largest_id}"
            raise InputError(
                f"the id {shown(each)} does not fit the column {table.key!r} of the type "
                f"{table.arrow.field(table.key).type}",
                hint=f"use ids that are {kind}; the first rows of a new table determine the type",
            )


def to_arrow(table: Table, ids: Sequence[Id]) -> pa.Array:
    """Ids as an array of the id column, without a Python call for each.

    Raises:
        InputError
    """
    text = isinstance(ids[0], str)
    if text is not table.text_key or (text and not is_text("".join(ids))):  # type: ignore[arg-type]
        check_kind(ids)
        check_ids(table, ids)
    kind = table.arrow.field(table.key).type
    try:
        return pa.array(ids, type=kind)
    except (pa.ArrowException, OverflowError) as error:
        check_kind(ids)
        check_ids(table, ids)
        raise InputError(
            f"an id does not fit the column {table.key!r} of the type {kind}: {error}",
            hint="use smaller ids",
        ) from error


def check_kind(ids: Sequence[Id]) -> None:
    """Check that all ids have one type, as a column has.

    Raises:
        InputError
    """
    if len(set(map(type, ids))) > 1:
        raise InputError(
            "the ids are both integers and texts, but a column has one type",
            hint="use one type of id",
        )
