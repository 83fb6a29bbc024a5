"""Conversion of common filters to the engine's objects.

Numbers are equal if their values are, such as 1990 and 1990.0; the engine's ``match`` compares
integers only with integers, so numbers are compared by a range, which uses 64-bit floats. Near a
number beyond 2^53, which shares its float with others, integers are listed for ``match``
(``wide_numbers``). Dates that the engine cannot read are found by ``unread_dates``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from qadapt.errors import SpecError
from qadapt.model import filters
from qadapt.stores.qdrant import integer_ranges
from qadapt.stores.qdrant.date_ranges import FIRST, ById
from qadapt.stores.qdrant.edge.connection import client_module
from qadapt.stores.qdrant.filters import field_path

if TYPE_CHECKING:
    import qdrant_edge

_NO_SECONDS = re.compile(r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2})([Zz]|[+-].*)?")


def to_engine(filter: Any) -> qdrant_edge.Filter | None:
    """Convert a common filter to the engine's ``Filter``, which itself passes through.

    Raises:
        SpecError: neither of the two.
        UnsupportedError: a field or a number that the engine's filters cannot express.
    """
    if filter is None:
        return None
    edge = client_module()
    if isinstance(filter, edge.Filter):
        own: qdrant_edge.Filter = filter
        return own
    if not filters.is_common(filter):
        raise SpecError(
            f"the filter must be a mapping or a qdrant_edge.Filter; got a {type(filter).__name__}",
            hint='for example {"topic": "art"}',
        )
    tree: qdrant_edge.Filter = edge.Filter(must=[_condition(edge, filters.parse_filter(filter))])
    return tree


def unread_dates(field: str, node: filters.Range | None = None) -> qdrant_edge.Filter:
    """Rows with a field that the engine cannot read as a date, or only in some of its elements.

    Args:
        node: excludes rows that the engine finds with this range.
    """
    edge = client_module()
    key = field_path(field)
    ever = edge.FieldCondition(key=key, range=edge.RangeDateTime(gte=FIRST))
    several = edge.FieldCondition(key=key, values_count=edge.ValuesCount(gt=1))
    read = edge.Filter(must=[ever], must_not=[several])
    without = [edge.IsEmptyCondition(key), read] + ([] if node is None else [_range(edge, node)])
    found: qdrant_edge.Filter = edge.Filter(must_not=without)
    return found


def _condition(edge: Any, node: filters.Filter | ById) -> Any:
    if isinstance(node, ById):
        return edge.HasIdCondition(set(node.ids))
    if isinstance(node, filters.AllOf):
        return edge.Filter(must=[_condition(edge, child) for child in node.children])
    if isinstance(node, filters.AnyOf):
        return edge.Filter(should=[_condition(edge, child) for child in node.children])
    if isinstance(node, filters.Not):
        return edge.Filter(must_not=[_condition(edge, node.child)])
    if isinstance(node, filters.Range):
        return _range(edge, node)
    if isinstance(node, filters.Equals):
        return _equals(edge, node.field, node.value)
    return _one_of(edge, node.field, node.values)


def _one_of(edge: Any, field: str, values: Sequence[filters.Scalar]) -> Any:
    texts = [value for value in values if isinstance(value, str)]
    rest = [value for value in values if not isinstance(value, str)]
    parts = [_equals(edge, field, value) for value in rest]
    if texts:
        parts.append(edge.FieldCondition(key=field_path(field), match=edge.MatchAny(texts)))
    return edge.Filter(should=parts)


def _equals(edge: Any, field: str, value: filters.Scalar) -> Any:
    if isinstance(value, bool):
        # The binding of 0.9.0 treats Python's True as the number 1, and numpy's True as a bool.
        return edge.FieldCondition(key=field_path(field), match=edge.MatchValue(np.bool_(value)))
    if isinstance(value, str):
        return edge.FieldCondition(key=field_path(field), match=edge.MatchValue(value))
    return _numbers(edge, filters.Range(field, gte=value, lte=value))


def _range(edge: Any, node: filters.Range) -> Any:
    if not node.over_dates:
        return _numbers(edge, node)
    dates = {word: _moment(str(bound)) for word, bound in node.bounds.items()}
    return edge.FieldCondition(key=field_path(node.field), range=edge.RangeDateTime(**dates))


def _numbers(edge: Any, node: filters.Range) -> Any:
    key = field_path(node.field)

    def between(bounds: Mapping[str, float]) -> Any:
        return edge.FieldCondition(key=key, range=edge.RangeFloat(**bounds))

    def whole(numbers: Sequence[int]) -> Any:
        return edge.FieldCondition(key=key, match=edge.MatchAny(list(numbers)))

    return integer_ranges.condition(integer_ranges.split_range(node), edge.Filter, between, whole)


def _moment(text: str) -> str:
    """An ISO date in the engine's format: a time must include seconds."""
    found = _NO_SECONDS.fullmatch(text)
    return f"{found[1]}T{found[2]}:00{found[3] or ''}" if found else text
