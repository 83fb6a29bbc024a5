"""Creation and deletion of tables, and the settings in their comments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg import sql

from qadapt.errors import AlreadyExistsError, InputError
from qadapt.model import Id, Vector
from qadapt.stores.pgvector.connection import Connection
from qadapt.stores.pgvector.ids import kind_of_ids
from qadapt.stores.pgvector.schema import (
    ID_COLUMN,
    ID_TYPES,
    KINDS,
    PAYLOAD_COLUMN,
    UNNAMED_COLUMN,
    Table,
    split_name,
)
from qadapt.stores.pgvector.statements import identifier, literal, relation
from qadapt.stores.pgvector.version import Extension
from qadapt.stores.table_comment import join_comment

MAX_NAME = 63  # bytes; PostgreSQL cuts longer names without an error
TYPES = {"float32": "vector", "float16": "halfvec"}
MAX_DIM = 16_000
# The type of the primary key of a new table is chosen by the first ids that are written.
OPEN_KEY = "open_key"
_KEY_TYPES = {"int": "bigint", "uuid": "uuid", "text": "text"}


def check_name(name: str) -> None:
    """Check the name of a new table.

    Raises:
        InputError
    """
    schema, table = split_name(name)
    for part in (schema, table):
        if part is None:
            continue
        if not part or "\0" in part or len(part.encode()) > MAX_NAME:
            raise InputError(
                f"{name!r:.80} is not a valid table name",
                hint=f"use 1 to {MAX_NAME} bytes, such as 'articles' or 'search.articles'",
            )


def column_of(name: str) -> str:
    """The column of a vector.

    Raises:
        InputError: the name of a vector is that of another column.
    """
    column = name or UNNAMED_COLUMN
    if column in (ID_COLUMN, PAYLOAD_COLUMN) or (name == UNNAMED_COLUMN) or "\0" in column:
        raise InputError(
            f"a vector cannot have the name {name!r}, which is reserved",
            hint="choose another name, such as 'title'",
        )
    if len(column.encode()) > MAX_NAME:
        raise InputError(
            f"the name of the vector {name!r:.80} has more than {MAX_NAME} bytes",
            hint="choose a shorter name",
        )
    return column


def unsupported(vectors: Mapping[str, Vector]) -> str | None:
    """Why a table cannot have these vectors; None if it can."""
    for name, vector in vectors.items():
        if vector.datatype not in TYPES:
            return f"pgvector stores float32 and float16, not {vector.datatype}"
        if vector.dim > MAX_DIM:
            return f"{name or 'the vector'}: pgvector stores at most {MAX_DIM:,} dimensions"
        column_of(name)
    return None


def create(
    at: Any,
    extension: Extension,
    name: str,
    vectors: Mapping[str, Vector],
) -> None:
    """Create a table with a primary key, the vectors and a jsonb column.

    Raises:
        AlreadyExistsError
    """
    import psycopg

    schema, table = split_name(name)
    target = sql.Identifier(schema, table) if schema else sql.Identifier(table)
    columns = [sql.SQL("{} bigint PRIMARY KEY").format(sql.Identifier(ID_COLUMN))]
    metrics = {}
    for each, vector in vectors.items():
        column = column_of(each)
        metrics[column] = vector.metric.value
        columns.append(
            sql.SQL("{} {}({})").format(
                sql.Identifier(column),
                sql.Identifier(extension.schema, TYPES[vector.datatype]),
                sql.SQL(str(vector.dim)),
            )
        )
    columns.append(
        sql.SQL("{} jsonb NOT NULL DEFAULT '{{}}'").format(sql.Identifier(PAYLOAD_COLUMN))
    )
    settings = {"metrics": metrics, OPEN_KEY: True}
    with at.transaction():
        try:
            at.execute(sql.SQL("CREATE TABLE {} ({})").format(target, sql.SQL(", ").join(columns)))
        except psycopg.errors.DuplicateTable as error:
            raise AlreadyExistsError(
                f"the table {name!r} already exists", hint="choose another name"
            ) from error
        at.execute(
            sql.SQL("COMMENT ON TABLE {} IS {}").format(
                target, sql.Literal(join_comment(settings, ""))
            )
        )


def choose_key(connection: Connection, table: Table, ids: Sequence[Id]) -> bool:
    """Give the primary key of a new, empty table the type of the first ids; whether it changed."""
    key = table.key
    if key is None or not table.settings.get(OPEN_KEY) or not ids:
        return False
    kind = kind_of_ids(ids)
    settings = {name: each for name, each in table.settings.items() if name != OPEN_KEY}
    with connection.session(f"write to {table.name!r}") as at, at.transaction():
        at.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(relation(table)), [])
        query = sql.SQL("SELECT EXISTS (SELECT FROM {})").format(relation(table))
        empty = not at.execute(query, []).fetchone()[0]
        if empty and ID_TYPES.get(key.type) != kind:
            at.execute(
                sql.SQL("ALTER TABLE {} ALTER COLUMN {} TYPE {} USING NULL").format(
                    relation(table), identifier(key.name), sql.SQL(_KEY_TYPES[kind])
                ),
                [],
            )
        comment(at, table, settings)
    return True


def drop(at: Any, table: Table) -> None:
    """Delete a table, materialized view or view."""
    kind = {"partitioned table": "table", "foreign table": "foreign table"}.get(
        KINDS[table.kind], KINDS[table.kind]
    )
    at.execute(sql.SQL("DROP {} {}").format(sql.SQL(kind.upper()), relation(table)), [])


def comment(at: Any, table: Table, settings: Mapping[str, Any]) -> None:
    """Write settings to the comment on a table; the text of the user is kept."""
    kind = {"partitioned table": "table"}.get(KINDS[table.kind], KINDS[table.kind])
    text = join_comment(settings, table.comment)
    at.execute(
        sql.SQL("COMMENT ON {} {} IS {}").format(
            sql.SQL(kind.upper()), relation(table), literal(text)
        ),
        [],
    )
