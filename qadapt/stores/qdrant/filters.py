"""Conversion of common filters to the client's models.

Numbers are equal if their values are, such as 1990 and 1990.0; the server's ``match`` compares
integers only with integers, so numbers are compared by a range, which uses 64-bit floats. Near a
number beyond 2^53, which shares its float with others, integers are listed for ``match``
(``wide_numbers``). Dates that the engine cannot read are found by ``unread_dates``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from qadapt.errors import SpecError, UnsupportedError
from qadapt.model import filters
from qadapt.stores.qdrant import integer_ranges
from qadapt.stores.qdrant.date_ranges import FIRST, ById
from qadapt.stores.qdrant.server.connection import module

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+")


def to_models(filter: Any) -> Any:
    """Convert a common filter to the client's ``Filter``, which itself passes through.

    Raises:
        SpecError: neither of the two.
        UnsupportedError: a field or a number that Qdrant's filters cannot express.
    """
    if filter is None:
        return None
    models = module().models
    if isinstance(filter, models.Filter):
        return filter
    if not filters.is_common(filter):
        raise SpecError(
            "the filter must be a mapping or a qdrant_client.models.Filter; got a "
            f"{type(filter).__name__}",
            hint='for example {"topic": "art"}',
        )
    found = _condition(models, filters.parse_filter(filter))
    return found if isinstance(found, models.Filter) else models.Filter(must=[found])


def has_vector(name: str) -> Any:
    """The rows that have a vector."""
    models = module().models
    return models.Filter(must=[models.HasVectorCondition(has_vector=name)])


def unread_dates(field: str, node: filters.Range | None = None) -> Any:
    """Rows with a field that the engine cannot read as a date, or only in some of its elements.

    Args:
        node: excludes rows that the engine finds with this range.
    """
    models = module().models
    key = field_path(field)
    ever = models.FieldCondition(key=key, range=models.DatetimeRange(gte=filters.moment(FIRST)))
    several = models.FieldCondition(key=key, values_count=models.ValuesCount(gt=1))
    read = models.Filter(must=[ever], must_not=[several])
    empty = models.IsEmptyCondition(is_empty=models.PayloadField(key=key))
    without = [empty, read] + ([] if node is None else [_range(models, node)])
    return models.Filter(must_not=without)


def _condition(models: Any, node: filters.Filter | ById) -> Any:
    if isinstance(node, ById):
        return models.HasIdCondition(has_id=list(node.ids))
    if isinstance(node, filters.AllOf):
        return models.Filter(must=[_condition(models, child) for child in node.children])
    if isinstance(node, filters.AnyOf):
        return models.Filter(should=[_condition(models, child) for child in node.children])
    if isinstance(node, filters.Not):
        return models.Filter(must_not=[_condition(models, node.child)])
    if isinstance(node, filters.Range):
        return _range(models, node)
    if isinstance(node, filters.Equals):
        return _equals(models, node.field, node.value)
    return _one_of(models, node)


def _one_of(models: Any, node: filters.OneOf) -> Any:
    texts = [value for value in node.values if isinstance(value, str)]
    rest = [value for value in node.values if not isinstance(value, str)]
    parts = [_equals(models, node.field, value) for value in rest]
    if texts:
        key = field_path(node.field)
        parts.append(models.FieldCondition(key=key, match=models.MatchAny(any=texts)))
    return models.Filter(should=parts)


def _equals(models: Any, field: str, value: filters.Scalar) -> Any:
    if isinstance(value, (bool, str)):
        return models.FieldCondition(key=field_path(field), match=models.MatchValue(value=value))
    return _numbers(models, filters.Range(field, gte=value, lte=value))


def _range(models: Any, node: filters.Range) -> Any:
    if not node.over_dates:
        return _numbers(models, node)
    dates = {word: _moment(str(bound)) for word, bound in node.bounds.items()}
    return models.FieldCondition(key=field_path(node.field), range=models.DatetimeRange(**dates))


def _numbers(models: Any, node: filters.Range) -> Any:
    key = field_path(node.field)

    def between(bounds: Mapping[str, float]) -> Any:
        return models.FieldCondition(key=key, range=models.Range(**bounds))

    def whole(numbers: Sequence[int]) -> Any:
        return models.FieldCondition(key=key, match=models.MatchAny(any=list(numbers)))

    return integer_ranges.condition(integer_ranges.split_range(node), models.Filter, between, whole)


def field_path(field: str) -> str:
    """The field as Qdrant's path, with quotes around parts that contain special characters.

    Raises:
        UnsupportedError: a quote or backslash, which cannot be escaped.
    """
    parts = field.split(".")
    for part in parts:
        if '"' in part or "\\" in part:
            raise UnsupportedError(
                f"the field {part!r} cannot be used in a Qdrant filter",
                hint="rename the field: quotes and backslashes cannot be escaped",
            )
    return ".".join(part if _PLAIN_KEY.fullmatch(part) else f'"{part}"' for part in parts)


def _moment(text: str) -> datetime:
    """An ISO date; UTC without a time zone. Fractions are truncated to microseconds."""
    moment = filters.moment(text)
    assert moment is not None, "a range checks its bounds"
    return moment
