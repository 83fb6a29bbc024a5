"""Writing, reading and deleting rows.

The sorting key of ClickHouse is not unique. A table of qadapt has a version: a written row is
inserted with a new one, and the former row is deleted afterwards. Until then, and if the process
is killed in between, ``FINAL`` hides it from reads (docs/engines/clickhouse.md#rows).
"""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.errors import InputError, QadaptError, StoreError, UnsupportedError
from qadapt.model import Batch, Id
from qadapt.stores.base import ReadRequest
from qadapt.stores.clickhouse import ids, payload
from qadapt.stores.clickhouse.collections import relation
from qadapt.stores.clickhouse.connection import Connection, quoted
from qadapt.stores.clickhouse.filters import Condition, ids_condition
from qadapt.stores.clickhouse.native_format import Arrays, Given
from qadapt.stores.clickhouse.schema import (
    COUNT,
    ID,
    ID_COLUMN,
    PAYLOAD_COLUMN,
    VECTOR,
    VERSION_COLUMN,
    Table,
)
from qadapt.stores.row_batches import in_order

# Engines that keep each row, or the last one of a sorting key.
_KEEPS_ROWS = re.compile("^(Replicated|Shared)?(Replacing)?MergeTree$")
# Ids of one statement: an address with parameters has at most 1 MiB.
IDS = 2_000
# Ids from which scan ranges are computed.
SAMPLE = 10_000


def source(table: Table) -> str:
    """The table in a statement that reads the newest row of each id."""
    return f"{relation(table)} FINAL" if table.replaces else relation(table)


def key_of(table: Table) -> str:
    """The expression of the id: an integer or a text."""
    key = table.require_key()
    return f"toString({quoted(key.name)})" if key.type == "UUID" else quoted(key.name)


# -- writing -------------------------------------------------------------------------------------


def write(connection: Connection, table: Table, batch: Batch) -> None:
    """Insert rows, and delete former rows with the same ids.

    Raises:
        UnsupportedError: the engine of the table combines or hides rows.
    """
    if not _KEEPS_ROWS.search(table.engine):
        raise UnsupportedError(
            f"qadapt does not write to {table.name!r}: the engine {table.engine} combines rows or "
            "hides them by the values of their other columns",
            hint="write the rows with your own statements, or create a table with qadapt",
        )
    ids.check_ids(table, batch.ids)
    if not len(batch):
        return
    for vector, mask in batch.missing.items():
        if mask.any():
            raise _incomplete(table, vector, batch.ids[int(np.flatnonzero(mask)[0])])
    present = _existing(connection, table, batch.ids)
    vectors = _complete(connection, table, batch, present)
    doing = f"write to {table.name!r}"
    if not table.owned:
        data = _json_rows(table, batch, vectors)
        statement = f"INSERT INTO {relation(table)}"
        with _replaced(connection, table, present, doing):
            connection.insert_bytes(statement, doing, "JSONEachRow", data)
        return
    version = time.time_ns()
    columns = [Given(ID_COLUMN, table.require_key().type, list(batch.ids))]
    columns += [
        Given(table.vectors[name].name, "Array(Float32)", rows) for name, rows in vectors.items()
    ]
    columns.append(Given(PAYLOAD_COLUMN, "String", payload.documents(batch.payloads, len(batch))))
    columns.append(Given(VERSION_COLUMN, "UInt64", np.full(len(batch), version, dtype="<u8")))
    names = ", ".join(quoted(each.name) for each in columns)
    connection.insert(f"INSERT INTO {relation(table)} ({names})", doing, columns)
    if connection.deployment == "embedded":
        _check_stored(connection, table, version, len(batch), doing)
    if present:
        _delete(connection, table, present, before=version)


def _check_stored(
    connection: Connection, table: Table, version: int, expected: int, doing: str
) -> None:
    """Check that chDB has stored the rows of a version, because it reports no error.

    Raises:
        StoreError: rows are missing; former rows with these ids are unchanged.
    """
    text = (
        f"SELECT count() AS {COUNT} FROM {relation(table)} "
        f"WHERE {VERSION_COLUMN} = {{version:UInt64}}"
    )
    found = int(connection.select(text, doing, {"version": str(version)})[COUNT][0])
    if found < expected:
        raise StoreError(
            f"could not {doing}: the engine stored {found:,} of {expected:,} rows, and reports no "
            "reason",
            hint="check the free disk space and the constraints of the table",
        )


