"""The SQL of searches.

Identifiers are quoted and qualified with their schema, values are parameters. A distance is written
as the expression of the index, because the planner uses an index for no other form
(docs/engines/pgvector.md#planner).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from qadapt.model import Vector
from qadapt.stores.pgvector.mapping import HAMMING, OPERATORS
from qadapt.stores.pgvector.schema import Column, Index, Table


@dataclass(frozen=True)
class Statement:
    """A statement with its parameters.

    Attributes:
        text: a ``psycopg.sql.Composable``.
        values: the parameters, in order.
    """

    text: Any
    values: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Source:
    """What a search reads: a table, one of its vectors, and the schema of the extension."""

    table: Table
    column: Column
    vector: Vector
    extension: str


def relation(table: Table) -> Any:
    """The qualified name of a table."""
    return identifier(table.schema, table.name)


def identifier(*names: str) -> Any:
    """A quoted name; ``%`` is doubled because parameters are passed."""
    return sql.SQL(sql.Identifier(*names).as_string(None).replace("%", "%%"))


def literal(value: Any) -> Any:
    """A quoted value, for statements that accept no parameter there; ``%`` is doubled."""
    return sql.SQL(sql.Literal(value).as_string(None).replace("%", "%%"))


def distance(source: Source, codes: str, dims: int | None = None) -> Any:
    """The distance of a row to a query by an index with these codes; ascending is nearer.

    The query is a parameter of the type of the column, with all dimensions.

    Args:
        dims: number of first dimensions that the index keeps; None for all.
    """
    column, kind = identifier(source.column.name), _type(source, source.column.type)
    query = sql.SQL("%b::{}({})").format(kind, sql.SQL(str(source.vector.dim)))
    if codes == "bit":
        # Without a cast, a query of other dimensions is refused instead of padded.
        form, operator = "({c}) OPERATOR({s}.{o}) {q}", HAMMING
        query = sql.SQL("{}({})").format(
            identifier(source.extension, "binary_quantize"), _first(source.extension, query, dims)
        )
    elif codes == "vector":
        form, operator = "{c} OPERATOR({s}.{o}) {q}", OPERATORS[source.vector.metric]
    else:
        form, operator = "({c}) OPERATOR({s}.{o}) {q}", OPERATORS[source.vector.metric]
        query = code_expression(source.extension, source.column, codes, dims, query)
    return sql.SQL(form).format(
        c=code_expression(source.extension, source.column, codes, dims, column),
        o=sql.SQL(operator),
        q=query,
        s=identifier(source.extension),
    )


def code_distance(source: Source, index: Index | None) -> Any:
    """The distance by the codes of an index; by the vectors of the column without one."""
    return (
        distance(source, "vector") if index is None else distance(source, index.codes, index.dims)
    )


def code_expression(
    extension: str, column: Column, codes: str, dims: int | None, value: Any
) -> Any:
    """The expression of an index, applied to a value of the type of the column.

    Args:
        extension: the schema of pgvector.
        codes: ``vector``, ``halfvec``, ``bit`` or ``subvector``.
        dims: number of first dimensions; None for all.
        value: the column or a query.
    """
    if codes == "vector":
        return value
    kept = _first(extension, value, dims)
    size = sql.SQL(str(dims or column.dim))
    if codes == "bit":
        function = identifier(extension, "binary_quantize")
        return sql.SQL("{}({})::bit({})").format(function, kept, size)
    kind = "halfvec" if codes == "halfvec" or column.type == "halfvec" else "vector"
    return sql.SQL("{}::{}({})").format(kept, identifier(extension, kind), size)


def _first(extension: str, value: Any, dims: int | None) -> Any:
    if dims is None:
        return value
    return sql.SQL("{}({}, 1, {})").format(
        identifier(extension, "subvector"), value, sql.SQL(str(dims))
    )


def nearest(
    source: Source,
    index: Index | None,
    limit: int,
    condition: Statement | None,
    columns: Sequence[Any],
) -> Any:
    """Rows by the distance of the codes of an index: one parameter for the query, after those of
    the condition. Without an index, by the vectors of the column."""
    where = [] if condition is None else [condition.text]
    return sql.SQL("SELECT {} FROM {}{} ORDER BY {} LIMIT {}").format(
        sql.SQL(", ").join(columns),
        relation(source.table),
        sql.SQL(" WHERE ") + sql.SQL(" AND ").join(where) if where else sql.SQL(""),
        code_distance(source, index),
        sql.SQL(str(limit)),
    )


def _type(source: Source, name: str) -> Any:
    return identifier(source.extension, name)
