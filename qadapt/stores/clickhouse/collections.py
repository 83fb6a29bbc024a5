"""Tables of a database: listed, read, created, dropped."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from qadapt.errors import AlreadyExistsError, InputError
from qadapt.model import Id, Vector
from qadapt.stores import key_ids
from qadapt.stores.clickhouse.connection import Connection, literal, quoted
from qadapt.stores.clickhouse.schema import (
    COUNT,
    DATATYPES,
    ID_COLUMN,
    PAYLOAD_COLUMN,
    PLANES,
    QBIT,
    RESERVED,
    UNNAMED_COLUMN,
    VERSION_COLUMN,
    Codec,
    Column,
    Index,
    Table,
)
from qadapt.stores.table_comment import join_comment, split_comment

MAX_NAME = 200
# The type of the ids of a new table is chosen by the first rows that are written.
OPEN_KEY = "open_key"
# Tables of an interrupted copy.
COPY = "__qadapt_copy"
KEY_TYPES = {"int": "Int64", "text": "String"}
_WORDS = {"float32": "Float32", "bfloat16": "BFloat16"}

_LIST = (
    "SELECT DISTINCT c.table AS name FROM system.columns AS c JOIN system.tables AS t "
    "ON t.database = c.database AND t.name = c.table WHERE c.database = {d:String} AND "
    "(match(c.type, '^Array\\\\((Float32|BFloat16)\\\\)$') OR startsWith(c.type, 'QBit(')) AND "
    f"t.engine LIKE '%MergeTree' AND NOT endsWith(c.table, '{COPY}') ORDER BY name"
)
_TABLE = (
    "SELECT engine, comment, sorting_key FROM system.tables "
    "WHERE database = {d:String} AND name = {t:String}"
)
_COLUMNS = (
    "SELECT name, type, compression_codec, default_kind FROM system.columns "
    "WHERE database = {d:String} AND table = {t:String} ORDER BY position"
)
_INDEXES = (
    "SELECT name, expr, type_full, toUInt64(data_compressed_bytes) AS size, "
    "toUInt64(granularity) AS g FROM system.data_skipping_indices "
    "WHERE database = {d:String} AND table = {t:String}"
)


# -- reading -------------------------------------------------------------------------------------


def names(connection: Connection) -> list[str]:
    """The tables with vectors, sorted."""
    given = {"d": connection.database}
    return [row[0] for row in connection.rows(_LIST, "list the tables", given)]


def read_table(connection: Connection, name: str, key_name: str = "") -> Table | None:
    """A table; None if it does not exist or has no vectors."""
    given = {"d": connection.database, "t": name}
    doing = f"read the definition of {name!r}"
    found = connection.rows(_TABLE, doing, given)
    if not found or not found[0][0].endswith("MergeTree"):
        return None
    engine, comment, sorting_key = found[0]
    columns = tuple(
        Column(each, kind, Codec.parse(codec), default in ("MATERIALIZED", "ALIAS"))
        for each, kind, codec, default in connection.rows(_COLUMNS, doing, given)
        if default != "EPHEMERAL"  # it has no values, only the row that is inserted
    )
    if not any(each.type in DATATYPES or QBIT.match(each.type) for each in columns):
        return None
    indexes, others = [], []
    for each, expression, kind, size, granularity in connection.rows(_INDEXES, doing, given):
        index = Index.parse(each, expression, kind, size, granularity)
        if index is None:
            others.append(each)
        else:
            indexes.append(index)
    settings, rest = split_comment(comment)
    table = Table(
        connection.database, name, engine, columns, tuple(indexes), tuple(others), sorting_key,
        settings, rest, key_name=key_name,
    )  # fmt: skip
    return _measured(connection, table)


def _measured(connection: Connection, table: Table) -> Table:
    """The table with the dimensions of columns that have neither index nor codec."""
    unknown = [each.name for each in table.vectors.values() if not table.dim_of(each)]
    if not unknown:
        return table
    found = {}
    for name in unknown:
        column = quoted(name)
        text = (
            f"SELECT toInt64(length({column})) AS {COUNT} FROM {relation(table)} "
            f"WHERE notEmpty({column}) LIMIT 1"
        )
        rows = connection.rows(text, f"read the dimensions of {name!r}")
        if rows:
            found[name] = int(rows[0][0])
    return replace(table, lengths=found)


def relation(table: Table) -> str:
    """The table in a statement."""
    return f"{quoted(table.database)}.{quoted(table.name)}"


# -- creating ------------------------------------------------------------------------------------


def check_name(name: str) -> None:
    """Check the name of a new table.

    Raises:
        InputError
    """
    if not name or "\0" in name or len(name.encode()) > MAX_NAME or name.endswith(COPY):
        raise InputError(
            f"{name!r:.80} is not a valid table name",
            hint=f"use 1 to {MAX_NAME} bytes, such as 'articles', that do not end with {COPY!r}",
        )


def unsupported(vectors: Mapping[str, Vector]) -> str | None:
    """Why a table cannot have these vectors; None if it can."""
    for name, vector in vectors.items():
        if vector.datatype not in _WORDS:
            return f"ClickHouse stores float32 and bfloat16, not {vector.datatype}"
        column_of(name)
    return None


def column_of(name: str) -> str:
    """The column of a vector.

    Raises:
        InputError: the name is reserved.
    """
    column = name or UNNAMED_COLUMN
    if column in RESERVED or name == UNNAMED_COLUMN or "\0" in column or "." in column:
        raise InputError(
            f"a vector cannot have the name {name!r:.80}: it is reserved, or has a dot",
            hint="choose another name, such as 'title'",
        )
    return column


def create(
    connection: Connection,
    name: str,
    vectors: Mapping[str, Vector],
    indexes: Sequence[Index],
    codecs: Mapping[str, Codec],
    precision: Mapping[str, int],
    kind: str = "int",
) -> None:
    """Create a table with an id, the vectors, a JSON document and a version.

    Args:
        codecs: the codec of each column that has one.
        precision: the number of bit planes that a search reads, of each column that has them.
        kind: of the ids, ``int`` or ``text``; the first rows may change it.

    Raises:
        AlreadyExistsError
    """
    settings: dict[str, Any] = {
        "metrics": {column_of(each): vector.metric.value for each, vector in vectors.items()},
        "dims": {column_of(each): vector.dim for each, vector in vectors.items()},
        "precision": dict(precision),
        OPEN_KEY: True,
    }
    if exists(connection, name):
        raise AlreadyExistsError(f"the table {name!r} already exists", hint="choose another name")
    place = f"{quoted(connection.database)}.{quoted(name)}"
    comment = join_comment(settings, "") or ""
    text = statement(place, vectors, indexes, codecs, kind, comment, planes=tuple(precision))
    connection.execute(text, f"create {name!r}")


def exists(connection: Connection, name: str) -> bool:
    """Whether the database has a table of any kind with this name."""
    given = {"d": connection.database, "t": name}
    return bool(connection.rows(_TABLE, "list the tables", given))


def statement(
    place: str,
    vectors: Mapping[str, Vector],
    indexes: Sequence[Index],
    codecs: Mapping[str, Codec],
    kind: str,
    comment: str,
    create: str = "CREATE TABLE",
    planes: Sequence[str] = (),
) -> str:
    """The statement that creates a table of qadapt; ``planes`` are columns with bit planes."""
    lines = [f"{ID_COLUMN} {KEY_TYPES[kind]}"]
    checks = []
    for name, vector in vectors.items():
        column = column_of(name)
        line = f"{quoted(column)} Array({_WORDS[vector.datatype]})"
        codec = codecs.get(column)
        lines.append(f"{line} CODEC({codec.text})" if codec else line)
        checks.append(
            f"CONSTRAINT {quoted(f'{column}_dimensions')} "
            f"CHECK length({quoted(column)}) = {vector.dim}"
        )
    lines += [f"{PAYLOAD_COLUMN} String CODEC(ZSTD(1))", f"{VERSION_COLUMN} UInt64"]
    dims = {column_of(name): vector.dim for name, vector in vectors.items()}
    lines += [planes_definition(column, dims[column]) for column in planes]
    lines += [index_definition(each) for each in indexes]
    text = (
        f"{create} {place} ({', '.join([*lines, *checks])}) "
        f"ENGINE = ReplacingMergeTree({VERSION_COLUMN}) ORDER BY {ID_COLUMN} "
        f"COMMENT {literal(comment)}"
    )
    return f"{text} SETTINGS enable_quantized_codec = 1" if codecs else text


def index_definition(index: Index) -> str:
    """An index in a definition."""
    return (
        f"INDEX {quoted(index.name)} {quoted(index.column)} TYPE {index.type_full} "
        f"GRANULARITY {index.granularity}"
    )


def planes_definition(column: str, dim: int) -> str:
    """A column with the bit planes of the codes of another one: values at length ``sqrt(dim)``,
    rounded to the levels of a normal distribution."""
    source = quoted(column)
    # A zero vector has no length.
    codes = (
        f"arrayMap(x -> quantizeBFloat16ToInt8(toBFloat16(x * {math.sqrt(dim)!r} / "
        f"greatest(L2Norm({source}), 1e-30))), {source})"
    )
    kind = f"QBit(Int8, {dim})"
    return f"{quoted(column + PLANES)} {kind} MATERIALIZED CAST({codes} AS {kind})"


# -- ids -----------------------------------------------------------------------------------------


def kind_of_ids(ids: Sequence[Id]) -> str:
    """``int`` or ``text``.

    Raises:
        InputError: ids of both kinds.
    """
    return "int" if key_ids.are_integers(ids) else "text"


def choose_key(connection: Connection, table: Table, ids: Sequence[Id]) -> bool:
    """Give the ids of a new, empty table the type of the first ids; whether the table changed.

    The sorting key of a table cannot be altered, so that the empty table is replaced.
    """
    if not table.settings.get(OPEN_KEY) or not ids:
        return False
    kind = kind_of_ids(ids)
    settings = {key: value for key, value in table.settings.items() if key != OPEN_KEY}
    text = join_comment(settings, table.comment) or ""
    doing = f"write to {table.name!r}"
    (count,) = connection.select(f"SELECT count() AS n FROM {relation(table)}", doing)["n"]
    if kind == table.key_kind or count:
        set_comment(connection, table, settings)
        return True
    vectors = {name: table.vector(name) for name in table.vectors}
    codecs = {each.name: each.codec for each in table.columns if each.codec}
    place = relation(table)
    create = "CREATE OR REPLACE TABLE"
    planes = [each.name for each in table.columns if table.planes_of(each.name)]
    made = statement(place, vectors, table.indexes, codecs, kind, text, create, planes)
    connection.execute(made, doing)
    return True


def set_comment(connection: Connection, table: Table, settings: Mapping[str, Any]) -> None:
    """Write the settings of qadapt to the comment on a table; the text of the user is kept."""
    text = join_comment(settings, table.comment) or ""
    connection.execute(
        f"ALTER TABLE {relation(table)} MODIFY COMMENT {literal(text)}",
        f"comment on {table.name!r}",
    )


def drop(connection: Connection, table: Table) -> None:
    """Delete a table at once, with its copy of an interrupted change."""
    connection.execute(f"DROP TABLE {relation(table)} SYNC", f"drop {table.name!r}")
    copy = f"{quoted(table.database)}.{quoted(table.name + COPY)}"
    connection.execute(f"DROP TABLE IF EXISTS {copy} SYNC", f"drop the copy of {table.name!r}")
