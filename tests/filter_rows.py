"""Rows whose payloads filters distinguish, and generated filters on them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from qadapt.model.filters import AnyOf, matches, parse_filter

PAYLOADS: list[dict[str, Any]] = [
    {"topic": "art", "year": 1990, "price": 1.5, "sold": True},
    {"topic": "art", "year": 1990.0, "price": 2, "sold": False},
    {"topic": "music", "year": 2000, "tags": ["a", "b", 3]},
    {"topic": ["art", "music"], "year": [1980, 2010], "tags": []},
    {"topic": None, "year": None, "tags": ["b", None, True]},
    {"topic": "1990", "year": "1990", "sold": 1},
    {"author": {"name": "Ann", "age": 30}, "my key": "x", "größe": 4},
    {"author": [{"name": "Ann"}], "day": "2024-05-01"},
    {"author": "Ann", "day": "2024-05-01T12:00:00Z", "when": ["2020-01-01", "x"]},
    {"big": 2**53 + 1, "day": "2024-05-01T12:00:00+02:00"},
    {"big": 2**53, "year": -5, "price": -0.0},
    {},
]
FIELDS = ["topic", "year", "price", "sold", "tags", "author.name", "author", "my key", "größe"]


def meant(filter: Any, payloads: list[dict[str, Any]] = PAYLOADS) -> list[int]:
    """Numbers of the rows that match in the common form."""
    tree = parse_filter(filter)
    return [at for at, payload in enumerate(payloads) if matches(tree, payload)]


def filter_trees(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Combinations of these filters by ``any``, ``all`` and ``not``."""
    return st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner, min_size=1, max_size=3).map(lambda found: AnyOf(tuple(found)))
            | st.lists(inner, min_size=1, max_size=3).map(
                lambda found: parse_filter({"all": found})
            )
            | inner.map(lambda found: parse_filter({"not": found}))
        ),
        max_leaves=5,
    )
