"""Translate a filter in qadapt's form to a Milvus expression.

Payloads are in the dynamic field. There a comparison with a missing key is false on a server and
null in Lite (where ``not`` null is null); a preceding ``exists`` makes it false in both. Strings
are double-quoted with escapes that every version reads. Milvus compares dates as text, which is
wrong if time zones differ, so date ranges are refused. ``list_ranges`` adds ranges over lists. Lite
treats True and 1 as equal.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qadapt.errors import SpecError, UnsupportedError
from qadapt.model import filters

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SIGNS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
# Keywords of the expression language, in lower case.
_WORDS = {"and", "or", "not", "in", "like", "exists", "true", "false", "is", "null", "between"}
# From here on, several integers have the same float64 value.
_WIDE = 2**53
_PLAIN = ("BOOL", "INT8", "INT16", "INT32", "INT64", "FLOAT", "DOUBLE", "VARCHAR")


@dataclass(frozen=True)
class Fields:
    """The fields that a filter can use.

    Attributes:
        types: the types of its scalar fields, by name: ``"VARCHAR"``.
        dynamic: whether there is a dynamic field.
        lite: whether this is Milvus Lite, whose ``json_contains`` accepts only a plain name.
        old_lite: whether it is Lite 2, which has neither ``exists`` nor ``not``; a comparison with
            a missing key is false there.
    """

    types: Mapping[str, str] = field(default_factory=dict)
    dynamic: bool = True
    lite: bool = False
    old_lite: bool = False


@dataclass(frozen=True)
class ById:
    """Rows that match an expression, or have one of these primary keys."""

    key: str
    keys: tuple[Any, ...]
    expression: str = ""


def to_expression(filter: Any, fields: Fields) -> str:
    """The Milvus expression of a filter; a string is returned unchanged.

    Raises:
        SpecError: neither a mapping nor a string.
        UnsupportedError: Milvus has no expression for the filter.
    """
    if filter is None:
        return ""
    if isinstance(filter, str):
        return filter
    if not filters.is_common(filter):
        raise SpecError(
            f"a filter must be a mapping or a Milvus expression, not {type(filter).__name__}",
            hint='for example {"topic": "art"}, or \'topic == "art"\'',
        )
    return tree_expression(filters.parse_filter(filter), fields)


def joined(*parts: str) -> str:
    """Combine expressions with ``and``; empty ones are left out."""
    there = [part for part in parts if part]
    return there[0] if len(there) == 1 else " and ".join(f"({part})" for part in there)


def quoted(text: str) -> str:
    """A string as a literal."""
    return '"' + "".join(_ESCAPES.get(char, char) for char in text) + '"'


def literal(value: Any) -> str:
    """A value as a literal.

    Raises:
        UnsupportedError: an integer beyond 64 bits.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, float) and _WIDE <= abs(value) < 2**63:
        # The server converts payload integers to float64 if the literal is a float, and compares
        # exactly if it is an integer (run on 2.3.5). Large integers need the exact comparison.
        value = int(value)
    if isinstance(value, int) and not -(2**63) < value < 2**63:
        raise UnsupportedError(
            f"Milvus cannot compare with {value}: it does not fit into a signed 64-bit integer",
            hint="store these numbers as text",
        )
    return repr(value)


def one_of(name: str, values: Collection[Any]) -> str:
    """An expression: a typed field has one of these values."""
    return f"{name} in [{', '.join(literal(value) for value in values)}]"


def tree_expression(node: filters.Filter | ById, fields: Fields) -> str:
    """The Milvus expression of a parsed filter."""
    if isinstance(node, filters.AllOf):
        return _joined(node.children, "and", fields)
    if isinstance(node, filters.AnyOf):
        return _joined(node.children, "or", fields)
    if isinstance(node, filters.Not) and fields.old_lite:
        raise UnsupportedError(
            "Milvus Lite 2 does not support `not` in a filter",
            hint="use Milvus Lite 3 or a Milvus server",
        )
    if isinstance(node, filters.Not):
        return f"(not ({tree_expression(node.child, fields)}))"
    if isinstance(node, filters.Range):
        if node.over_dates:
            raise UnsupportedError(
                f"Milvus has no date type: the range on {node.field!r} would compare text",
                hint="store the time as a number, or pass a Milvus expression",
            )
        return _leaf(node.field, fields, lambda name, _, __: range_expression(name, node))
    if isinstance(node, ById):
        listed = one_of(node.key, node.keys) if node.keys or not node.expression else ""
        return "(" + " or ".join(part for part in (node.expression, listed) if part) + ")"
    if isinstance(node, (filters.Exists, filters.IsNull)):
        return _typed_existence(node, fields)
    values = (node.value,) if isinstance(node, filters.Equals) else node.values
    return _leaf(
        node.field,
        fields,
        lambda name, kind, held: _equal(name, kind, held, values, lite=fields.lite),
    )


