"""Filters of LangChain in the common filter syntax.

Accepted are the common syntax of docs/filters.md, mappings with the operators that LangChain's
vector stores share (``{"year": {"$gte": 1990}}``), the directives of a ``StructuredQuery``, and
native filters of the database.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from langchain_core.structured_query import (
    Comparator,
    Comparison,
    FilterDirective,
    Operation,
    Operator,
    StructuredQuery,
    Visitor,
)

from qadapt.errors import SpecError
from qadapt.integrations.filters import bound, equal, joined, one_of, refused
from qadapt.model.filter_checks import RANGE_WORDS
from qadapt.model.filters import AllOf, AnyOf, Exists, Filter, Not, Range, parse_filter

FRAMEWORK = "LangChain"
_HINTS = {
    "$like": "filter by equality, or search with more results and compare the text yourself",
    "$ilike": "filter by equality, or search with more results and compare the text yourself",
    "$regex": "filter by equality, or pass a native filter of the database",
    "$text": "filter by equality, or pass a native filter of the database",
}
_NATIVE = "use $eq, $ne, $gt, $gte, $lt, $lte, $in, $nin, $between, $exists, $and, $or, $not"


def translated(filter: Any) -> Any:
    """A filter as the tree of the common syntax; a native filter is returned unchanged.

    Raises:
        SpecError: an operator cannot be translated; the hint names an alternative.
    """
    if isinstance(filter, FilterDirective):
        return filter.accept(QadaptTranslator())
    if isinstance(filter, Mapping) and _has_operators(filter):
        return _mapping(filter)
    return filter


def _has_operators(value: Any) -> bool:
    """Whether a key of a mapping, or of a mapping inside of it, starts with ``$``."""
    if isinstance(value, Mapping):
        return any(
            (isinstance(key, str) and key.startswith("$")) or _has_operators(child)
            for key, child in value.items()
        )
    return isinstance(value, (list, tuple)) and any(map(_has_operators, value))


def _mapping(filter: Any) -> Filter:
    if not isinstance(filter, Mapping) or not filter:
        raise SpecError(
            f"a filter of {FRAMEWORK} must be a nonempty mapping; got a {type(filter).__name__}",
            hint='for example {"$and": [{"topic": "art"}, {"year": {"$gte": 1990}}]}',
        )
    return joined("all", [_entry(str(key), value) for key, value in filter.items()])


def _entry(key: str, value: Any) -> Filter:
    if key in ("$and", "$or"):
        if not isinstance(value, (list, tuple)) or not value:
            raise SpecError(
                f"{key!r} takes a nonempty list of filters",
                hint=f'{{"{key}": [{{"topic": "art"}}, {{"year": 1999}}]}}',
            )
        return joined("all" if key == "$and" else "any", [_mapping(child) for child in value])
    if key == "$not":
        return Not(_mapping(value))
    if key.startswith("$"):
        raise refused(key, FRAMEWORK, _HINTS.get(key, _NATIVE))
    if not isinstance(value, Mapping):
        return parse_filter({key: {"in" if isinstance(value, (list, tuple)) else "eq": value}})
    if not any(isinstance(word, str) and word.startswith("$") for word in value):
        return parse_filter({key: value})
    return joined("all", [_operator(key, str(word), each) for word, each in value.items()])


def _between(field: str, value: Any) -> Filter:
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise SpecError(
            f"'$between' on {field!r} takes two bounds",
            hint=f'{{"{field}": {{"$between": [1, 9]}}}}',
        )
    return Range(field, gte=value[0], lte=value[1])


def _exists(field: str, value: Any) -> Filter:
    if not isinstance(value, bool):
        raise SpecError(f"'$exists' on {field!r} takes true or false", hint="pass true or false")
    return Exists(field) if value else Not(Exists(field))


_OPERATORS: dict[str, Callable[[str, Any], Filter]] = {
    "$eq": equal,
    "$ne": lambda field, value: Not(equal(field, value)),
    "$in": lambda field, value: one_of(field, value, "$in"),
    "$nin": lambda field, value: Not(one_of(field, value, "$nin")),
    "$between": _between,
    "$exists": _exists,
}


def _operator(field: str, word: str, value: Any) -> Filter:
    if word == "$not" and isinstance(value, Mapping):
        return Not(_entry(field, value))
    if word[1:] in RANGE_WORDS:
        return bound(field, word[1:], value)
    if word not in _OPERATORS:
        raise refused(word, FRAMEWORK, _HINTS.get(word, _NATIVE))
    return _OPERATORS[word](field, value)


class QadaptTranslator(Visitor):
    """Translates a ``StructuredQuery``, for LangChain's ``SelfQueryRetriever``.

    ``LIKE`` cannot be translated and is refused. ``CONTAIN`` is equality with one element of a
    list.
    """

    allowed_operators = (Operator.AND, Operator.OR, Operator.NOT)
    allowed_comparators = tuple(each for each in Comparator if each is not Comparator.LIKE)

    def visit_operation(self, operation: Operation) -> Filter:
        """The combination of the arguments; NOT of several arguments: none of them matches."""
        children = tuple(each.accept(self) for each in operation.arguments)
        if operation.operator is Operator.NOT:
            return Not(joined("any", children))
        return AllOf(children) if operation.operator is Operator.AND else AnyOf(children)

    def visit_comparison(self, comparison: Comparison) -> Filter:
        """One comparison.

        Raises:
            SpecError: the comparator cannot be translated.
        """
        word = "eq" if comparison.comparator is Comparator.CONTAIN else comparison.comparator.value
        return _operator(comparison.attribute, f"${word}", _date(comparison.value))

    def visit_structured_query(
        self, structured_query: StructuredQuery
    ) -> tuple[str, dict[str, Any]]:
        """The query text and the keyword arguments of the search."""
        found = structured_query.filter
        return structured_query.query, {} if found is None else {"filter": found.accept(self)}


def _date(value: Any) -> Any:
    """The text of a date, which a query constructor writes as ``{"date": ..., "type": "date"}``."""
    if isinstance(value, Mapping) and value.get("type") in ("date", "datetime"):
        return value.get("date", value.get("datetime"))
    return value
