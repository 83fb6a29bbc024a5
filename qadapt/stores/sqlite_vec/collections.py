"""Tables of vec0 in a file: listed, created, dropped."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from qadapt.errors import AlreadyExistsError, InputError, StoreError, UnsupportedError
from qadapt.model import Batch, CollectionSchema, Vector
from qadapt.stores.sqlite_vec import schema, settings
from qadapt.stores.sqlite_vec.connection import Connection
from qadapt.stores.sqlite_vec.mapping import MAX_DIM
from qadapt.stores.sqlite_vec.schema import (
    ID_COLUMN,
    PAYLOAD_COLUMN,
    UNNAMED_COLUMN,
    Column,
    Table,
    quoted,
)

MAX_VECTORS = 16
# Names of columns that vec0 or qadapt uses.
_RESERVED = (ID_COLUMN, PAYLOAD_COLUMN, "rowid", "distance", "k")
_COLUMN = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_MASTER = "SELECT name, sql FROM sqlite_master WHERE type = 'table'"
# The types of the primary key and of the partition key of a new table are chosen by the first rows
# that are written.
OPEN_KEY = "open_key"


# -- reading -------------------------------------------------------------------------------------


def read_tables(at: Any) -> dict[str, Table]:
    """All tables of vec0 by name, without the tables of codes that qadapt made."""
    known = settings.read_all(at)
    statements = dict(at.execute(_MASTER).fetchall())
    codes = {
        each["table"]
        for own in known.values()
        for kinds in (own.get("codes") or {}).values()
        for each in kinds
    }
    found = {}
    for name, sql in statements.items():
        body = schema.body_of(sql)
        if body is None or name in codes:
            continue
        missing = frozenset(codes - statements.keys())
        found[name] = _table(name, body, known.get(name, {}), f"{name}_rowids", statements, missing)
    return found


def _table(
    name: str,
    body: str,
    own: Mapping[str, Any],
    rowids: str,
    statements: Mapping[str, str],
    missing: frozenset[str],
) -> Table:
    renamed = rowids not in statements
    try:
        columns = schema.parse(body)
    except ValueError as problem:
        why = f"its definition has {str(problem)!r}, which sqlite-vec 0.1.9 does not have"
        return Table(name, (), own, renamed, why)
    return Table(name, columns, own, renamed, "", missing)


def require_readable(table: Table) -> Table:
    """Check that statements on a table are safe.

    A point read of a renamed table ends the process with a segmentation fault
    (docs/engines/sqlite-vec.md#tables).

    Raises:
        StoreError: the table was renamed.
        UnsupportedError: another version of sqlite-vec created it.
    """
    if table.renamed:
        raise StoreError(
            f"the table {table.name!r} was renamed: its data is in tables with the former name, "
            "and statements on it can end the process",
            hint=f"rename it back: ALTER TABLE {quoted(table.name)} RENAME TO ...",
        )
    if table.unreadable:
        raise UnsupportedError(
            f"cannot read {table.name!r}: {table.unreadable}",
            hint="create the table without it and copy the rows, or open it with its own version",
        )
    return table


# -- creating ------------------------------------------------------------------------------------


def check_name(name: str) -> None:
    """Check the name of a new table.

    Raises:
        InputError
    """
    low = name.lower()
    reserved = low.startswith("sqlite_") or low == settings.TABLE
    if not name or "\0" in name or len(name) > 200 or reserved:
        raise InputError(
            f"{name!r:.80} is not a valid table name",
            hint="use 1 to 200 characters, such as 'articles', that do not start with 'sqlite_'",
        )


def unsupported(vectors: Mapping[str, Vector]) -> str | None:
    """Why a table cannot have these vectors; None if it can."""
    if len(vectors) > MAX_VECTORS:
        return f"sqlite-vec has at most {MAX_VECTORS} vectors per table"
    for name, vector in vectors.items():
        if vector.datatype != "float32":
            return f"sqlite-vec stores float32, not {vector.datatype}"
        if vector.metric not in schema.WORDS:
            return (
                f"sqlite-vec has no metric {vector.metric}; if all vectors have length 1, cosine "
                "returns the same results"
            )
        if vector.dim > MAX_DIM:
            return f"{name or 'the vector'}: sqlite-vec stores at most {MAX_DIM:,} dimensions"
    return None


def column_of(name: str, table: str) -> str:
    """The column of a vector.

    Raises:
        InputError: a name that vec0 does not accept, or that of another column.
    """
    column = name or UNNAMED_COLUMN
    taken = column.lower() in (*_RESERVED, table.lower()) or name == UNNAMED_COLUMN
    if taken or not _COLUMN.fullmatch(column):
        raise InputError(
            f"a vector cannot have the name {name!r:.80}: it is reserved, or has characters other "
            "than letters, digits and '_'",
            hint="choose another name, such as 'title'",
        )
    return column


def partition_schema(table: Table) -> CollectionSchema:
    """The partition key of a table; several ones have no common form, and are payload fields."""
    keys = table.of("partition")
    if len(keys) != 1:
        return CollectionSchema()
    return CollectionSchema(is_partitioned=True, partition_key=keys[0].name)


def unsupported_partitions(schema: CollectionSchema) -> Mapping[str, str]:
    """Why a table cannot have these partitions; empty if it can."""
    if not schema.is_partitioned:
        return {}
    key = schema.partition_key
    if key is None:
        return {"partitions": "sqlite-vec partitions rows by a column, not by name"}
    if key.lower() in _RESERVED or not _COLUMN.fullmatch(key):
        return {"partitions": f"a column of sqlite-vec cannot have the name {key!r:.80}"}
    return {}


def create(
    connection: Connection, name: str, vectors: Mapping[str, Vector], partition_key: str | None
) -> None:
    """Create a table with a primary key, the vectors and a column for payloads.

    Args:
        partition_key: the payload field that partitions the rows; None for no partitions.

    Raises:
        AlreadyExistsError
    """
    columns = [Column(ID_COLUMN, "key", "integer")]
    if partition_key is not None:
        columns.append(Column(partition_key, "partition", "text"))
    for each, vector in vectors.items():
        word = schema.WORDS[vector.metric]
        columns.append(Column(column_of(each, name), "vector", "float", vector.dim, word))
    columns.append(Column(PAYLOAD_COLUMN, "auxiliary", "text"))
    connection.use_wal()
    with connection.transaction(f"create {name!r}") as at:
        taken = at.execute(
            "SELECT name FROM sqlite_master WHERE lower(name) = lower(?)", (name,)
        ).fetchone()
        if taken:
            raise AlreadyExistsError(
                f"the table {taken[0]!r} already exists", hint="choose another name"
            )
        at.execute(schema.statement(name, columns))
        settings.write(at, name, {"json": True, OPEN_KEY: True})


def choose_key(connection: Connection, table: Table, batch: Batch) -> bool:
    """Give the keys of a new, empty table the types of the first rows; whether they changed.

    vec0 cannot alter a column, so the table and its tables of codes are created again.
    """
    if not table.settings.get(OPEN_KEY) or not batch.ids:
        return False
    kinds = {"key": "text" if isinstance(batch.ids[0], str) else "integer"}
    for each in table.of("partition"):
        value = (batch.payloads or [{}])[0].get(each.name)
        kinds["partition"] = "integer" if isinstance(value, int) else "text"
    own = {key: value for key, value in table.settings.items() if key != OPEN_KEY}
    with connection.transaction(f"write to {table.name!r}") as at:
        current = read_tables(at).get(table.name)
        if current is None or not current.settings.get(OPEN_KEY):
            return True  # another connection chose in between
        rows = f"SELECT 1 FROM {schema.shadow(table.name, 'rowids')} LIMIT 1"
        same = all(each.type == kinds.get(each.role, each.type) for each in table.columns)
        if not same and not at.execute(rows).fetchone():
            for name in (table.name, *(e.table for e in table.codes if e.separate and e.exists)):
                sql = at.execute("SELECT sql FROM sqlite_master WHERE name = ?", (name,))
                body = schema.body_of(sql.fetchone()[0])
                assert body is not None
                columns = [
                    replace(each, type=kinds.get(each.role, each.type))
                    for each in schema.parse(body)
                ]
                at.execute(f"DROP TABLE {quoted(name)}")
                at.execute(schema.statement(name, columns))
        settings.write(at, table.name, own)
    return True


def drop(connection: Connection, table: Table) -> None:
    """Delete a table and its codes."""
    with connection.transaction(f"drop {table.name!r}") as at:
        for each in table.codes:
            if each.separate and each.exists:
                at.execute(f"DROP TABLE {quoted(each.table)}")
        at.execute(f"DROP TABLE {quoted(table.name)}")
        settings.remove(at, table.name)
