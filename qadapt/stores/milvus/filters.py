"""The common form of a filter as a Milvus expression.

Payloads lie in the dynamic field, where a name that is missing makes a comparison false on the
server and null in Lite (whose ``not`` of null is null); ``exists`` in front makes it false in both.
Text stands in double quotes with the escapes that every version reads. Milvus compares dates as
text, which is wrong as soon as time zones differ, so ranges over dates are refused. A range looks
at numbers and not into lists of them: Milvus has no word for that. To Lite True and 1 are the same,
and ``not`` of a comparison with a field of another type lets no row through.
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
# Words of the expression language, in any case.
_WORDS = {"and", "or", "not", "in", "like", "exists", "true", "false", "is", "null", "between"}
# From here on several whole numbers are one float.
_WIDE = 2**53
_PLAIN = ("BOOL", "INT8", "INT16", "INT32", "INT64", "FLOAT", "DOUBLE", "VARCHAR")


@dataclass(frozen=True)
class Fields:
    """What a collection has besides its vectors.

    Attributes:
        types: the types of its scalar fields, by name: ``"VARCHAR"``.
        dynamic: whether there is a dynamic field.
        lite: whether this is Milvus Lite, whose ``json_contains`` takes a plain name alone.
        old_lite: whether it is Lite 2, which has neither ``exists`` nor ``not``; a comparison with
            a name that is missing is false there.
    """

    types: Mapping[str, str] = field(default_factory=dict)
    dynamic: bool = True
    lite: bool = False
    old_lite: bool = False


def to_expression(filter: Any, fields: Fields) -> str:
    """The expression of the common form; text passes through as a Milvus expression.

    Raises:
        SpecError: neither of the two.
        UnsupportedError: what Milvus' expressions cannot say.
    """
    if filter is None:
        return ""
    if isinstance(filter, str):
        return filter
    if not filters.is_common(filter):
        raise SpecError(
            f"a filter is a mapping or a Milvus expression; got a {type(filter).__name__}",
            hint='for example {"topic": "art"}, or \'topic == "art"\'',
        )
    return _expression(filters.parse_filter(filter), fields)


def joined(*parts: str) -> str:
    """All of them must hold; empty ones are left out."""
    there = [part for part in parts if part]
    return there[0] if len(there) == 1 else " and ".join(f"({part})" for part in there)


def quoted(text: str) -> str:
    """Text as a literal."""
    return '"' + "".join(_ESCAPES.get(char, char) for char in text) + '"'


def literal(value: Any) -> str:
    """A value as a literal.

    Raises:
        UnsupportedError: a number beyond 64 bits.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, float) and _WIDE <= abs(value) < 2**63:
        # Beside a float the server takes whole numbers of a payload for floats, and here several
        # of them are one; beside a whole number it compares them exactly (run on 2.3.5).
        value = int(value)
    if isinstance(value, int) and not -(2**63) < value < 2**63:
        raise UnsupportedError(
            f"Milvus cannot compare with {value}: it is beyond 64 bits with sign",
            hint="keep such numbers as text",
        )
    return repr(value)


def one_of(name: str, values: Collection[Any]) -> str:
    """A field of the schema is one of these values of one type."""
    return f"{name} in [{', '.join(literal(value) for value in values)}]"


def _expression(node: filters.Filter, fields: Fields) -> str:
    if isinstance(node, filters.AllOf):
        return _joined(node.children, "and", fields)
    if isinstance(node, filters.AnyOf):
        return _joined(node.children, "or", fields)
    if isinstance(node, filters.Not) and fields.old_lite:
        raise UnsupportedError(
            "Milvus Lite 2 has no `not` in a filter", hint="Milvus Lite 3, or a Milvus server"
        )
    if isinstance(node, filters.Not):
        return f"(not ({_expression(node.child, fields)}))"
    if isinstance(node, filters.Range):
        if node.over_dates:
            raise UnsupportedError(
                f"Milvus has no dates: the range on {node.field!r} would compare them as text",
                hint="keep the time as a number, or give a Milvus expression",
            )
        return _leaf(node.field, fields, lambda name, _, __: _range(name, node.bounds))
    values = (node.value,) if isinstance(node, filters.Equals) else node.values
    return _leaf(
        node.field,
        fields,
        lambda name, kind, held: _equal(name, kind, held, values, lite=fields.lite),
    )


def _joined(children: Sequence[filters.Filter], word: str, fields: Fields) -> str:
    return "(" + f" {word} ".join(_expression(child, fields) for child in children) + ")"


def _leaf(name: str, fields: Fields, test: Any) -> str:
    first = name.split(".")[0]
    kind = fields.types.get(first)
    if kind in _PLAIN or kind == "ARRAY":
        if "." in name:
            raise UnsupportedError(f"the field {first!r} is {kind}: nothing lies inside of it")
        return f"({test(first, kind, first)})"
    if kind != "JSON" and not fields.dynamic:
        known = sorted(fields.types)
        raise SpecError.unknown("field", first, known, where="the collection has no dynamic field")
    path = _path(name.split("."), in_schema=kind == "JSON")
    held: str | None = path
    if fields.lite:
        held = name if is_name(name) and name.lower() not in _WORDS else None
    if fields.old_lite:
        return f"({test(path, 'JSON', held)})"
    # `exists` binds loosely on the server: without its own brackets it takes in what follows.
    return f"((exists {path}) and ({test(path, 'JSON', held)}))"


def _path(parts: Sequence[str], *, in_schema: bool) -> str:
    head = parts[0] if in_schema else f"$meta[{quoted(parts[0])}]"
    return head + "".join(f"[{quoted(part)}]" for part in parts[1:])


def _range(name: str, bounds: Mapping[str, Any]) -> str:
    return " and ".join(f"{name} {_SIGNS[word]} {literal(bound)}" for word, bound in bounds.items())


def _equal(
    name: str, kind: str, held: str | None, values: Sequence[Any], *, lite: bool = False
) -> str:
    """One of the values: each by itself, because Milvus mixes no types in one list.

    Args:
        held: how the field is called where an element of its list is asked for; None where
            that cannot be asked.
        lite: whether this is Milvus Lite, which takes no sign in a function's argument without
            brackets around it.
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
    """Whether Milvus can have a field of this name."""
    return _NAME.fullmatch(text) is not None and len(text) <= 200
