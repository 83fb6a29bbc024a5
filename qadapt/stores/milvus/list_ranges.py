"""Ranges over the elements of lists.

Milvus compares a range with a value, or with one element by its position, but not with any element.
If a field has lists, the first elements are compared by an expression; rows with more elements are
read and compared here.

The length of a list in a payload is unknown to a server (2.3.5), where ``exists`` is true for
every element, null included. In Lite it is false for null, and ``array_length`` accepts plain names
only (3.2.2). There, and in Lite 2, which has no ``exists``, a list in a nested field is taken to
end before 8 elements without a value in a row.
"""

from __future__ import annotations

from dataclasses import dataclass

from qadapt.model import filters
from qadapt.stores.milvus.filters import Fields, is_plain, path_of, range_expression

FIRST = 8  # elements that are compared by an expression


@dataclass(frozen=True)
class ListRange:
    """Expressions for a range over a field that may have lists.

    Attributes:
        any_list: rows with a list; empty if the type of the field is ARRAY.
        scalar: rows whose value is in the range.
        elements: rows with one of the first ``FIRST`` elements in the range.
        longer: rows with more elements.
    """

    any_list: str
    scalar: str
    elements: str
    longer: str


def list_range(node: filters.Range, fields: Fields) -> ListRange | None:
    """The expressions for a range; None for a field whose type has no lists."""
    path = path_of(node.field, fields)
    if path is not None:
        scalar = _inside(node, path, path, fields)
        if not fields.lite:
            any_list, longer = f"(exists {path}[0])", f"(exists {path}[{FIRST}])"
        elif is_plain(node.field) and not fields.old_lite:
            any_list = f"(array_length({node.field}) > 0)"
            longer = f"(array_length({node.field}) > {FIRST})"
        else:
            any_list = _any_value(path, range(FIRST), fields)
            longer = _any_value(path, range(FIRST, 2 * FIRST), fields)
        elements = [_inside(node, f"{path}[{at}]", path, fields) for at in range(FIRST)]
        return ListRange(any_list, scalar, _any(elements), longer)
    name = node.field
    if fields.types.get(name) != "ARRAY":
        return None
    if fields.lite:
        elements = [
            f"((array_length({name}) > {at}) and ({range_expression(f'{name}[{at}]', node)}))"
            for at in range(FIRST)
        ]
        return ListRange("", "", _any(elements), f"(array_length({name}) > {FIRST})")
    # A server compares `array_length` only with `==` and `!=`. To it, no range includes an element
    # that does not exist.
    elements = [f"({range_expression(f'{name}[{at}]', node)})" for at in range(FIRST)]
    return ListRange("", "", _any(elements), _number(f"{name}[{FIRST}]"))


def _inside(node: filters.Range, value: str, path: str, fields: Fields) -> str:
    inside = range_expression(value, node)
    if fields.old_lite:
        return f"({inside})"
    return f"((exists {value}) and ({inside}))"


def _any_value(path: str, places: range, fields: Fields) -> str:
    if fields.old_lite:
        return _any([_number(f"{path}[{at}]") for at in places])
    return _any([f"(exists {path}[{at}])" for at in places])


def _number(value: str) -> str:
    return f"(({value} >= 0) or ({value} < 0))"


def _any(parts: list[str]) -> str:
    return f"({' or '.join(parts)})"
