"""Writing and reading rows.

vec0 has neither upserts nor updates of codes, so a row is replaced by deleting and inserting it, in
one transaction with its codes (docs/engines/sqlite-vec.md#writing).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.errors import InputError, UnsupportedError
from qadapt.model import Batch, Id
from qadapt.model.numbers import shown
from qadapt.stores import blobs, key_ids
from qadapt.stores.base import ReadRequest
from qadapt.stores.sqlite_vec import filters, mapping, payload
from qadapt.stores.sqlite_vec.connection import Connection
from qadapt.stores.sqlite_vec.schema import Codes, Table, quoted, shadow, sql_name

# Rows that one statement reads by their ids.
FETCHED = 5_000


# -- ids -----------------------------------------------------------------------------------------


def accepts(table: Table, key: Id) -> bool:
    """Whether the primary key can have an id."""
    return isinstance(key, str) == table.text_key and key_ids.accepts(key)


def check_ids(table: Table, ids: Sequence[Id]) -> None:
    """Check that a primary key can have these ids.

    Raises:
        InputError
    """
    for each in ids:
        if not accepts(table, each):
            kind = "texts" if table.text_key else "integers of 64 bits"
            raise InputError(
                f"the id {shown(each)} does not fit the primary key {table.key.name!r} of the type "
                f"{table.key.type}",
                hint=f"use ids that are {kind}; the first rows of a new table determine the type",
            )


def key_of_rowids(table: Table) -> str:
    """The column of the shadow table ``rowids`` with the ids of the user."""
    return "id" if table.text_key else "rowid"


# -- writing -------------------------------------------------------------------------------------


def require_writable(table: Table) -> None:
    """Check that qadapt can fill all vector columns, which accept no NULL.

    Raises:
        UnsupportedError
    """
    for name, why in table.other_vectors.items():
        raise UnsupportedError(
            f"qadapt cannot write to {table.name!r}: the column {name!r} {why}, and vec0 requires "
            "all vectors of a row",
            hint="write the rows with your own SQL",
        )


def write(at: Any, table: Table, batch: Batch) -> None:
    """Replace or insert rows and their codes, in the transaction of the caller."""
    require_writable(table)
    check_ids(table, batch.ids)
    if not len(batch):
        return
    for vector, mask in batch.missing.items():
        if mask.any():
            raise _incomplete(table, vector, batch.ids[int(np.flatnonzero(mask)[0])])
    fields = payload.rows(table, batch.payloads, len(batch))
    present = _existing(at, table, batch.ids)
    vectors = _complete(at, table, batch, present)
    if present:
        _delete(at, table, list(present))
    _insert(at, table, batch.ids, vectors, fields)


def _incomplete(table: Table, name: str, key: Id) -> InputError:
    return InputError(
        f"the row {key!r} has no vector {name!r}, and vec0 requires all vectors of a row",
        hint=f"write all vectors of {table.name!r}: {', '.join(map(repr, table.vectors))}",
    )


def _existing(at: Any, table: Table, ids: Sequence[Id]) -> set[Id]:
    key = key_of_rowids(table)
    query = (
        f"SELECT r.{key} FROM json_each(?) AS j CROSS JOIN {shadow(table.name, 'rowids')} AS r "
        f"ON r.{key} = j.value"
    )
    return {row[0] for row in at.execute(query, (listed(ids),))}


def listed(ids: Sequence[Id]) -> str:
    """Ids as the argument of ``json_each``."""
    return json.dumps(list(ids), ensure_ascii=False)


def _complete(
    at: Any, table: Table, batch: Batch, present: set[Id]
) -> dict[str, npt.NDArray[np.float32]]:
    """All vectors of the rows: those that the batch does not have are kept."""
    found = {name: batch.vectors[name] for name in table.vectors if name in batch.vectors}
    absent = [name for name in table.vectors if name not in found]
    if not absent:
        return found
    for each in batch.ids:
        if each not in present:
            raise _incomplete(table, absent[0], each)
    kept = _by_ids(at, table, batch.ids, absent, False)
    place = {each: row for row, each in enumerate(kept.ids)}
    order = [place[each] for each in batch.ids]
    return {**found, **{name: kept.vectors[name][order] for name in absent}}


def _insert(
    at: Any,
    table: Table,
    ids: Sequence[Id],
    vectors: dict[str, npt.NDArray[np.float32]],
    fields: list[list[Any]],
) -> None:
    by_column = {table.vectors[name].name: rows for name, rows in vectors.items()}
    columns, marks, cells = [table.key.name], ["?"], [list(ids)]
    for name, rows in by_column.items():
        columns.append(name)
        marks.append("?")
        cells.append(blobs.packed(np.ascontiguousarray(rows, dtype="<f4")))  # type: ignore[arg-type]
    for each in table.codes:
        if not each.separate:
            columns.append(each.column)
            marks.append("vec_bit(?)")
            cells.append(blobs.packed(mapping.signs(by_column[each.vector])))  # type: ignore[arg-type]
    names = payload.names(table)
    columns += names
    marks += ["?"] * len(names)
    cells += [list(each) for each in zip(*fields, strict=True)] if names else []
    at.executemany(_insertion(table.name, columns, marks), zip(*cells, strict=True))
    for each in table.codes:
        if each.separate and each.exists:
            partitions = [e.name for e in table.of("partition")]
            more = [[row[names.index(name)] for row in fields] for name in partitions]
            insert_codes(at, table, each, ids, by_column[each.vector], more)


def insert_codes(
    at: Any,
    table: Table,
    codes: Codes,
    ids: Sequence[Id],
    rows: npt.NDArray[np.float32],
    partitions: Sequence[Sequence[Any]] = (),
) -> None:
    """Insert the codes of rows into a separate table.

    Args:
        partitions: values of each partition key.
    """
    columns = [table.key.name if table.of("key") else "rowid", codes.column]
    columns += [each.name for each in table.of("partition")]
    function = "vec_bit(?)" if codes.kind == "bit" else "vec_int8(?)"
    marks = ["?", function, *("?" * len(partitions))]
    values = blobs.packed(mapping.encoded(rows, codes.kind, codes.scale))
    sql = _insertion(codes.table, columns, marks)
    at.executemany(sql, zip(ids, values, *partitions, strict=True))


def _insertion(table: str, columns: Sequence[str], marks: Sequence[str]) -> str:
    names = ", ".join(map(sql_name, columns))
    return f"INSERT INTO {quoted(table)} ({names}) VALUES ({', '.join(marks)})"


def delete(at: Any, table: Table, ids: Sequence[Id]) -> None:
    """Delete rows and their codes, in the transaction of the caller; unknown ids are ignored."""
    possible = [each for each in ids if accepts(table, each)]
    if possible:
        _delete(at, table, possible)


def _delete(at: Any, table: Table, ids: Sequence[Id]) -> None:
    tables = [table.name, *(e.table for e in table.codes if e.separate and e.exists)]
    for name in tables:
        delete_rows(at, name, table.key.name, ids)


def delete_rows(at: Any, name: str, key: str, ids: Sequence[Id]) -> None:
    """Delete rows of one table by their ids."""
    query = f"DELETE FROM {quoted(name)} WHERE {sql_name(key)} IN (SELECT value FROM json_each(?))"
    at.execute(query, (listed(ids),))


# -- reading -------------------------------------------------------------------------------------


def fetch(
    connection: Connection, table: Table, ids: Sequence[Id], names: Sequence[str], fields: bool
) -> Batch:
    """Rows by id, in the requested order; missing ids are omitted."""
    possible = [each for each in dict.fromkeys(ids) if accepts(table, each)]
    with connection.session(f"read rows of {table.name!r}") as at:
        return _by_ids(at, table, possible, names, fields)


def _by_ids(at: Any, table: Table, ids: Sequence[Id], names: Sequence[str], fields: bool) -> Batch:
    query = (
        f"SELECT {_list(table, names, fields)} FROM json_each(?) AS j "
        f"CROSS JOIN {quoted(table.name)} AS t ON t.{sql_name(table.key.name)} = j.value"
    )
    found: list[tuple[Any, ...]] = []
    for start in range(0, len(ids), FETCHED):
        found += at.execute(query, (listed(ids[start : start + FETCHED]),)).fetchall()
    return _batch(table, found, names, fields)


def pages(
    connection: Connection, table: Table, names: Sequence[str], request: ReadRequest
) -> Iterator[Batch]:
    """All rows, or those of a filter, in pages by id.

    Ids are read from the shadow table, because vec0 scans and sorts the whole table for a page
    (docs/engines/sqlite-vec.md#reading).
    """
    bounds = dict(request.scan_range or {})
    after, through = bounds.get("after"), bounds.get("through")
    if request.after is not None and (after is None or request.after > after):
        after = request.after
    chosen = None
    if request.filter is not None:
        chosen = _matching(connection, table, request.filter, after, through)
    while True:
        with connection.session(f"read {table.name!r}") as at:
            if chosen is None:
                found = next_ids(at, table, after, request.page, through)
            else:
                found, chosen = chosen[: request.page], chosen[request.page :]
            batch = _by_ids(at, table, found, names, request.payload)
        if len(batch):
            yield batch
        if len(found) < request.page:
            return
        after = found[-1]


def next_ids(at: Any, table: Table, after: Any, limit: int, through: Any = None) -> list[Id]:
    """Ids after another one, in order."""
    text, values = _bounds(table, after, through)
    key = key_of_rowids(table)
    query = f"SELECT {key} FROM {shadow(table.name, 'rowids')}{text} ORDER BY {key} LIMIT ?"
    return [row[0] for row in at.execute(query, (*values, limit))]


def _bounds(table: Table, after: Any, through: Any) -> tuple[str, list[Any]]:
    key = key_of_rowids(table)
    tests = [(f"{key} > ?", after), (f"{key} <= ?", through)]
    given = [(text, value) for text, value in tests if value is not None]
    text = " WHERE " + " AND ".join(text for text, _ in given) if given else ""
    return text, [value for _, value in given]


def _matching(
    connection: Connection, table: Table, filter: Any, after: Any, through: Any
) -> list[Id]:
    """The ids of the rows of a filter, in order."""
    inner = filters.ids(filter, table)
    text, values = _bounds(table, after, through)
    key = key_of_rowids(table)
    word = " AND" if text else " WHERE"
    query = (
        f"SELECT {key} FROM {shadow(table.name, 'rowids')}{text}{word} {key} IN ({inner.text}) "
        f"ORDER BY {key}"
    )
    with connection.session(f"read {table.name!r}") as at:
        return [row[0] for row in at.execute(query, (*values, *inner.values))]


def count(connection: Connection, table: Table, filter: Any) -> int:
    """The number of rows, or of those of a filter."""
    with connection.session(f"count the rows of {table.name!r}") as at:
        if filter is None:
            return rows_of(at, table.name)
        inner = filters.ids(filter, table)
        return int(at.execute(f"SELECT count(*) FROM ({inner.text})", inner.values).fetchone()[0])


def rows_of(at: Any, name: str) -> int:
    """The number of rows of a table."""
    return int(at.execute(f"SELECT count(*) FROM {shadow(name, 'rowids')}").fetchone()[0])


def ranges(connection: Connection, table: Table, n: int) -> list[dict[str, Any]]:
    """Ranges of ids with about equally many rows each."""
    key = key_of_rowids(table)
    query = (
        f"SELECT max(k) FROM (SELECT {key} AS k, ntile(?) OVER (ORDER BY {key}) AS part "
        f"FROM {shadow(table.name, 'rowids')}) GROUP BY part ORDER BY 1"
    )
    with connection.session(f"divide {table.name!r} into ranges") as at:
        return key_ids.ranges([row[0] for row in at.execute(query, (n,))])


def _list(table: Table, names: Sequence[str], fields: bool) -> str:
    columns = [table.key.name, *(table.vectors[name].name for name in names)]
    columns += payload.names(table) if fields else []
    return ", ".join(f"t.{sql_name(each)}" for each in columns)


def _batch(
    table: Table, found: Sequence[tuple[Any, ...]], names: Sequence[str], fields: bool
) -> Batch:
    cells: list[Any] = list(zip(*found, strict=True)) if found else [()] * (1 + len(names))
    vectors = {}
    for place, name in enumerate(names, start=1):
        vectors[name] = blobs.unpacked(cells[place], table.vectors[name].dim, "<f4")[0]
    payloads = None
    if fields:
        payloads = [payload.plain(table, row[1 + len(names) :]) for row in found]
    return Batch(list(cells[0]), vectors, payloads)