@contextmanager
def _replaced(
    connection: Connection, table: Table, keys: Sequence[Id], doing: str
) -> Iterator[None]:
    """Delete rows before others with their ids are inserted; they are inserted again if this fails,
    as by a value that a column or a constraint refuses."""
    names = ", ".join(quoted(each.name) for each in table.columns if not each.generated)
    former = []
    for start in range(0, len(keys), IDS):
        condition = ids_condition(table, keys[start : start + IDS])
        text = f"SELECT {names} FROM {relation(table)}{condition.where}"
        former.append(connection.native(text, doing, condition.values))
    if keys:
        _delete(connection, table, keys)
    try:
        yield
    except QadaptError:
        for each in filter(None, former):
            statement = f"INSERT INTO {relation(table)} ({names})"
            connection.insert_bytes(statement, doing, "Native", each)
        raise


def _incomplete(table: Table, name: str, key: Id) -> InputError:
    return InputError(
        f"the row {key!r} has no vector {name!r}, and all rows of {table.name!r} have one",
        hint=f"write all vectors: {', '.join(map(repr, table.vectors))}",
    )


def _existing(connection: Connection, table: Table, keys: Sequence[Id]) -> list[Id]:
    found: list[Id] = []
    for start in range(0, len(keys), IDS):
        condition = ids_condition(table, keys[start : start + IDS])
        text = f"SELECT DISTINCT {key_of(table)} AS {ID} FROM {relation(table)}{condition.where}"
        rows = connection.rows(text, f"read ids of {table.name!r}", condition.values)
        found += [row[0] for row in rows]
    return found


def _complete(
    connection: Connection, table: Table, batch: Batch, present: Sequence[Id]
) -> dict[str, npt.NDArray[np.float32]]:
    """All vectors of the rows: those that the batch does not have are kept."""
    found = {name: batch.vectors[name] for name in table.vectors if name in batch.vectors}
    absent = [name for name in table.vectors if name not in found]
    if not absent:
        return found
    known = set(present)
    for each in batch.ids:
        if each not in known:
            raise _incomplete(table, absent[0], each)
    kept = fetch(connection, table, batch.ids, absent, False)
    return {**found, **{name: kept.vectors[name] for name in absent}}


def _json_rows(table: Table, batch: Batch, vectors: dict[str, npt.NDArray[np.float32]]) -> bytes:
    """Rows as JSON, whose values the engine converts to the types of the columns."""
    key = table.require_key().name
    fields = payload.cells(table, batch.payloads, len(batch))
    names = {name: table.vectors[name].name for name in vectors}
    lines = []
    for row, each in enumerate(batch.ids):
        numbers = {
            column: [float(str(value)) for value in vectors[name][row]]
            for name, column in names.items()
        }
        lines.append(json.dumps({key: each, **numbers, **fields[row]}, ensure_ascii=False))
    return "\n".join(lines).encode()


def delete(connection: Connection, table: Table, keys: Sequence[Id]) -> None:
    """Delete rows by their ids; unknown ids are ignored."""
    column = table.require_key()
    possible = [each for each in keys if ids.accepts(column, each)]
    present = _existing(connection, table, possible)
    if present:
        _delete(connection, table, present)


def _delete(
    connection: Connection, table: Table, keys: Sequence[Id], before: int | None = None
) -> None:
    """A lightweight DELETE, which keeps the codes of a codec.

    Args:
        before: delete rows of an earlier version only.
    """
    for start in range(0, len(keys), IDS):
        condition = ids_condition(table, keys[start : start + IDS])
        if before is not None:
            condition = condition.both(f"{VERSION_COLUMN} < {{before:UInt64}}", before=str(before))
        text = f"DELETE FROM {relation(table)}{condition.where}"
        connection.execute(text, f"delete rows of {table.name!r}", condition.values)


# -- reading -------------------------------------------------------------------------------------


def fetch(
    connection: Connection, table: Table, keys: Sequence[Id], names: Sequence[str], fields: bool
) -> Batch:
    """Rows by id, in the requested order; missing ids are omitted."""
    column = table.require_key()
    possible = [each for each in dict.fromkeys(keys) if ids.accepts(column, each)]
    batches = []
    for start in range(0, max(1, len(possible)), IDS):
        condition = ids_condition(table, possible[start : start + IDS])
        once = "" if table.replaces else f" LIMIT 1 BY {key_of(table)}"
        text = f"SELECT {_list(table, names, fields)} FROM {source(table)}{condition.where}{once}"
        found = connection.select(text, f"read rows of {table.name!r}", condition.values)
        batches.append(_batch(table, found, names, fields))
    return in_order(Batch.concat(batches) if len(batches) > 1 else batches[0], keys)


