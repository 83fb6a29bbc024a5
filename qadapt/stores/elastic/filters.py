"""Common filters as queries.

In an index that qadapt created, filters use terms that qadapt computed (``filter_terms``). In
another index, they use the mapped fields: a term query for equality, a range query for numbers and
dates. A field without a mapping is refused, because a query on it finds nothing and reports
nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from qadapt.errors import UnsupportedError
from qadapt.model import filters
from qadapt.model.dates import moment
from qadapt.stores.elastic import filter_terms
from qadapt.stores.elastic.schema import TERMS_FIELD, Index, leaves

_NUMBERS = (
    "long", "integer", "short", "byte", "unsigned_long", "double", "float", "half_float",
    "scaled_float",
)  # fmt: skip
_TEXTS = ("keyword", "constant_keyword", "wildcard")
_DATES = ("date", "date_nanos")
# A term query compares at most this many values (index.max_terms_count is 65,536).
_MOST_TERMS = 60_000

Build = Callable[[filters.Filter, Index], dict[str, Any]]


def to_query(filter: Any, index: Index) -> dict[str, Any] | None:
    """The query of a filter; None without one.

    Args:
        filter: the common form, or an object of the client with ``to_dict``, which is sent as is.

    Raises:
        SpecError, UnsupportedError
    """
    if filter is None:
        return None
    if not filters.is_common(filter):
        if hasattr(filter, "to_dict"):
            return dict(filter.to_dict())
        raise UnsupportedError(
            f"a {type(filter).__name__} is not a filter",
            hint="pass a filter such as {'topic': 'art'}, or a query of the client's DSL",
        )
    return _node(filters.parse_filter(filter), index, _leaf_of(index))


def _leaf_of(index: Index) -> Build:
    return _by_terms if index.managed else _by_mapping


def _node(node: filters.Filter, index: Index, leaf: Build) -> dict[str, Any]:
    if isinstance(node, filters.AllOf):
        return {"bool": {"filter": [_node(each, index, leaf) for each in node.children]}}
    if isinstance(node, filters.AnyOf):
        children = [_node(each, index, leaf) for each in node.children]
        return {"bool": {"should": children, "minimum_should_match": 1}}
    if isinstance(node, filters.Not):
        return {"bool": {"must_not": [_node(node.child, index, leaf)]}}
    return leaf(node, index)


# -- terms of qadapt -----------------------------------------------------------------------------


def _by_terms(node: filters.Filter, index: Index) -> dict[str, Any]:
    if isinstance(node, filters.Exists):
        return _term(filter_terms.term(node.field, filter_terms.EXISTS, ""))
    if isinstance(node, filters.IsNull):
        return _term(filter_terms.term(node.field, filter_terms.NULL, ""))
    if isinstance(node, filters.Equals):
        return _term(filter_terms.equal(node.field, node.value))
    if isinstance(node, filters.OneOf):
        return _any_of([filter_terms.equal(node.field, each) for each in node.values])
    assert isinstance(node, filters.Range)
    times = node.over_dates
    limits = {word: moment(each) if times else each for word, each in node.bounds.items()}
    return {"range": {TERMS_FIELD: filter_terms.bounds(node.field, limits, times=times)}}


def _term(value: str) -> dict[str, Any]:
    return {"term": {TERMS_FIELD: value}}


def _any_of(values: list[str]) -> dict[str, Any]:
    parts = [values[at : at + _MOST_TERMS] for at in range(0, len(values), _MOST_TERMS)]
    queries = [{"terms": {TERMS_FIELD: part}} for part in parts]
    if len(queries) == 1:
        return queries[0]
    return {"bool": {"should": queries, "minimum_should_match": 1}}


# -- mapped fields -------------------------------------------------------------------------------


def _by_mapping(node: filters.Filter, index: Index) -> dict[str, Any]:
    if isinstance(node, filters.IsNull):
        raise UnsupportedError(
            f"{index.name!r} does not index null, so {{{node.field!r}: null}} cannot be searched",
            hint=f"use {{{node.field!r}: {{'missing': True}}}}",
        )
    assert isinstance(node, (filters.Exists, filters.Equals, filters.OneOf, filters.Range))
    path, kind = mapped_field(node.field, index)
    if isinstance(node, filters.Exists):
        return {"exists": {"field": path}}
    if isinstance(node, filters.Range):
        return _mapped_range(node, path, kind)
    values = node.values if isinstance(node, filters.OneOf) else (node.value,)
    for value in values:
        _check_type(node.field, kind, value)
    return {"terms": {path: list(values)}}


def _mapped_range(node: filters.Range, path: str, kind: str) -> dict[str, Any]:
    fits = kind in (_DATES if node.over_dates else _NUMBERS)
    if not fits:
        what = "dates" if node.over_dates else "numbers"
        raise UnsupportedError(
            f"the field {node.field!r} has the type {kind}, which has no range of {what}",
            hint="map the field as a number or a date",
        )
    return {"range": {path: dict(node.bounds)}}


def _check_type(field: str, kind: str, value: Any) -> None:
    """Refuse a value that the server would convert: ``"5"`` would match the number 5."""
    if isinstance(value, bool):
        fits = kind == "boolean"
    elif isinstance(value, (int, float)):
        fits = kind in _NUMBERS
    else:
        fits = kind in (*_TEXTS, *_DATES, "ip", "version")
    if not fits:
        raise UnsupportedError(
            f"the field {field!r} has the type {kind}, which does not compare with {value!r:.40}",
            hint=f"use a value of the type {kind}",
        )


def mapped_field(field: str, index: Index) -> tuple[str, str]:
    """Path and type of the field that a filter uses; a subfield ``keyword`` for text.

    Raises:
        UnsupportedError: the mapping does not have the field, or it is not indexed.
    """
    found: Mapping[str, Any] = dict(leaves(index.properties)).get(field) or {}
    kind = str(found.get("type", ""))
    if kind in ("text", "match_only_text"):
        for name, each in (found.get("fields") or {}).items():
            if each.get("type") == "keyword":
                return f"{field}.{name}", "keyword"
    known = (*_NUMBERS, *_TEXTS, *_DATES, "boolean", "ip", "version")
    if kind not in known or (found.get("index") is False and found.get("doc_values") is False):
        why = f"has the type {kind}" if kind else "is not in the mapping"
        raise UnsupportedError(
            f"the field {field!r} of {index.name!r} {why}, so a filter would find nothing",
            hint="map it as keyword, a number, a date or boolean, and index the rows again",
        )
    return field, kind
