"""Payloads: a JSON column in tables of qadapt, columns with a type in others."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa

from qadapt.errors import InputError
from qadapt.stores.checks import check_payloads
from qadapt.stores.json_texts import documents
from qadapt.stores.lancedb.schema import PAYLOAD_COLUMN, Table


def names(table: Table) -> list[str]:
    """The columns that a payload is read from."""
    own = [PAYLOAD_COLUMN] if table.document else []
    return [*own, *table.fields]


def read(table: Table, rows: pa.Table | pa.RecordBatch) -> list[dict[str, Any]]:
    """The payload of each row; NULL is a field that is missing."""
    found: list[dict[str, Any]] = [{} for _ in range(rows.num_rows)]
    if table.document:
        # ``to_pylist`` makes an object of Arrow for each JSON value.
        cells = rows.column(PAYLOAD_COLUMN)
        options = {"zero_copy_only": False} if isinstance(cells, pa.Array) else {}
        found = documents(cells.to_numpy(**options).tolist())
    for name in table.fields:
        for payload, value in zip(found, rows.column(name).to_pylist(), strict=True):
            if value is not None:
                payload[name] = plain(value)
    return found


def plain(value: Any) -> Any:
    """A value of Arrow as JSON: dates as ISO texts, bytes as base64."""
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def columns(
    table: Table, payloads: Sequence[Mapping[str, Any]] | None, count: int
) -> dict[str, Any]:
    """The columns of ``names(table)``.

    Raises:
        InputError: a value that its column cannot store, or a field without a column.
    """
    check_payloads(payloads)
    given: Sequence[Mapping[str, Any]] = payloads if payloads is not None else [{}] * count
    found: dict[str, Any] = {}
    if table.document:
        found[PAYLOAD_COLUMN] = _documents(table, payloads, count)
    else:
        _check_fields(table, given)
    for name, field in table.fields.items():
        found[name] = _column(field, [each.get(name) for each in given])
    return found


def _documents(
    table: Table, payloads: Sequence[Mapping[str, Any]] | None, count: int
) -> pa.ExtensionArray:
    if payloads is None:
        return pa.ExtensionArray.from_storage(pa.json_(), pa.repeat(pa.scalar("{}"), count))
    if table.fields:
        rest = [{k: v for k, v in each.items() if k not in table.fields} for each in payloads]
        texts = [json.dumps(each) for each in rest]
    else:
        texts = [json.dumps(each) for each in payloads]
    return pa.ExtensionArray.from_storage(pa.json_(), pa.array(texts, pa.string()))


def _check_fields(table: Table, payloads: Sequence[Mapping[str, Any]]) -> None:
    for row, payload in enumerate(payloads):
        for name in payload:
            if name not in table.fields:
                raise InputError(
                    f"the payload of row {row} has the field {name!r}, which is not a column of "
                    f"{table.name!r}",
                    hint="omit the field, or create the table with qadapt, which stores any field",
                )


def _column(field: pa.Field, values: list[Any]) -> pa.Array:
    """The values as an array of the type of their column."""
    if pa.types.is_temporal(field.type):
        values = [_moment(field.type, each) for each in values]
    elif pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type):
        values = [base64.b64decode(e) if isinstance(e, str) else e for e in values]
    try:
        found = pa.array(values, type=field.type)
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        raise InputError(
            f"the column {field.name!r} has the type {field.type}: {error}",
            hint="convert the values of this field, or omit it",
        ) from error
    if found.null_count and not field.nullable:
        raise InputError(
            f"the column {field.name!r} accepts no missing values",
            hint="add the field to the payload of each row",
        )
    return found


def _moment(kind: Any, value: Any) -> Any:
    """A date of a payload, which is an ISO text."""
    if not isinstance(value, str):
        return value
    text = value.replace("Z", "+00:00")
    return date.fromisoformat(text) if pa.types.is_date(kind) else datetime.fromisoformat(text)
