"""Payloads: a JSON document in an auxiliary column, and columns with a type.

Tables that qadapt created have the document; those of other programs have columns. Metadata columns
and partition keys accept values of their type only, and no null
(docs/engines/sqlite-vec.md#tables).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from qadapt.errors import InputError
from qadapt.stores.checks import check_payloads
from qadapt.stores.json_texts import documents
from qadapt.stores.sqlite_vec.schema import PAYLOAD_COLUMN, Column, Table

_NAMES = {"text": "a text", "integer": "an integer", "float": "a number", "boolean": "a boolean"}


def names(table: Table) -> list[str]:
    """The columns that a payload is read from."""
    own = [PAYLOAD_COLUMN] if table.document else []
    return [*own, *table.fields]


def plain(table: Table, cells: Sequence[Any]) -> dict[str, Any]:
    """The payload of a row; NULL of an auxiliary column is a field that is missing."""
    found: dict[str, Any] = {}
    if table.document:
        found = json.loads(cells[0]) if cells[0] else {}
        cells = cells[1:]
    for column, value in zip(table.fields.values(), cells, strict=True):
        if value is not None:
            found[column.name] = _read(column, value)
    return found


def plain_rows(table: Table, columns: Sequence[Sequence[Any]]) -> list[dict[str, Any] | None]:
    """Payloads of several rows, given by the columns ``names(table)``."""
    if table.document and not table.fields:
        return documents(columns[0])
    return [plain(table, cells) for cells in zip(*columns, strict=True)]


def _read(column: Column, value: Any) -> Any:
    if column.type == "boolean":
        return bool(value)
    return value.hex() if isinstance(value, bytes) else value


def rows(table: Table, payloads: Sequence[Mapping[str, Any]] | None, count: int) -> list[list[Any]]:
    """The cells of ``names(table)`` for each row.

    Raises:
        InputError: a value that its column cannot store, or a field without a column.
    """
    check_payloads(payloads)
    found = []
    for row, payload in enumerate(payloads if payloads is not None else [{}] * count):
        rest = {name: value for name, value in payload.items() if name not in table.fields}
        if rest and not table.document:
            raise InputError(
                f"the payload of row {row} has the field {next(iter(rest))!r}, which is not a "
                f"column of {table.name!r}",
                hint="omit the field, or create the table with qadapt, which stores any field",
            )
        cells: list[Any] = [json.dumps(rest, ensure_ascii=False)] if table.document else []
        found.append(cells + [_cell(e, payload.get(e.name), row) for e in table.fields.values()])
    return found


def _cell(column: Column, value: Any, row: int) -> Any:
    """The value for a column."""
    if column.role == "auxiliary":
        if value is None or isinstance(value, (str, int, float)):
            return value
        raise InputError(
            f"the payload of row {row}: the column {column.name!r} stores texts and numbers, not a "
            f"{type(value).__name__}",
            hint="store it as JSON text",
        )
    if not _fits(column.type, value):
        raise InputError(
            f"the payload of row {row}: the column {column.name!r} requires {_NAMES[column.type]}; "
            f"got {value!r:.60}",
            hint="columns of vec0 other than auxiliary ones accept no null and no other type",
        )
    return float(value) if column.type == "float" else value


def _fits(kind: str, value: Any) -> bool:
    if kind == "boolean":
        return isinstance(value, bool)
    if isinstance(value, bool):
        return False
    if kind == "integer":
        return isinstance(value, int) and -(2**63) <= value < 2**63
    return isinstance(value, str) if kind == "text" else isinstance(value, (int, float))
