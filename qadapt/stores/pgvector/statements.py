"""The SQL of searches.

Identifiers are quoted and qualified with their schema, values are parameters. A distance is written
as the expression of the index, because the planner uses an index for no other form
(docs/engines/pgvector.md#planner).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from psycopg import sql

from qadapt.model import Metric, Vector
from qadapt.stores.pgvector.mapping import HAMMING, OPERATORS
from qadapt.stores.pgvector.schema import Column, Table


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


def distance(source: Source, codes: str, query: str = "%b") -> Any:
    """The distance of a row to a query by an index with these codes; ascending is nearer.

    Args:
        query: the placeholder of the query, a vector of the type of the column.
    """
    column, dim = identifier(source.column.name), source.vector.dim
    kind = _type(source, source.column.type)
    value = sql.SQL(query + "::{}({})").format(kind, sql.SQL(str(dim)))
    if codes == "bit":
        function = identifier(source.extension, "binary_quantize")
        # Without a cast, a query of other dimensions is refused instead of padded.
        form = "({f}({c})::bit({d})) OPERATOR({s}.{o}) {f}({q})"
        operator = HAMMING
    else:
        function = None
        half = codes == "halfvec" and source.column.type != "halfvec"
        form = (
            "({c}::{h}({d})) OPERATOR({s}.{o}) {q}::{h}({d})"
            if half
            else "{c} OPERATOR({s}.{o}) {q}"
        )
        operator = OPERATORS[source.vector.metric]
    return sql.SQL(form).format(
        c=column,
        d=sql.SQL(str(dim)),
        f=function or sql.SQL(""),
        h=_type(source, "halfvec"),
        o=sql.SQL(operator),
        q=value,
        s=identifier(source.extension),
    )


def nearest(
    source: Source, codes: str, limit: int, condition: Statement | None, columns: Sequence[Any]
) -> Any:
    """Rows by the distance of codes: one parameter for the query, after those of the condition."""
    where = [] if condition is None else [condition.text]
    return sql.SQL("SELECT {} FROM {}{} ORDER BY {} LIMIT {}").format(
        sql.SQL(", ").join(columns),
        relation(source.table),
        sql.SQL(" WHERE ") + sql.SQL(" AND ").join(where) if where else sql.SQL(""),
        distance(source, codes),
        sql.SQL(str(limit)),
    )


def score(metric: Metric, distance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Scores of distances: cosine similarity, dot product, negative squared distance."""
    if metric is Metric.COSINE:
        return 1.0 - distance
    return -distance if metric is Metric.DOT else -(distance * distance)


def _type(source: Source, name: str) -> Any:
    return identifier(source.extension, name)
