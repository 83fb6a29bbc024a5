"""Common filters as SQL conditions with parameters.

Fields of the jsonb column are compared as JSON, so that a filter selects the same rows as the
reference in ``qadapt.model.filters``: an element of a list matches, ``true`` is not 1, numbers are
compared exactly. Equality is written with ``@>``, which a GIN index serves. Fields with a column
are compared by its type, which an index on the column serves.
"""

from __future__ import annotations

from typing import Any

from psycopg import sql

from qadapt.errors import SpecError, UnsupportedError
from qadapt.model import filters
from qadapt.model.dates import moment
from qadapt.model.filter_checks import Scalar
from qadapt.stores.pgvector.schema import (
    NUMBER_TYPES,
    PAYLOAD_COLUMN,
    TEXT_TYPES,
    Column,
    Table,
)
from qadapt.stores.pgvector.statements import Statement, identifier

_COMPARE = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
# `pg_input_is_valid`; without it, a text that looks like a date would end the statement.
SINCE_INPUT_CHECK = 160000
_DATE = (
    r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
    r"([Tt ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,9})?)?([Zz]|[+-]\d{2}:?\d{2})?)?$"
)
_LAST_DIGITS = r"(\.\d{6})\d+"
# An ISO date as a moment: microseconds are truncated, and UTC is the default zone.
_MOMENT = (
    "(regexp_replace(e #>> '{{}}', %s, '\\1') || CASE "
    "WHEN (e #>> '{{}}') ~ '[Zz]$|[Tt ].*[+-]\\d\\d:?\\d\\d$' THEN '' ELSE '+00' END)"
    "::timestamptz {} %s"
)
_MOMENTS = ("date", "timestamp", "timestamptz")


def to_condition(filter: Any, table: Table, server_version: int) -> Statement | None:
    """The condition of a common filter, or a native one; None without a filter.

    Args:
        filter: the common form, or ``psycopg.sql.Composable`` of a condition without parameters.
        server_version: such as 160004.

    Raises:
        SpecError: neither of the two, or a field that the table cannot have.
    """
    if filter is None:
        return None
    if isinstance(filter, sql.Composable):
        return Statement(sql.SQL("({})").format(filter))
    if not filters.is_common(filter):
        raise SpecError(
            f"a filter is a mapping or a psycopg.sql.Composable; got a {type(filter).__name__}",
            hint='for example {"topic": "art"}',
        )
    return _Writer(table, server_version).node(filters.parse_filter(filter))


