"""Payloads: a JSON document in tables of qadapt, and columns with a type in other tables."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from qadapt.errors import InputError
from qadapt.stores.checks import check_payloads
from qadapt.stores.clickhouse.connection import quoted
from qadapt.stores.clickhouse.schema import PAYLOAD, PAYLOAD_COLUMN, Table


def expressions(table: Table) -> list[str]:
    """The expressions from which a payload is read: JSON texts."""
    if table.owned:
        return [f"{PAYLOAD_COLUMN} AS {PAYLOAD}"]
    # The text of a LowCardinality or Nullable column has this type, too.
    return [
        f"ifNull(CAST(toJSONString({quoted(each)}) AS Nullable(String)), 'null') AS {PAYLOAD}{at}"
        for at, each in enumerate(table.fields)
    ]


def plain(table: Table, found: Mapping[str, Any], count: int) -> list[dict[str, Any]]:
    """The payloads of rows; NULL is a field that is missing."""
    if table.owned:
        return [json.loads(text) if text else {} for text in found.get(PAYLOAD, [])]
    rows: list[dict[str, Any]] = [{} for _ in range(count)]
    for at, name in enumerate(table.fields):
        for row, text in zip(rows, found.get(f"{PAYLOAD}{at}", []), strict=True):
            value = json.loads(text)
            if value is not None:
                row[name] = value
    return rows


def documents(payloads: Sequence[Mapping[str, Any]] | None, count: int) -> list[str]:
    """JSON documents of payloads.

    Raises:
        InputError
    """
    check_payloads(payloads)
    return [json.dumps(each, ensure_ascii=False) for each in payloads or ({},) * count]


def cells(
    table: Table, payloads: Sequence[Mapping[str, Any]] | None, count: int
) -> list[dict[str, Any]]:
    """The values of the columns of each row.

    Raises:
        InputError: a field without a column.
    """
    check_payloads(payloads)
    found = []
    for row, payload in enumerate(payloads or ({},) * count):
        for name in payload:
            if name not in table.fields:
                raise InputError(
                    f"the payload of row {row} has the field {name!r}, which is not a column of "
                    f"{table.name!r}",
                    hint="omit the field, or create the table with qadapt, which stores any field",
                )
        found.append(dict(payload))
    return found
