"""Filters of LlamaIndex in the common filter syntax."""

from __future__ import annotations

from typing import Any

from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
)

from qadapt.errors import SpecError
from qadapt.integrations.filters import bound, equal, joined, one_of, refused
from qadapt.model.filters import AllOf, Equals, Exists, Filter, Not

_BOUNDS = {
    FilterOperator.GT: "gt",
    FilterOperator.GTE: "gte",
    FilterOperator.LT: "lt",
    FilterOperator.LTE: "lte",
}


def translated(filters: MetadataFilters | None) -> Filter | None:
    """The tree of the common syntax; None for no filter.

    ``!=`` and ``nin`` match nodes without the field. NOT: none of the filters matches.

    Raises:
        SpecError: an operator cannot be translated, or has an invalid value.
    """
    if filters is None or not filters.filters:
        return None
    parts = [_part(each) for each in filters.filters]
    children = [each for each in parts if each is not None]
    if not children:
        return None
    if filters.condition is FilterCondition.NOT:
        return Not(joined("any", children))
    return joined("any" if filters.condition is FilterCondition.OR else "all", children)


def _part(each: MetadataFilter | MetadataFilters) -> Filter | None:
    return translated(each) if isinstance(each, MetadataFilters) else _one(each)


def _one(each: MetadataFilter) -> Filter:
    field, value, operator = each.key, each.value, each.operator
    if operator in _BOUNDS:
        return bound(field, _BOUNDS[operator], value)
    if operator in (FilterOperator.EQ, FilterOperator.CONTAINS):
        return equal(field, value)
    if operator is FilterOperator.NE:
        return Not(equal(field, value))
    if operator in (FilterOperator.IN, FilterOperator.ANY):
        return one_of(field, value, operator.value)
    if operator is FilterOperator.NIN:
        return Not(one_of(field, value, operator.value))
    if operator is FilterOperator.ALL:
        return _all(field, value)
    if operator is FilterOperator.IS_EMPTY:
        return Not(Exists(field))
    raise refused(
        operator.value,
        "LlamaIndex",
        "filter by equality, or retrieve more nodes and compare the text yourself",
    )


def _all(field: str, values: Any) -> Filter:
    if not isinstance(values, list) or not values:
        raise SpecError(
            f"the operator 'all' on {field!r} takes a nonempty list", hint='for example ["a", "b"]'
        )
    return AllOf(tuple(Equals(field, value) for value in values))