class _Writer:
    """Writes the conditions of one table."""

    def __init__(self, table: Table, server_version: int) -> None:
        self.table = table
        self.server_version = server_version

    def node(self, node: filters.Filter) -> Statement:
        if isinstance(node, filters.AllOf):
            return _joined(" AND ", [self.node(each) for each in node.children])
        if isinstance(node, filters.AnyOf):
            return _joined(" OR ", [self.node(each) for each in node.children])
        if isinstance(node, filters.Not):
            inner = self.node(node.child)
            return _of("NOT coalesce({}, false)", inner)
        column = self.table.column(node.field)
        if column is not None and self._is_field(column):
            return self._by_column(node, column)
        if not self.table.has_payload_column:
            known = sorted(each.name for each in self.table.payload_columns)
            raise SpecError.unknown("column", node.field, known, where=repr(self.table.name))
        return self._in_document(node, identifier(PAYLOAD_COLUMN), node.field.split("."))

    def _is_field(self, column: Column) -> bool:
        return column in self.table.payload_columns or column == self.table.key

    # -- columns with a type -----------------------------------------------------------------

    def _by_column(self, node: filters.Filter, column: Column) -> Statement:
        if isinstance(node, filters.Range):
            return self._range_of_column(node, column)
        if isinstance(node, filters.Exists):
            return _exists(_sql("to_jsonb({})").format(identifier(column.name)))
        if isinstance(node, filters.IsNull):
            return _is_null(_sql("to_jsonb({})").format(identifier(column.name)))
        assert isinstance(node, (filters.Equals, filters.OneOf))
        values = node.values if isinstance(node, filters.OneOf) else (node.value,)
        return _joined(" OR ", [self._equals_column(column, each) for each in values])

    def _equals_column(self, column: Column, value: Scalar) -> Statement:
        name = identifier(column.name)
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if column.type in NUMBER_TYPES and number:
            return Statement(_sql("{} = %s::numeric").format(name), (_number(value),))
        if column.type in TEXT_TYPES and isinstance(value, str):
            return Statement(_sql("{} = %s").format(name), (value,))
        if column.type == "bool" and isinstance(value, bool):
            return Statement(_sql("{} = %s").format(name), (value,))
        if column.type in (*NUMBER_TYPES, *TEXT_TYPES, "bool"):
            return Statement(_sql("false"))
        return _equals_json(_sql("to_jsonb({})").format(name), value)

    def _range_of_column(self, node: filters.Range, column: Column) -> Statement:
        name = identifier(column.name)
        if not node.over_dates and column.type in NUMBER_TYPES:
            # NaN of a column is larger than all numbers in PostgreSQL, and in no range here.
            parts = [
                Statement(
                    _sql("{} {} %s::numeric").format(name, _sql(_COMPARE[word])), (_number(each),)
                )
                for word, each in node.bounds.items()
            ]
            if column.type in ("float4", "float8", "numeric"):
                parts.append(Statement(_sql("{} <> 'NaN'").format(name)))
            return _joined(" AND ", parts)
        if node.over_dates and column.type in _MOMENTS:
            value = name
            if column.type != "timestamptz":
                value = _sql("({}::timestamp AT TIME ZONE 'UTC')").format(name)
            return _joined(
                " AND ",
                [
                    Statement(
                        _sql("{} {} %s").format(value, _sql(_COMPARE[word])),
                        (moment(each),),
                    )
                    for word, each in node.bounds.items()
                ],
            )
        if column.type in (*NUMBER_TYPES, *_MOMENTS, "bool"):
            return Statement(_sql("false"))
        return self._range_of_json(node, _sql("to_jsonb({})").format(name))

    # -- JSON --------------------------------------------------------------------------------

    def _in_document(self, node: filters.Filter, document: Any, path: list[str]) -> Statement:
        if isinstance(node, (filters.Range, filters.Exists, filters.IsNull)):
            value = _sql("{} #> %s::text[]").format(document)
            if isinstance(node, filters.Range):
                found = self._range_of_json(node, value)
            else:
                found = _exists(value) if isinstance(node, filters.Exists) else _is_null(value)
            return Statement(found.text, (path, *found.values))
        assert isinstance(node, (filters.Equals, filters.OneOf))
        values = node.values if isinstance(node, filters.OneOf) else (node.value,)
        parts = []
        for each in values:
            for element in (each, [each]):
                parts.append(
                    Statement(_sql("{} @> %s").format(document), (_json(_nested(path, element)),))
                )
        return _joined(" OR ", parts)

    def _range_of_json(self, node: filters.Range, value: Any) -> Statement:
        """Whether an element of a JSON value is between the bounds; parameters of ``value`` come
        first."""
        if node.over_dates:
            return self._dates_of_json(node, value)
        bounds = [
            Statement(
                _sql("(e #>> '{{}}')::numeric {} %s::numeric").format(_sql(_COMPARE[word])),
                (_number(each),),
            )
            for word, each in node.bounds.items()
        ]
        test = _joined(" AND ", bounds)
        return Statement(
            _sql(
                "EXISTS (SELECT FROM jsonb_array_elements({}) e "
                "WHERE CASE WHEN jsonb_typeof(e) = 'number' THEN {} ELSE false END)"
            ).format(_elements(value), test.text),
            test.values,
        )

    def _dates_of_json(self, node: filters.Range, value: Any) -> Statement:
        if self.server_version < SINCE_INPUT_CHECK:
            raise UnsupportedError(
                "ranges of dates in jsonb need PostgreSQL 16 or newer",
                hint="store the date in a column of the type timestamptz",
            )
        bounds = [
            Statement(_sql(_MOMENT).format(_sql(_COMPARE[word])), (_LAST_DIGITS, moment(each)))
            for word, each in node.bounds.items()
        ]
        test = _joined(" AND ", bounds)
        return Statement(
            _sql(
                "EXISTS (SELECT FROM jsonb_array_elements({}) e WHERE CASE WHEN "
                "jsonb_typeof(e) = 'string' AND (e #>> '{{}}') ~ %s "
                "AND pg_input_is_valid(left(e #>> '{{}}', 10), 'date') THEN {} ELSE false END)"
            ).format(_elements(value), test.text),
            (_DATE, *test.values),
        )


def _elements(value: Any) -> Any:
    """A JSON value as an array: a list itself, one value as the only element."""
    return _sql(
        "(SELECT CASE jsonb_typeof(v) WHEN 'array' THEN v ELSE jsonb_build_array(v) END "
        "FROM (SELECT {} AS v) AS source WHERE v IS NOT NULL)"
    ).format(value)


def _exists(value: Any) -> Statement:
    """Whether a JSON value is there, and neither null nor an empty list."""
    return Statement(_sql("coalesce({} NOT IN ('null', '[]'), false)").format(value))


def _is_null(value: Any) -> Statement:
    """Whether a JSON value, or an element of a list, is null."""
    return Statement(
        _sql(
            "EXISTS (SELECT FROM jsonb_array_elements({}) e WHERE jsonb_typeof(e) = 'null')"
        ).format(_elements(value))
    )


def _equals_json(value: Any, wanted: Scalar) -> Statement:
    return Statement(
        _sql("EXISTS (SELECT FROM jsonb_array_elements({}) e WHERE e = %s)").format(
            _elements(value)
        ),
        (_json(wanted),),
    )


def _nested(path: list[str], value: Any) -> Any:
    for part in reversed(path):
        value = {part: value}
    return value


def _number(value: Any) -> str:
    """A number as text, which ``numeric`` reads exactly."""
    from decimal import Decimal

    return str(value) if isinstance(value, int) else format(Decimal(value), "f")


def _json(value: Any) -> Any:
    from psycopg.types.json import Jsonb

    return Jsonb(value)


def _sql(text: str) -> Any:
    return sql.SQL(text)


def _of(text: str, *parts: Statement) -> Statement:
    values = tuple(value for each in parts for value in each.values)
    return Statement(_sql(text).format(*(each.text for each in parts)), values)


def _joined(word: str, parts: list[Statement]) -> Statement:
    if len(parts) == 1:
        return parts[0]
    values = tuple(value for each in parts for value in each.values)
    return Statement(_sql("({})").format(_sql(word).join(each.text for each in parts)), values)
