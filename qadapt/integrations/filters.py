"""Parts of the common filter syntax that the filters of frameworks are translated to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from qadapt.errors import SpecError
from qadapt.model.filter_checks import RANGE_WORDS
from qadapt.model.filters import (
    AllOf,
    AnyOf,
    Equals,
    Exists,
    Filter,
    IsNull,
    Not,
    OneOf,
    Range,
)


def moved(filter: Filter, prefix: str) -> Filter:
    """The same filter on fields inside of the object ``prefix``."""
    if isinstance(filter, Not):
        return Not(moved(filter.child, prefix))
    if isinstance(filter, (AnyOf, AllOf)):
        return replace(filter, children=tuple(moved(child, prefix) for child in filter.children))
    return replace(filter, field=f"{prefix}.{filter.field}")


def equal(field: str, value: Any) -> Filter:
    """The field equals; None: the field is null."""
    return IsNull(field) if value is None else Equals(field, value)


def one_of(field: str, values: Any, operator: str) -> Filter:
    """The field is one of several values, of which one may be None.

    Raises:
        SpecError: not a list, or an empty one.
    """
    if isinstance(values, (str, bytes)) or not isinstance(values, (Sequence, set, frozenset)):
        raise SpecError(
            f"the operator {operator!r} on {field!r} takes a list; got a {type(values).__name__}",
            hint="pass a list of strings, numbers or booleans",
        )
    known = tuple(value for value in values if value is not None)
    parts: list[Filter] = [OneOf(field, known)] if known or None not in values else []
    if None in values:
        parts.append(IsNull(field))
    return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))


def bound(field: str, word: str, value: Any) -> Filter:
    """A range with one bound, ``gt``, ``gte``, ``lt`` or ``lte``.

    Raises:
        SpecError: the value is neither a number nor a date.
    """
    assert word in RANGE_WORDS
    if value is None:
        raise SpecError(
            f"the range on {field!r} has no bound",
            hint="pass a number or an ISO date; for missing values, filter with exists",
        )
    return Range(field, **{word: value})


def joined(word: str, filters: Sequence[Filter]) -> Filter:
    """``all`` or ``any`` of several filters.

    Raises:
        SpecError: there are no filters.
    """
    if len(filters) == 1:
        return filters[0]
    return AllOf(tuple(filters)) if word == "all" else AnyOf(tuple(filters))


def nothing(field: str) -> Filter:
    """A filter that no row matches."""
    return AllOf((Exists(field), Not(Exists(field))))


def refused(operator: str, framework: str, hint: str) -> SpecError:
    """The error for an operator that no database can evaluate through qadapt."""
    return SpecError(f"qadapt cannot translate the operator {operator!r} of {framework}", hint=hint)
