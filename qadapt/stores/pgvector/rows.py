"""Writing and reading rows with COPY and binary formats."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Any

from psycopg import sql

from qadapt.model import Batch, Id
from qadapt.stores import key_ids
from qadapt.stores.base import ReadRequest
from qadapt.stores.pgvector import payload
from qadapt.stores.pgvector.binary_format import packed, unpacked
from qadapt.stores.pgvector.connection import Connection
from qadapt.stores.pgvector.ids import as_ids, check_ids, id_bytes, parameter, possible
from qadapt.stores.pgvector.schema import ID_TYPES, PAYLOAD_COLUMN, Column, Table
from qadapt.stores.pgvector.statements import Statement, identifier, literal, relation

# Header of COPY BINARY: signature, flags, length of the extension; and the end of the data.
# https://www.postgresql.org/docs/current/sql-copy.html
_HEADER, _END = b"PGCOPY\n\xff\r\n\0" + bytes(8), struct.pack(">h", -1)
_NULL = struct.pack(">i", -1)
_STAGE = "qadapt_stage"


# -- writing -------------------------------------------------------------------------------------


def write(connection: Connection, table: Table, batch: Batch) -> None:
    """Upsert rows in one transaction.

    New rows are copied into the table; if a row exists already, all are copied into a temporary
    table first.
    """
    key = table.require_key()
    check_ids(key, batch.ids)
    columns, cells = _columns(table, key, batch)
    with connection.session(f"write to {table.name!r}") as at, at.transaction():
        plain = not table.payload_columns and set(batch.vectors) == set(table.vectors)
        plain = plain and not table.row_security  # which COPY does not support
        if plain and not _exist(at, table, key, batch.ids):
            kept = len(columns) if table.has_payload_column else len(columns) - 1
            # No parameters are passed, so "%" in names is not doubled.
            names = sql.SQL(", ").join(sql.Identifier(each.name) for each, _ in columns[:kept])
            place = sql.Identifier(table.schema, table.name)
            target = sql.SQL("{} ({})").format(place, names)
            if _copy_new(at, target, cells[:kept]):
                return
        _upsert(at, table, key, columns, cells)


def _columns(
    table: Table, key: Column, batch: Batch
) -> tuple[list[tuple[Column, str]], list[list[bytes | None]]]:
    """Columns with their type in the temporary table, and their binary values."""
    columns = [(key, _stage_type(key))]
    cells: list[list[bytes | None]] = [list(id_bytes(key, batch.ids))]
    for name, array in batch.vectors.items():
        column = table.vectors[name]
        found: list[bytes | None] = list(packed(array, column.type))
        mask = batch.missing.get(name)
        if mask is not None:
            found = [
                None if gone else each for each, gone in zip(found, mask.tolist(), strict=True)
            ]
        columns.append((column, column.type))
        cells.append(found)
    texts = payload.dumped(batch.payloads, len(batch), table)
    columns.append((Column(PAYLOAD_COLUMN, 0, "jsonb", None, True), "jsonb"))
    cells.append([b"\x01" + each.encode() for each in texts])
    return columns, cells


def _stage_type(key: Column) -> str:
    return "text" if ID_TYPES[key.type] == "text" else key.type


def _exist(at: Any, table: Table, key: Column, ids: Sequence[Id]) -> bool:
    query = sql.SQL("SELECT FROM {} WHERE {} = ANY(%s) LIMIT 1").format(
        relation(table), identifier(key.name)
    )
    return at.execute(query, [parameter(key, ids)]).fetchone() is not None


def _copy_new(at: Any, target: Any, cells: Sequence[Sequence[bytes | None]]) -> bool:
    """Copy rows into the table; False if one of them was written by another client in between."""
    import psycopg

    try:
        with at.transaction():
            _copy(at, target, cells)
    except psycopg.errors.UniqueViolation:
        return False
    return True


def _copy(at: Any, target: Any, cells: Sequence[Sequence[bytes | None]]) -> None:
    count = struct.pack(">h", len(cells))
    query = sql.SQL("COPY {} FROM STDIN (FORMAT BINARY)").format(target)
    with at.cursor() as cursor, cursor.copy(query) as copy:
        copy.write(_HEADER)
        for start in range(0, len(cells[0]), 1000):
            rows = zip(*(each[start : start + 1000] for each in cells), strict=True)
            copy.write(
                b"".join(
                    part
                    for row in rows
                    for part in (count, *(piece for each in row for piece in _field(each)))
                )
            )
        copy.write(_END)


def _field(value: bytes | None) -> tuple[bytes, ...]:
    return (_NULL,) if value is None else (struct.pack(">i", len(value)), value)


def _upsert(
    at: Any,
    table: Table,
    key: Column,
    columns: Sequence[tuple[Column, str]],
    cells: Sequence[Sequence[bytes | None]],
) -> None:
    """Upsert by a temporary table: a row is replaced as a whole, vectors that the batch does not
    have are kept."""
    types = [_type_sql(at, table, column, name) for column, name in columns]
    definition = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(f"c{number}"), each)
        for number, each in enumerate(types)
    )
    at.execute(
        sql.SQL("CREATE TEMP TABLE {} ({}) ON COMMIT DROP").format(
            sql.Identifier(_STAGE), definition
        )
    )
    stage = sql.Identifier("pg_temp", _STAGE)
    _copy(at, stage, cells)
    names = [identifier(column.name) for column, _ in columns[:-1]]
    values: list[Any] = [sql.Identifier("s", f"c{number}") for number in range(len(columns) - 1)]
    document = sql.Identifier("s", f"c{len(columns) - 1}")
    source = sql.SQL("{} s").format(stage)
    if table.has_payload_column:
        names.append(identifier(PAYLOAD_COLUMN))
        fields = [each.name for each in table.payload_columns]
        values.append(sql.SQL("{} - {}::text[]").format(document, literal(fields)))
    writable = [each for each in table.payload_columns if each.writable]
    if writable:
        source = sql.SQL("{}, jsonb_populate_record(NULL::{}, {}) r").format(
            source, relation(table), document
        )
        names += [identifier(each.name) for each in writable]
        values += [identifier("r", each.name) for each in writable]
    replaced = sql.SQL(", ").join(
        sql.SQL("{} = EXCLUDED.{}").format(each, each) for each in names[1:]
    )
    at.execute(
        sql.SQL(
            "INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM {} "
            "ON CONFLICT ({}) DO UPDATE SET {}"
        ).format(
            relation(table),
            sql.SQL(", ").join(names),
            sql.SQL(", ").join(values),
            source,
            identifier(key.name),
            replaced,
        ),
        [],
    )
    at.execute(sql.SQL("DROP TABLE {}").format(stage))


def _type_sql(at: Any, table: Table, column: Column, name: str) -> Any:
    """The type of a column of the temporary table."""
    if column.dim is None:
        return sql.SQL(name)
    row = at.execute(
        "SELECT format_type(atttypid, atttypmod) FROM pg_attribute "
        "WHERE attrelid = %s AND attnum = %s",
        [table.oid, column.number],
    ).fetchone()
    return sql.SQL(row[0])


def delete(connection: Connection, table: Table, ids: Sequence[Id]) -> None:
    """Delete rows; unknown ids are ignored."""
    key = table.require_key()
    kept = possible(key, ids)
    if not kept:
        return
    query = sql.SQL("DELETE FROM {} WHERE {} = ANY(%s)").format(
        relation(table), identifier(key.name)
    )
    with connection.session(f"delete rows of {table.name!r}") as at:
        at.execute(query, [parameter(key, kept)])


# -- reading -------------------------------------------------------------------------------------


def fetch(
    connection: Connection,
    table: Table,
    ids: Sequence[Id],
    names: Sequence[str],
    with_payload: bool,
) -> Batch:
    """Rows by id, in the requested order; missing ids are omitted."""
    key = table.require_key()
    query = sql.SQL("SELECT {} FROM {} WHERE {} = ANY(%s)").format(
        _list(table, key, names, with_payload), relation(table), identifier(key.name)
    )
    with connection.session(f"read rows of {table.name!r}") as at:
        rows = _rows(connection, at, query, [parameter(key, possible(key, ids))])
    batch = _batch(table, key, rows, names, with_payload)
    place = {each: row for row, each in enumerate(batch.ids)}
    return batch.take([place[each] for each in dict.fromkeys(ids) if each in place])


def pages(
    connection: Connection,
    table: Table,
    names: Sequence[str],
    request: ReadRequest,
    condition: Statement | None,
) -> Iterator[Batch]:
    """All rows, or those of a condition, in pages by primary key."""
    key = table.require_key()
    column = identifier(key.name)
    bounds = dict(request.scan_range or {})
    after, through = bounds.get("after"), bounds.get("through")
    resumed = request.after
    if resumed is not None:
        check_ids(key, [resumed])
    while True:
        tests: list[Any] = []
        values: list[Any] = []
        if condition is not None:
            tests.append(condition.text)
            values += condition.values
        for operator, bound in ((">", after), ("<=", through), (">", resumed)):
            if bound is not None:
                tests.append(sql.SQL("{} {} %s").format(column, sql.SQL(operator)))
                values += parameter(key, [bound])
        query = sql.SQL("SELECT {} FROM {}{} ORDER BY {} LIMIT {}").format(
            _list(table, key, names, request.payload),
            relation(table),
            sql.SQL(" WHERE ") + sql.SQL(" AND ").join(tests) if tests else sql.SQL(""),
            column,
            sql.SQL(str(request.page)),
        )
        with connection.reading(f"read {table.name!r}") as at:
            rows = _rows(connection, at, query, values)
        if rows:
            batch = _batch(table, key, rows, names, request.payload)
            resumed = batch.ids[-1]
            yield batch
        if len(rows) < request.page:
            return


def ranges(connection: Connection, table: Table, n: int) -> list[dict[str, Any]]:
    """Ranges of the primary key with about equally many rows each."""
    key = table.require_key()
    column = identifier(key.name)
    query = sql.SQL(
        "SELECT max(k) FROM (SELECT {} AS k, ntile(%s) OVER (ORDER BY {}) AS part FROM {}) AS r "
        "GROUP BY part ORDER BY 1"
    ).format(
        column if key.type != "uuid" else sql.SQL("{}::text").format(column),
        column,
        relation(table),
    )
    with connection.session(f"divide {table.name!r} into ranges") as at:
        return key_ids.ranges(as_ids(key, [each for (each,) in at.execute(query, [n])]))


def sample(
    connection: Connection, table: Table, n: int, seed: int, condition: Statement | None
) -> list[Id]:
    """The ids of ``n`` rows with the lowest hashes of id and seed: the server sends no others."""
    key = table.require_key()
    query = sql.SQL(
        "SELECT {} FROM {}{} ORDER BY hashtextextended({}::text, %s), 1 LIMIT %s"
    ).format(
        identifier(key.name),
        relation(table),
        sql.SQL(" WHERE ") + condition.text if condition is not None else sql.SQL(""),
        identifier(key.name),
    )
    # The second argument of the hash is a bigint.
    values = [*(condition.values if condition is not None else ()), seed % 2**63, n]
    with connection.session(f"draw a sample of {table.name!r}") as at:
        return as_ids(key, [each for (each,) in _rows(connection, at, query, values)])


def _list(table: Table, key: Column, names: Sequence[str], with_payload: bool) -> Any:
    columns = [identifier(key.name), *(identifier(table.vectors[name].name) for name in names)]
    if with_payload:
        columns.append(payload.select(table))
    return sql.SQL(", ").join(columns)


def _rows(
    connection: Connection, at: Any, query: Any, values: Sequence[Any]
) -> list[tuple[Any, ...]]:
    return list(connection.cursor(at).execute(query, values).fetchall())


def _batch(
    table: Table,
    key: Column,
    rows: Sequence[tuple[Any, ...]],
    names: Sequence[str],
    with_payload: bool,
) -> Batch:
    cells: list[Any] = list(zip(*rows, strict=True)) if rows else [()] * (2 + len(names))
    vectors, missing = {}, {}
    for place, name in enumerate(names, start=1):
        column = table.vectors[name]
        vectors[name], mask = unpacked(cells[place], int(column.dim or 0), column.type)
        if mask is not None:
            missing[name] = mask
    payloads = None
    if with_payload:
        payloads = [payload.plain(each, table) for each in cells[1 + len(names)]]
    return Batch(as_ids(key, cells[0]), vectors, payloads, missing)
