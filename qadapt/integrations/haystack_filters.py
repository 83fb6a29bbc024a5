"""Filters of Haystack in the common filter syntax, with the meaning of Haystack's own tests.

A missing field is None: ``==`` None matches it, and so do ``!=`` and ``not in`` of other values. A
comparison with None (``>``, ...) matches nothing.
"""

from __future__ import annotations

from typing import Any

from haystack.errors import FilterError

from qadapt.errors import SpecError
from qadapt.integrations.filters import bound, joined, nothing
from qadapt.model.filters import AnyOf, Equals, Exists, Filter, Not, OneOf

_BOUNDS = {">": "gt", ">=": "gte", "<": "lt", "<=": "lte"}
_COMPARISONS = ("==", "!=", *_BOUNDS, "in", "not in")
_FORM = '{"field": "meta.year", "operator": ">=", "value": 1990}'
# Fields of a document, by the payload field that holds them.
_FIELDS = {"id": "qadapt_id", "content": "content"}


class InvalidFilterError(SpecError, FilterError):
    """A filter that is invalid or cannot be translated; an error of qadapt and of Haystack."""


def translated(filters: dict[str, Any] | None) -> Filter | None:
    """The tree of the common syntax over payload fields; None for no filter.

    Raises:
        InvalidFilterError: the filter is invalid, or cannot be translated.
    """
    if not filters:
        return None
    try:
        return _any_form(filters)
    except InvalidFilterError:
        raise
    except SpecError as error:
        raise InvalidFilterError(error.message, hint=error.hint) from error


def _any_form(filters: Any) -> Filter:
    if not isinstance(filters, dict):
        raise InvalidFilterError(
            f"a filter must be a dictionary; got a {type(filters).__name__}", hint=_FORM
        )
    return _comparison(filters) if "field" in filters else _logical(filters)


def _logical(filters: dict[str, Any]) -> Filter:
    for key in ("operator", "conditions"):
        if key not in filters:
            raise InvalidFilterError(
                f"the filter has no key {key!r}",
                hint=f'a comparison: {_FORM}; a combination: {{"operator": "AND", "conditions": '
                "[...]}",
            )
    children = [_any_form(each) for each in filters["conditions"]]
    operator = filters["operator"]
    if operator == "AND":
        return joined("all", children)
    if operator == "OR":
        return joined("any", children)
    if operator == "NOT":
        return Not(joined("all", children))
    raise InvalidFilterError(f"unknown operator {operator!r}", hint="known: AND, OR, NOT")


def _comparison(filters: dict[str, Any]) -> Filter:
    for key in ("operator", "value"):
        if key not in filters:
            raise InvalidFilterError(f"the comparison has no key {key!r}", hint=_FORM)
    field, operator, value = _field(filters["field"]), filters["operator"], filters["value"]
    if operator == "==":
        return _equal(field, value)
    if operator == "!=":
        return Not(_equal(field, value))
    if operator in _BOUNDS:
        return nothing(field) if value is None else bound(field, _BOUNDS[operator], value)
    if operator == "in":
        return _one_of(field, value, operator)
    if operator == "not in":
        return Not(_one_of(field, value, operator))
    raise InvalidFilterError(
        f"unknown operator {operator!r}", hint=f"known: {', '.join(_COMPARISONS)}"
    )


def _field(name: Any) -> str:
    """The payload field: ``meta.x``, ``id`` and ``content`` of a document; others are metadata."""
    if not isinstance(name, str) or not name:
        raise InvalidFilterError(f"a field must be a name; got {name!r:.60}", hint=_FORM)
    if name in _FIELDS:
        return _FIELDS[name]
    if name in ("embedding", "sparse_embedding", "blob", "score"):
        raise InvalidFilterError(
            f"the field {name!r} cannot be used in a filter", hint="use id, content or meta.KEY"
        )
    return name if name.startswith("meta.") else f"meta.{name}"


def _equal(field: str, value: Any) -> Filter:
    return Not(Exists(field)) if value is None else Equals(field, value)


def _one_of(field: str, values: Any, operator: str) -> Filter:
    if not isinstance(values, list):
        raise InvalidFilterError(
            f"the operator {operator!r} takes a list; got a {type(values).__name__}",
            hint="pass a list of strings, numbers or booleans",
        )
    known = tuple(value for value in values if value is not None)
    parts: list[Filter] = [OneOf(field, known)] if known else []
    if None in values:
        parts.append(Not(Exists(field)))
    if not parts:
        return nothing(field)
    return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))