def pages(
    connection: Connection,
    table: Table,
    names: Sequence[str],
    request: ReadRequest,
    condition: Condition,
) -> Iterator[Batch]:
    """All rows, or those of a condition, in pages by id."""
    limits = dict(request.scan_range or {})
    after, through = limits.get("after"), limits.get("through")
    if request.after is not None and (after is None or request.after > after):
        after = request.after
    key, doing = key_of(table), f"read {table.name!r}"
    kind = "String" if table.key_kind == "text" else table.require_key().type
    if through is not None:
        condition = condition.both(f"{key} <= {{through:{kind}}}", through=_bound(through))
    while True:
        here = condition
        if after is not None:
            here = condition.both(f"{key} > {{after:{kind}}}", after=_bound(after))
        text = (
            f"SELECT {_list(table, names, request.payload)} FROM {source(table)}{here.where} "
            f"ORDER BY {key}{'' if table.replaces else f' LIMIT 1 BY {key}'} LIMIT {request.page}"
        )
        found = connection.select(text, doing, here.values)
        batch = _batch(table, found, names, request.payload)
        if len(batch):
            yield batch
        if len(batch) < request.page:
            return
        after = batch.ids[-1]


def _bound(key: Id) -> str:
    return key if isinstance(key, str) else str(key)


def count(connection: Connection, table: Table, condition: Condition) -> int:
    """The number of rows, or of those of a condition."""
    text = f"SELECT count() AS {COUNT} FROM {source(table)}{condition.where}"
    found = connection.select(text, f"count the rows of {table.name!r}", condition.values)
    return int(found[COUNT][0])


def ranges(connection: Connection, table: Table, n: int) -> list[dict[str, Any]]:
    """Ranges of ids with about equally many rows each, from a sample of the ids."""
    key, doing = key_of(table), f"divide {table.name!r} into ranges"
    total = count(connection, table, Condition())
    step = max(1, total // SAMPLE)
    text = (
        f"SELECT {key} AS {ID} FROM {relation(table)} "
        f"WHERE cityHash64({key}) % {{step:UInt64}} = 0 ORDER BY {ID}"
    )
    keys = [row[0] for row in connection.rows(text, doing, {"step": str(step)})]
    ends = [keys[len(keys) * part // n - 1] for part in range(1, n) if len(keys) * part // n]
    ends = list(dict.fromkeys(ends))
    return [
        {name: each for name, each in (("after", low), ("through", high)) if each is not None}
        for low, high in itertools.pairwise([None, *ends, None])
    ]


def duplicates(connection: Connection, table: Table) -> tuple[int, list[Id]]:
    """Rows that a read counts and that share the id of another row, and some of these ids."""
    key, doing = key_of(table), f"count the ids of {table.name!r}"
    text = (
        f"SELECT {key} AS {ID}, count() AS {COUNT} FROM {source(table)} GROUP BY {ID} "
        f"HAVING {COUNT} > 1 ORDER BY {ID} LIMIT 10"
    )
    some = [row[0] for row in connection.rows(text, doing)]
    if not some:
        return 0, []
    text = f"SELECT toInt64(count() - uniqExact({key})) AS {COUNT} FROM {source(table)}"
    return int(connection.select(text, doing)[COUNT][0]), some


def _list(table: Table, names: Sequence[str], fields: bool) -> str:
    columns = [f"{key_of(table)} AS {ID}"]
    for at, name in enumerate(names):
        column = table.vectors[name]
        value = quoted(column.name)
        if column.type != "Array(Float32)":
            value = f"CAST({value} AS Array(Float32))"
        columns.append(f"{value} AS {VECTOR}{at}")
    return ", ".join(columns + (payload.expressions(table) if fields else []))


def _batch(table: Table, found: Any, names: Sequence[str], fields: bool) -> Batch:
    keys = found.get(ID, [])
    keys = keys if isinstance(keys, list) else keys.tolist()
    vectors, missing = {}, {}
    for at, name in enumerate(names):
        dim = table.vector(name).dim
        values = found.get(f"{VECTOR}{at}")
        vectors[name], absent = _matrix(values, dim, len(keys))
        if absent.any():
            missing[name] = absent
    payloads = payload.plain(table, found, len(keys)) if fields else None
    return Batch(keys, vectors, payloads, missing)


def _matrix(
    values: Arrays | None, dim: int, count: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Vectors ``(n, dim)``, and which rows have none of this length."""
    if values is None:
        return np.empty((0, dim), dtype=np.float32), np.zeros(0, dtype=bool)
    absent = values.lengths != dim
    if not absent.any():
        return values.values.reshape(count, dim), absent
    found = np.zeros((count, dim), dtype=np.float32)
    whole = np.repeat(~absent, values.lengths)
    found[~absent] = values.values[whole].reshape(-1, dim)
    return found, absent
