"""Common filters as SQL conditions with parameters.

A search of vec0 applies comparisons of a metadata column with a value before it selects the
nearest rows. All other conditions select ids in a subquery, which also limits the search before it
selects rows: vec0 refuses or ignores them in its WHERE clause
(docs/engines/sqlite-vec.md#filters).

Fields of the JSON document select the same rows as ``qadapt.model.filters.matches``: an element of
a list matches, ``true`` is not 1. Integers from 2^63 on are compared as floats.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from qadapt.errors import SpecError, UnsupportedError
from qadapt.model import filters
from qadapt.model.dates import moment
from qadapt.model.filter_checks import Scalar
from qadapt.stores.sqlite_vec.schema import PAYLOAD_COLUMN, Column, Table, quoted, shadow, sql_name

_COMPARE = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
# A function of qadapt's connections: microseconds since 1970 of an ISO date, or NULL.
MOMENT = "qadapt_moment"
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_INT64 = 2**63


@dataclass(frozen=True)
class Condition:
    """SQL with its parameters; parameters are ``?``, in order."""

    text: str
    values: tuple[Any, ...] = ()


def microseconds(value: Any) -> int | None:
    """The moment of an ISO date in microseconds since 1970, UTC; None for anything else."""
    found = moment(value) if isinstance(value, str) else None
    if found is None:
        return None
    passed = found - _EPOCH
    return (passed.days * 86_400 + passed.seconds) * 1_000_000 + passed.microseconds


def in_search(filter: Any, table: Table, codes: bool = False) -> list[Condition]:
    """The conditions of a search, joined by AND.

    Args:
        codes: the search is in a separate table of codes, which has the partition keys only.

    Raises:
        SpecError: not a filter of the common form, or an unknown field.
    """
    if filter is None:
        return []
    node = _parsed(filter)
    parts = node.children if isinstance(node, filters.AllOf) else (node,)
    direct = [_direct(each, table, codes) for each in parts]
    rest = [each for each, found in zip(parts, direct, strict=True) if found is None]
    found = [each for each in direct if each is not None]
    if rest:
        inner = ids(filters.AllOf(tuple(rest)) if len(rest) > 1 else rest[0], table)
        found.append(Condition(f"{sql_name(table.key.name)} IN ({inner.text})", inner.values))
    return found


def ids(filter: Any, table: Table) -> Condition:
    """A query for the ids of the matching rows.

    A filter of the document alone reads the shadow table of auxiliary columns, because vec0 takes
    seven times as long.
    """
    node = _parsed(filter)
    _check_fields(node, table)
    document = table.document
    named = {each for each in _fields(node) if each in table.fields}
    if document is not None and not named:
        inner = _Writer(table, f"x.value{document.place:02d}").node(node)
        where = f"FROM {shadow(table.name, 'auxiliary')} AS x"
        if not table.text_key:
            return Condition(f"SELECT x.rowid {where} WHERE {inner.text}", inner.values)
        join = f"JOIN {shadow(table.name, 'rowids')} AS r ON r.rowid = x.rowid"
        return Condition(f"SELECT r.id {where} {join} WHERE {inner.text}", inner.values)
    inner = _Writer(table, f"x.{PAYLOAD_COLUMN}").node(node)
    source = f"SELECT x.{sql_name(table.key.name)} FROM {quoted(table.name)} AS x"
    return Condition(f"{source} WHERE {inner.text}", inner.values)


def _parsed(filter: Any) -> filters.Filter:
    if not filters.is_common(filter):
        raise SpecError(
            f"a filter is a mapping; got a {type(filter).__name__}",
            hint='for example {"topic": "art"}',
        )
    return filters.parse_filter(filter)


def _fields(node: filters.Filter) -> list[str]:
    if isinstance(node, filters.Not):
        return _fields(node.child)
    if isinstance(node, (filters.AllOf, filters.AnyOf)):
        return [each for child in node.children for each in _fields(child)]
    return [node.field]


def _check_fields(node: filters.Filter, table: Table) -> None:
    for name in _fields(node):
        if name in table.fields:
            continue
        if table.document is None:
            raise SpecError.unknown("column", name, sorted(table.fields), where=repr(table.name))
        if '"' in name or "\\" in name:
            raise UnsupportedError(
                f"SQLite cannot address the field {name!r:.80}: its name has a quote or backslash",
                hint="rename the field, or filter by another one",
            )


# -- conditions that vec0 applies ----------------------------------------------------------------


def _direct(node: filters.Filter, table: Table, codes: bool) -> Condition | None:
    """A condition that a search of vec0 applies itself; None if it must not be sent to it."""
    if not isinstance(node, (filters.Equals, filters.OneOf, filters.Range)):
        return None
    column = table.fields.get(node.field)
    if column is None or column.role == "auxiliary" or (codes and column.role != "partition"):
        return None
    if isinstance(node, filters.Range):
        if column.role == "partition" or node.over_dates:
            return None
        if not all(_comparable(column, each) for each in node.bounds.values()):
            return None
        text = " AND ".join(f"{sql_name(column.name)} {_COMPARE[each]} ?" for each in node.bounds)
        return Condition(text, tuple(_sent(column, each) for each in node.bounds.values()))
    values = node.values if isinstance(node, filters.OneOf) else (node.value,)
    if not all(_comparable(column, each) for each in values):
        return None
    if len(values) == 1:
        return Condition(f"{sql_name(column.name)} = ?", (_sent(column, values[0]),))
    # IN of a partition key returns k rows for each value; vec0 has no IN for floats and booleans.
    if column.role == "partition" or column.type not in ("integer", "text"):
        return None
    return Condition(f"{sql_name(column.name)} IN ({_marks(values)})", tuple(values))


def _comparable(column: Column, value: Any) -> bool:
    """Whether vec0 compares a value with a column as Python does; it truncates 1.5 to an integer,
    and reads the text '1' as one."""
    if isinstance(value, bool) or column.type == "boolean":
        return isinstance(value, bool) and column.type == "boolean"
    if column.type == "text":
        return isinstance(value, str)
    if isinstance(value, str):
        return False
    if column.type == "integer":
        return isinstance(value, int) and -_INT64 <= value < _INT64
    return math.isfinite(float(value)) and float(value) == value


def _sent(column: Column, value: Any) -> Any:
    return float(value) if column.type == "float" else value


def _marks(values: Sequence[Any]) -> str:
    return ", ".join("?" * len(values))


# -- conditions on rows --------------------------------------------------------------------------


class _Writer:
    """Writes conditions on rows of a query whose source is named ``x``.

    Args:
        document: the expression of the JSON document.
    """

    def __init__(self, table: Table, document: str) -> None:
        self.table = table
        self.document = document

    def node(self, node: filters.Filter) -> Condition:
        if isinstance(node, (filters.AllOf, filters.AnyOf)):
            word = " AND " if isinstance(node, filters.AllOf) else " OR "
            return _joined(word, [self.node(each) for each in node.children])
        if isinstance(node, filters.Not):
            inner = self.node(node.child)
            return Condition(f"NOT ({inner.text})", inner.values)
        column = self.table.fields.get(node.field)
        return self._in_document(node) if column is None else self._by_column(node, column)

    def _by_column(self, node: filters.Filter, column: Column) -> Condition:
        name = f"x.{sql_name(column.name)}"
        if isinstance(node, filters.Exists):
            return Condition(f"{name} IS NOT NULL")
        if isinstance(node, filters.IsNull):
            return Condition("0")  # NULL is a field that is missing
        kind = f"'{column.type}'" if column.type == "boolean" else f"typeof({name})"
        return _test(node, kind, name)

    def _in_document(self, node: filters.Filter) -> Condition:
        path = "$" + "".join(f'."{part}"' for part in node.field.split("."))  # type: ignore[union-attr]
        if isinstance(node, filters.Exists):
            text = f"coalesce({self.document} -> ?, 'null') NOT IN ('null', '[]')"
            return Condition(text, (path,))
        inner = Condition("e.type = 'null'")
        if not isinstance(node, filters.IsNull):
            inner = _test(node, "e.type", "e.atom")
        # A list by its elements, one value as the only element.
        elements = (
            f"json_each(CASE json_type({self.document}, ?) WHEN 'array' THEN {self.document} -> ? "
            f"ELSE '[' || ({self.document} -> ?) || ']' END)"
        )
        text = f"EXISTS (SELECT 1 FROM {elements} AS e WHERE {inner.text})"
        return Condition(text, (path, path, path, *inner.values))


def _test(node: filters.Filter, kind: str, value: str) -> Condition:
    """Whether a value of a type matches; never NULL.

    Args:
        kind: the expression of its type, of JSON or of SQLite.
        value: the expression of the value.
    """
    numbers = f"{kind} IN ('integer', 'real')"
    if isinstance(node, filters.Range):
        if node.over_dates:
            parts = [
                Condition(
                    f"coalesce({MOMENT}({value}) {_COMPARE[word]} ?, 0)", (microseconds(each),)
                )
                for word, each in node.bounds.items()
            ]
            return _joined(" AND ", [Condition(f"{kind} = 'text'"), *parts])
        bounds = [
            Condition(f"{value} {_COMPARE[word]} ?", (_number(each),))
            for word, each in node.bounds.items()
        ]
        return _joined(" AND ", [Condition(numbers), *bounds])
    assert isinstance(node, (filters.Equals, filters.OneOf))
    values = node.values if isinstance(node, filters.OneOf) else (node.value,)
    return _joined(" OR ", [_equals(each, kind, value, numbers) for each in values])


def _equals(wanted: Scalar, kind: str, value: str, numbers: str) -> Condition:
    if isinstance(wanted, bool):
        if kind == "'boolean'":
            return Condition(f"{value} = ?", (int(wanted),))
        return Condition(f"{kind} = '{'true' if wanted else 'false'}'")
    if isinstance(wanted, str):
        return Condition(f"({kind} = 'text' AND {value} = ?)", (wanted,))
    return Condition(f"({numbers} AND {value} = ?)", (_number(wanted),))


def _number(value: Any) -> Any:
    """A number that SQLite accepts; integers beyond 64 bits as floats."""
    if isinstance(value, int) and not -_INT64 <= value < _INT64:
        return float(value)
    return value


def _joined(word: str, parts: list[Condition]) -> Condition:
    if len(parts) == 1:
        return parts[0]
    values = tuple(value for each in parts for value in each.values)
    return Condition(f"({word.join(each.text for each in parts)})", values)
