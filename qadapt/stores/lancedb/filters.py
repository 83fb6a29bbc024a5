"""Common filters as SQL conditions of LanceDB, which have no parameters.

A field of the JSON payload is tested by a JSON path, a field with a column by its type. A test that
a JSON path cannot express (a date, or a number with a fraction) is evaluated in Python on that
field of all rows, and becomes a list of ids (docs/engines/lancedb.md#filters).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa

from qadapt.errors import SpecError
from qadapt.model import filters
from qadapt.model.dates import moment
from qadapt.model.filter_checks import Scalar
from qadapt.stores.lancedb.payload import plain
from qadapt.stores.lancedb.schema import PAYLOAD_COLUMN, Table, sql_ids, sql_name, sql_text

_COMPARE = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_NEVER = "1 = 0"
_INT64, _UINT64 = 2**63, 2**64
# Reads one expression of all rows: (ids, values).
Reader = Callable[[str], tuple[list[Any], list[Any]]]


def to_condition(filter: Any, table: Table, read: Reader) -> str | None:
    """The condition of a filter; None without one.

    Args:
        filter: the common form, or a condition of LanceDB as a string.
        read: reads an expression of all rows, for tests that SQL cannot express.

    Raises:
        SpecError: neither of the two, or an unknown field.
    """
    if filter is None:
        return None
    if isinstance(filter, str):
        return checked_sql(filter)
    if not filters.is_common(filter):
        raise SpecError(
            f"a filter is a mapping or a SQL condition; got a {type(filter).__name__}",
            hint='for example {"topic": "art"}',
        )
    return _Writer(table, read).node(filters.parse_filter(filter))


def checked_sql(text: str) -> str:
    """A condition of the user, in parentheses.

    The engine ignores the text behind a ``;``, so that a condition with one selects other rows
    than it says.

    Raises:
        SpecError
    """
    quote = ""
    for char in text:
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"`":
            quote = char
        elif char == ";":
            raise SpecError(
                "the condition contains ';', and LanceDB ignores the text behind it",
                hint="write one condition, without ';'",
            )
    return f"({text})"


class _Writer:
    """Writes the conditions of one table."""

    def __init__(self, table: Table, read: Reader) -> None:
        self.table = table
        self.read = read

    def node(self, node: filters.Filter) -> str:
        if isinstance(node, (filters.AllOf, filters.AnyOf)):
            word = " AND " if isinstance(node, filters.AllOf) else " OR "
            return f"({word.join(self.node(each) for each in node.children)})"
        if isinstance(node, filters.Not):
            return f"(NOT coalesce({self.node(node.child)}, false))"
        found = self._column(node.field)
        if found is not None:
            return self._by_column(node, *found)
        if not self.table.document:
            raise SpecError.unknown(
                "column", node.field, sorted(self.table.fields), where=repr(self.table.name)
            )
        return self._in_document(node)

    # -- JSON --------------------------------------------------------------------------------

    def _in_document(self, node: Any) -> str:
        path = "$" + "".join(f".{json_text(part)}" for part in node.field.split("."))
        value = f"json_extract({PAYLOAD_COLUMN}, {sql_text(path)})"
        if isinstance(node, filters.Exists):
            return f"(coalesce({value}, 'null') NOT IN ('null', '[]'))"
        if isinstance(node, filters.IsNull):
            return _path_test(path, "@ == null")
        tests = _range_tests(node) if isinstance(node, filters.Range) else _equals_tests(node)
        if tests is None:
            return self._in_python(node, value)
        return f"({' OR '.join(_path_test(path, each) for each in tests)})"

    def _in_python(self, node: Any, value: str) -> str:
        """The ids of the rows whose value matches."""
        ids, found = self.read(value)
        *outer, last = node.field.split(".")
        chosen = []
        for key, text in zip(ids, found, strict=True):
            if text is None:
                continue
            payload: dict[str, Any] = {last: json.loads(text)}
            for part in reversed(outer):
                payload = {part: payload}
            if filters.matches(node, payload):
                chosen.append(key)
        return sql_ids(self.table.key, chosen) if chosen else _NEVER

    # -- columns with a type -----------------------------------------------------------------

    def _column(self, name: str) -> tuple[str, Any] | None:
        """The expression and the type of a column, or of a field of a struct."""
        if name == self.table.key and not self.table.document:
            return sql_name(name), self.table.arrow.field(name).type
        if name in self.table.fields:
            return sql_name(name), self.table.fields[name].type
        outer, *inner = name.split(".")
        if outer not in self.table.fields or not inner:
            return None
        kind, text = self.table.fields[outer].type, sql_name(outer)
        for part in inner:
            if not pa.types.is_struct(kind) or kind.get_field_index(part) < 0:
                return None
            kind, text = kind.field(part).type, f"{text}.{sql_name(part)}"
        return text, kind

    def _by_column(self, node: Any, name: str, kind: Any) -> str:
        if isinstance(node, filters.Exists):
            listed = pa.types.is_list(kind) or pa.types.is_large_list(kind)
            tail = f" AND array_length({name}) > 0" if listed else ""
            return f"({name} IS NOT NULL{tail})"
        if isinstance(node, filters.IsNull):
            return _NEVER  # NULL is a field that is missing
        test = _column_test(node, name, kind)
        if test is not None:
            return test
        ids, found = self.read(name)
        *outer, last = node.field.split(".")
        chosen = []
        for key, value in zip(ids, found, strict=True):
            payload: Mapping[str, Any] = {last: plain(value)}
            for part in reversed(outer):
                payload = {part: payload}
            if value is not None and filters.matches(node, payload):
                chosen.append(key)
        return sql_ids(self.table.key, chosen) if chosen else _NEVER


# -- JSON paths ----------------------------------------------------------------------------------


def json_text(value: Any) -> str:
    """A text or a key in a JSON path."""
    return json.dumps(value, ensure_ascii=False)


def _path_test(path: str, test: str) -> str:
    """A list matches by its elements, one value as itself."""
    whole = f"{path}[*] ? ({test})"
    return f"coalesce(json_exists({PAYLOAD_COLUMN}, {sql_text(whole)}), false)"


def _range_tests(node: filters.Range) -> list[str] | None:
    if node.over_dates:
        return None
    bounds = [(word, _path_number(each)) for word, each in node.bounds.items()]
    if any(text is None for _, text in bounds):
        return None
    return [" && ".join(f"@ {_COMPARE[word]} {text}" for word, text in bounds)]


def _equals_tests(node: filters.Equals | filters.OneOf) -> list[str] | None:
    """One test for each value: a path whose values have several types selects nothing."""
    values = node.values if isinstance(node, filters.OneOf) else (node.value,)
    found = [_path_equals(each) for each in values]
    known = [each for each in found if each is not None]
    return known if len(known) == len(found) else None


def _path_equals(value: Scalar) -> str | None:
    if value == "":
        return r'@ < "\u0000"'  # a path cannot compare with the empty text
    if isinstance(value, (bool, str)):
        return f"@ == {json_text(value)}"
    number = _path_number(value)
    return None if number is None else f"@ == {number}"


def _path_number(value: Any) -> str | None:
    """A number in a JSON path, which reads integers of 64 bits only; None for others."""
    if isinstance(value, float):
        if not value.is_integer() or abs(value) >= _INT64:
            return None
        value = int(value)
    return str(value) if isinstance(value, int) and -_INT64 <= value < _UINT64 else None


# -- typed columns -------------------------------------------------------------------------------


def _column_test(node: Any, name: str, kind: Any) -> str | None:
    """The test of a column; None if SQL would compare other values than Python."""
    if isinstance(node, filters.Range):
        return _column_range(node, name, kind)
    values = node.values if isinstance(node, filters.OneOf) else (node.value,)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        inner = [_literal(each, kind.value_type) for each in values]
        if any(each is None for each in inner):
            return None
        parts = [f"array_has({name}, {each})" for each in inner if each]
    else:
        literals = [_literal(each, kind) for each in values]
        if any(each is None for each in literals):
            return None
        parts = [f"{name} = {each}" for each in literals if each]
    return f"({' OR '.join(parts)})" if parts else _NEVER


def _column_range(node: filters.Range, name: str, kind: Any) -> str | None:
    if node.over_dates:
        if not pa.types.is_timestamp(kind):
            return None
        zone = "" if kind.tz is None else "+00:00"
        parts = [
            f"{name} {_COMPARE[word]} timestamp '{_utc(each)}{zone}'"
            for word, each in node.bounds.items()
        ]
        return f"({' AND '.join(parts)})"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        whole = pa.types.is_integer(kind)
        parts = [_bound(name, word, each, whole) for word, each in node.bounds.items()]
        if pa.types.is_floating(kind):
            parts.append(f"NOT isnan({name})")
        return f"({' AND '.join(parts)})"
    if pa.types.is_boolean(kind) or pa.types.is_string(kind) or pa.types.is_timestamp(kind):
        return _NEVER
    return None


def _bound(name: str, word: str, bound: Any, whole: bool) -> str:
    """One bound; bounds of integers are integers, because SQL would convert the column."""
    if not whole:
        return f"{name} {_COMPARE[word]} cast({float(bound)!r} as double)"
    if isinstance(bound, float) and not bound.is_integer():
        upper = word in ("lt", "lte")
        word, bound = ("lte", math.floor(bound)) if upper else ("gte", math.ceil(bound))
    bound = int(bound)
    if not -_INT64 <= bound < _INT64:
        passes = (word in ("lt", "lte")) == (bound > 0)
        return f"{name} IS NOT NULL" if passes else _NEVER
    return f"{name} {_COMPARE[word]} {bound}"


def _literal(value: Scalar, kind: Any) -> str | None:
    """A value in SQL; ``""`` if a column of this type never equals it, None if unknown."""
    if pa.types.is_boolean(kind):
        return str(value).lower() if isinstance(value, bool) else ""
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return sql_text(value) if isinstance(value, str) else ""
    if not pa.types.is_integer(kind) and not pa.types.is_floating(kind):
        return None
    if isinstance(value, (bool, str)):
        return ""
    if pa.types.is_floating(kind):
        return f"cast({float(value)!r} as double)"
    whole = not isinstance(value, float) or value.is_integer()
    return str(int(value)) if whole and -_INT64 <= value < _INT64 else ""


def _utc(bound: Any) -> str:
    found = moment(bound)
    assert isinstance(found, datetime)
    return found.strftime("%Y-%m-%dT%H:%M:%S.%f")


def joined(parts: Sequence[str | None]) -> str | None:
    """Conditions that must all hold; None without any."""
    given = [each for each in parts if each]
    return " AND ".join(given) if given else None