def _joined(children: Sequence[filters.Filter], word: str, fields: Fields) -> str:
    return "(" + f" {word} ".join(tree_expression(child, fields) for child in children) + ")"


def _leaf(name: str, fields: Fields, test: Any) -> str:
    first = name.split(".")[0]
    kind = fields.types.get(first)
    path = path_of(name, fields)
    if path is None:
        if "." in name:
            raise UnsupportedError(
                f"the field {first!r} has the type {kind} and no nested keys",
                hint=f"filter on {first!r} itself; only JSON fields have nested keys",
            )
        return f"({test(first, kind, first)})"
    held: str | None = path
    if fields.lite:
        held = name if is_plain(name) else None
    if fields.old_lite:
        return f"({test(path, 'JSON', held)})"
    # `exists` has a low precedence on the server and needs its own parentheses.
    return f"((exists {path}) and ({test(path, 'JSON', held)}))"


def path_of(name: str, fields: Fields) -> str | None:
    """The path of a field in the dynamic field or a JSON field; None for a field with a type."""
    first = name.split(".")[0]
    kind = fields.types.get(first)
    if kind in _PLAIN or kind == "ARRAY":
        return None
    if kind != "JSON" and not fields.dynamic:
        known = sorted(fields.types)
        raise SpecError.unknown("field", first, known, where="the collection has no dynamic field")
    return _path(name.split("."), in_schema=kind == "JSON")


def is_plain(name: str) -> bool:
    """Whether a name can be an argument of a function in Lite."""
    return is_name(name) and name.lower() not in _WORDS


def _typed_existence(node: filters.Exists | filters.IsNull, fields: Fields) -> str:
    """Whether a field with a type has a value: always, except for an empty array."""
    if isinstance(node, filters.IsNull):
        raise UnsupportedError(
            f"the field {node.field!r} has the type {fields.types[node.field.split('.')[0]]} and "
            "is not null",
            hint=f"if it is nullable (Milvus 2.5), pass the expression '{node.field} is null'",
        )

    def test(name: str, kind: str, _: Any) -> str:
        if kind == "ARRAY":
            return f"not (array_length({name}) == 0)"
        if kind == "VARCHAR":
            return f'{name} like "%"'
        if kind == "BOOL":
            return f"({name} == true) or ({name} == false)"
        return f"({name} >= 0) or ({name} < 0)"

    return _leaf(node.field, fields, test)


def _path(parts: Sequence[str], *, in_schema: bool) -> str:
    head = parts[0] if in_schema else f"$meta[{quoted(parts[0])}]"
    return head + "".join(f"[{quoted(part)}]" for part in parts[1:])


def range_expression(value: str, node: filters.Range) -> str:
    """A value, named by an expression, is between the bounds."""
    return " and ".join(
        f"{value} {_SIGNS[word]} {literal(bound)}" for word, bound in node.bounds.items()
    )


def _equal(
    name: str, kind: str, held: str | None, values: Sequence[Any], *, lite: bool = False
) -> str:
    """An expression that compares each value separately, because a Milvus list has one type.

    Args:
        held: the field's name in ``json_contains`` or ``array_contains``; None if list elements
            cannot be compared.
        lite: whether this is Milvus Lite, which needs parentheses around a negative argument of
            a function.
    """
    tests = []
    for value in values:
        element = literal(value)
        if lite and element.startswith("-"):
            element = f"({element})"
        if kind != "ARRAY":
            tests.append(f"{name} == {literal(value)}")
        if kind == "JSON" and held is not None:
            tests.append(f"json_contains({held}, {element})")
        elif kind == "ARRAY":
            tests.append(f"array_contains({held}, {element})")
    return " or ".join(tests)


def is_name(text: str) -> bool:
    """Whether Milvus accepts this field name."""
    return _NAME.fullmatch(text) is not None and len(text) <= 200


def span(key: str, low: Any, high: Any, *, closed: bool = False) -> str:
    """The expression of a key range above ``low`` (``closed``: or equal), up to ``high``."""
    parts = []
    if low is not None:
        parts.append(f"{key} {'>=' if closed else '>'} {literal(low)}")
    if high is not None:
        parts.append(f"{key} <= {literal(high)}")
    return " and ".join(parts)
