"""Filters select the same rows as an independent implementation of their documentation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from slow import examples

from qadapt.model.filters import matches, parse_filter

_fields = st.sampled_from(["a", "b", "c"])
_scalars = st.sampled_from([0, 1, 2, 1.5, "x", "y", "", True, False])
_bounds = st.sampled_from([0, 1, 1.5, 2])
_presence = st.tuples(_fields, st.sampled_from(["exists", "missing"]), st.booleans())
_leaves = (
    _presence.map(lambda parts: {parts[0]: {parts[1]: parts[2]}})
    | _fields.map(lambda field: {field: None})
    | st.tuples(_fields, _scalars).map(lambda pair: {pair[0]: pair[1]})
    | st.tuples(_fields, st.lists(_scalars, min_size=1, max_size=3)).map(
        lambda pair: {pair[0]: pair[1]}
    )
    | st.tuples(
        _fields, st.sampled_from(["gt", "gte"]), _bounds, st.sampled_from(["lt", "lte"]), _bounds
    ).map(lambda parts: {parts[0]: {parts[1]: parts[2], parts[3]: parts[4]}})
)
_filters = st.recursive(
    _leaves,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3).map(lambda found: {"any": found})
        | st.lists(inner, min_size=1, max_size=3).map(lambda found: {"all": found})
        | inner.map(lambda found: {"not": found})
        | st.tuples(inner, inner).map(lambda pair: {**pair[0], **pair[1]})
    ),
    max_leaves=6,
)
_rows = st.dictionaries(_fields, st.none() | _scalars | st.lists(st.none() | _scalars, max_size=3))


def _oracle(given_filter: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
    def clause(key: str, value: Any) -> bool:
        if key == "not":
            return not _oracle(value, row)
        if key in ("any", "all"):
            return {"any": any, "all": all}[key](_oracle(child, row) for child in value)
        held = row.get(key)
        if value is None:
            return key in row and (held is None or (isinstance(held, list) and None in held))
        if isinstance(value, dict) and ("exists" in value or "missing" in value):
            there = held is not None and held != []
            return there is value.get("exists", not value.get("missing"))
        held = [] if held is None else held if isinstance(held, list) else [held]
        if isinstance(value, dict):
            return any(_in_range(item, value) for item in held)
        wanted = {(_family(v), v) for v in (value if isinstance(value, list) else [value])}
        return bool(wanted & {(_family(item), item) for item in held})

    return all(clause(key, value) for key, value in given_filter.items())


def _family(value: Any) -> str:
    return {bool: "bool", str: "str", type(None): "null"}.get(type(value), "number")


def _in_range(item: Any, bounds: Mapping[str, float]) -> bool:
    compare = {"gt": "__gt__", "gte": "__ge__", "lt": "__lt__", "lte": "__le__"}
    return _family(item) == "number" and all(
        getattr(float(item), compare[word])(float(bound)) for word, bound in bounds.items()
    )


@settings(max_examples=examples(200), deadline=None)
@given(_filters, _rows)
def test_filters_match_an_independent_evaluation(
    given_filter: dict[str, Any], row: dict[str, Any]
) -> None:
    assert matches(parse_filter(given_filter), row) is _oracle(given_filter, row)
