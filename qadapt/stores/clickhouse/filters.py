"""Common filters as SQL conditions with parameters.

Fields of the JSON document select the same rows as ``qadapt.model.filters.matches``: an element of
a list matches, ``true`` is not 1. In a table of another program, fields are columns with a type.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from qadapt.errors import SpecError, UnsupportedError
from qadapt.model import filters
from qadapt.model.dates import moment
from qadapt.model.filter_checks import Scalar
from qadapt.stores.clickhouse.connection import quoted
from qadapt.stores.clickhouse.schema import PAYLOAD_COLUMN, Column, Table

_COMPARE = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_WRAPPED = re.compile(r"(?:Nullable|LowCardinality)\((.*)\)$")
_DATE = (
    r"^\\d{4}-\\d{2}-\\d{2}([Tt ]\\d{2}:\\d{2}(:\\d{2}(\\.\\d{1,9})?)?([Zz]|[+-]\\d{2}:?\\d{2})?)?$"
)


@dataclass
class Condition:
    """SQL with its parameters by name."""

    text: str = ""
    values: dict[str, Any] = field(default_factory=dict)

    @property
    def where(self) -> str:
        """The clause WHERE; empty without a condition."""
        return f" WHERE {self.text}" if self.text else ""

    def both(self, text: str, **values: Any) -> Condition:
        """This condition and another one."""
        joined = f"({self.text}) AND {text}" if self.text else text
        return Condition(joined, {**self.values, **values})


def to_condition(filter: Any, table: Table) -> Condition:
    """The condition of a filter; empty for None.

    Raises:
        SpecError: not a filter of the common form, or an unknown column.
        UnsupportedError: a column whose type has no comparisons.
    """
    if filter is None:
        return Condition()
    if not filters.is_common(filter):
        raise SpecError(
            f"a filter is a mapping; got a {type(filter).__name__}",
            hint='for example {"topic": "art"}',
        )
    writer = _Writer(table)
    return Condition(writer.node(filters.parse_filter(filter)), writer.values)


def microseconds(value: Any) -> int:
    """A date in microseconds since 1970, UTC."""
    found = moment(value)
    assert found is not None, value
    passed = found - _EPOCH
    return (passed.days * 86_400 + passed.seconds) * 1_000_000 + passed.microseconds


class _Writer:
    """Writes conditions, and collects their parameters."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.values: dict[str, Any] = {}

    def node(self, node: filters.Filter) -> str:
        if isinstance(node, (filters.AllOf, filters.AnyOf)):
            word = " AND " if isinstance(node, filters.AllOf) else " OR "
            return f"({word.join(self.node(each) for each in node.children)})"
        if isinstance(node, filters.Not):
            return f"NOT ({self.node(node.child)})"
        if self.table.owned:
            return self._in_document(node)
        column = self.table.fields.get(node.field)
        if column is None:
            known = sorted(self.table.fields)
            raise SpecError.unknown("column", node.field, known, where=repr(self.table.name))
        return self._by_column(node, column)

    def _add(self, kind: str, value: str) -> str:
        """A parameter of a type, as written in SQL."""
        name = f"f{len(self.values)}"
        self.values[name] = value
        return f"{{{name}:{kind}}}"

    # -- fields of the JSON document -------------------------------------------------------------

    def _in_document(self, node: Any) -> str:
        path = "".join(", " + self._add("String", part) for part in node.field.split("."))
        document = PAYLOAD_COLUMN
        raw = f"JSONExtractRaw({document}{path})"
        if isinstance(node, filters.Exists):
            return f"({raw} NOT IN ('', 'null', '[]'))"
        # A list by its elements, one value as the only element.
        elements = (
            f"if(JSONType({document}{path}) = 'Array', JSONExtractArrayRaw({document}{path}), "
            f"[{raw}])"
        )
        if isinstance(node, filters.IsNull):
            return f"arrayExists(e -> e = 'null', {elements})"
        return f"arrayExists(e -> {self._of_json(node)}, {elements})"

    def _of_json(self, node: Any) -> str:
        """Whether one JSON value ``e`` matches."""
        numbers = "JSONType(e) IN ('Int64', 'UInt64', 'Double')"
        if isinstance(node, filters.Range) and node.over_dates:
            value = self._moment("JSONExtractString(e)")
            return f"(JSONType(e) = 'String' AND {self._bounds(node, value)})"
        if isinstance(node, filters.Range):
            tests = [
                self._number("e", _COMPARE[word], bound) for word, bound in node.bounds.items()
            ]
            return f"({numbers} AND {' AND '.join(tests)})"
        values = node.values if isinstance(node, filters.OneOf) else (node.value,)
        return f"({' OR '.join(self._equals_json(each) for each in values)})"

    def _equals_json(self, wanted: Scalar) -> str:
        if isinstance(wanted, bool):
            return f"e = '{'true' if wanted else 'false'}'"
        if isinstance(wanted, str):
            value = self._add("String", wanted)
            return f"(JSONType(e) = 'String' AND JSONExtractString(e) = {value})"
        return self._number("e", "=", wanted)

    def _number(self, e: str, sign: str, wanted: Any) -> str:
        """Compare a JSON number; integers exactly, also beyond 2^53."""
        value = self._add("Float64", repr(float(wanted)))
        found = f"(JSONType({e}) = 'Double' AND JSONExtractFloat({e}) {sign} {value})"
        if isinstance(wanted, int) and -(2**63) <= wanted < 2**64:
            value = self._add("Int128", str(wanted))
        for kind, function in (("Int64", "Int"), ("UInt64", "UInt")):
            found += f" OR (JSONType({e}) = '{kind}' AND JSONExtract{function}({e}) {sign} {value})"
        return f"({found})"

    def _moment(self, value: str) -> str:
        """Microseconds since 1970 of an ISO date; NULL for other texts."""
        parsed = f"parseDateTime64BestEffortOrNull({value}, 6, 'UTC')"
        return f"if(match({value}, '{_DATE}'), toUnixTimestamp64Micro({parsed}), NULL)"

    def _bounds(self, node: filters.Range, value: str) -> str:
        tests = []
        for word, bound in node.bounds.items():
            limit = self._add("Int64", str(microseconds(bound)))
            tests.append(f"ifNull({value} {_COMPARE[word]} {limit}, 0)")
        return " AND ".join(tests)

    # -- columns with a type ---------------------------------------------------------------------

    def _by_column(self, node: Any, column: Column) -> str:
        name, kind = quoted(column.name), column.type
        array = kind.startswith("Array(")
        if isinstance(node, filters.Exists):
            return f"notEmpty({name})" if array else f"isNotNull({name})"
        if isinstance(node, filters.IsNull):
            return "0"  # NULL is a field that is missing
        if array:
            return f"arrayExists(e -> {self._typed(node, 'e', kind[6:-1])}, {name})"
        return self._typed(node, name, kind)

    def _typed(self, node: Any, name: str, kind: str) -> str:
        while wrapped := _WRAPPED.match(kind):
            kind = wrapped[1]
        if isinstance(node, filters.Range):
            return self._typed_range(node, name, kind)
        values = node.values if isinstance(node, filters.OneOf) else (node.value,)
        tests = [self._typed_equals(each, name, kind) for each in values]
        return f"({' OR '.join(tests)})"

    def _typed_range(self, node: filters.Range, name: str, kind: str) -> str:
        if node.over_dates:
            if kind == "String":
                return f"({self._bounds(node, self._moment(name))})"
            if not kind.startswith("Date"):
                return "0"
            value = f"toUnixTimestamp64Micro(toDateTime64({name}, 6, 'UTC'))"
            return f"({self._bounds(node, value)})"
        if not _is_number(kind):
            return "0"
        tests = []
        for word, bound in node.bounds.items():
            tests.append(f"{name} {_COMPARE[word]} {self._numeric(bound)}")
        return f"ifNull({' AND '.join(tests)}, 0)"

    def _typed_equals(self, wanted: Scalar, name: str, kind: str) -> str:
        if isinstance(wanted, bool):
            return f"ifNull({name} = {'true' if wanted else 'false'}, 0)" if kind == "Bool" else "0"
        if isinstance(wanted, str):
            value = self._add("String", wanted)
            if kind == "String":
                return f"ifNull({name} = {value}, 0)"
            if kind == "UUID" or kind.startswith(("Date", "Enum", "FixedString")):
                return f"ifNull(toString({name}) = {value}, 0)"
            self._require_simple(name, kind)
            return "0"
        self._require_simple(name, kind)
        return f"ifNull({name} = {self._numeric(wanted)}, 0)" if _is_number(kind) else "0"

    def _require_simple(self, name: str, kind: str) -> None:
        if kind.startswith(("Map(", "Tuple(", "JSON", "Variant(", "Dynamic", "Object(")):
            raise UnsupportedError(
                f"qadapt does not filter by {name}, whose type is {kind}",
                hint="filter by a column of numbers, texts, dates or booleans",
            )

    def _numeric(self, value: Any) -> str:
        if isinstance(value, int) and -(2**63) <= value < 2**64:
            return self._add("Int128", str(value))
        return self._add("Float64", repr(float(value)))


def _is_number(kind: str) -> bool:
    return kind.startswith(("Int", "UInt", "Float", "Decimal", "BFloat"))


def ids_condition(table: Table, ids: Any, name: str = "ids") -> Condition:
    """Rows with these ids, which fit the type of the key."""
    key = table.require_key()
    kind = "Array(String)" if table.key_kind == "text" else f"Array({key.type})"
    column = f"toString({quoted(key.name)})" if key.type == "UUID" else quoted(key.name)
    return Condition(f"{column} IN {{{name}:{kind}}}", {name: list(ids)})
