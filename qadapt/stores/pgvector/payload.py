"""Payloads: columns with a type, and a jsonb column for fields that have no column.

The server converts columns to JSON and back (``to_jsonb``, ``jsonb_populate_record``): timestamps
become ISO 8601 text, ``bytea`` becomes ``\\\\x`` and hexadecimal digits, ``NaN`` of a column
becomes the text ``NaN``, arrays become lists. A NULL is a field that is missing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from psycopg import sql

from qadapt.errors import InputError
from qadapt.stores.checks import check_payloads
from qadapt.stores.json_texts import documents
from qadapt.stores.pgvector.schema import PAYLOAD_COLUMN, Table
from qadapt.stores.pgvector.statements import identifier

# jsonb stores numbers as decimals: it keeps neither -0.0 nor whether a large number was a float.
_LARGEST_FLOAT = 1e16


def select(table: Table) -> Any:
    """The expression of a row's payload as jsonb."""
    columns = [identifier(each.name) for each in table.payload_columns]
    own = identifier(PAYLOAD_COLUMN) if table.has_payload_column else None
    if not columns:
        return own if own is not None else sql.SQL("'{{}}'::jsonb").format()
    fields = sql.SQL("(SELECT to_jsonb(r.*) FROM (SELECT {}) AS r)").format(
        sql.SQL(", ").join(columns)
    )
    if own is None:
        return fields
    return sql.SQL("coalesce({}, '{{}}') || {}").format(own, fields)


def plain(value: Any, table: Table) -> dict[str, Any]:
    """The payload of a row; fields whose column is NULL are omitted."""
    if value is None:
        return {}
    if not table.payload_columns:
        return dict(value)
    named = {each.name for each in table.payload_columns}
    return {key: each for key, each in value.items() if each is not None or key not in named}


def from_texts(texts: Sequence[str | None], table: Table) -> list[dict[str, Any] | None]:
    """Payloads of several rows, as JSON text; see ``plain``."""
    found = documents(texts)
    return [plain(each, table) for each in found] if table.payload_columns else found


def dumped(payloads: Sequence[Mapping[str, Any]] | None, count: int, table: Table) -> list[str]:
    """Payloads as JSON text.

    Raises:
        InputError: a value that jsonb cannot store, or a field without a column.
    """
    if payloads is None:
        return ["{}"] * count
    check_payloads(payloads)
    known = {each.name for each in table.payload_columns}
    found = []
    for row, payload in enumerate(payloads):
        if not table.has_payload_column:
            _check_fields(payload, known, row, table)
        text = json.dumps(payload, ensure_ascii=False)
        if "\\u0000" in text:
            raise InputError(
                f"the payload of row {row} has text with a NUL character, which PostgreSQL cannot "
                "store",
                hint="remove the character",
            )
        found.append(text)
    return found


def _check_fields(payload: Mapping[str, Any], known: set[str], row: int, table: Table) -> None:
    unknown = sorted(set(payload) - known)
    if unknown:
        raise InputError(
            f"the payload of row {row} has the field {unknown[0]!r}, which is not a column of "
            f"{table.name!r}",
            hint=f"add the column, or add a column {PAYLOAD_COLUMN} jsonb for all other fields",
        )


def is_exact(value: Any) -> bool:
    """Whether jsonb stores a value unchanged."""
    if isinstance(value, float):
        if value == 0:
            return math.copysign(1, value) > 0
        return abs(value) < _LARGEST_FLOAT
    if isinstance(value, str):
        return "\0" not in value
    if isinstance(value, Mapping):
        return all(is_exact(each) for each in value.values())
    if isinstance(value, (list, tuple)):
        return all(is_exact(each) for each in value)
    return True
