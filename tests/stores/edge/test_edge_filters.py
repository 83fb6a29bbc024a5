"""Filters on the live engine match the same rows as the common form."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from edge_helpers import fill
from filter_rows import FIELDS, PAYLOADS, filter_trees, meant
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from slow import examples

from qadapt.errors import SpecError, UnsupportedError
from qadapt.model import Batch, Vector
from qadapt.model.filters import (
    Equals,
    Exists,
    IsNull,
    OneOf,
    Range,
)
from qadapt.stores.base import ReadRequest, SearchRequest
from qadapt.stores.qdrant.edge.store import EdgeStore


@pytest.fixture
def filled(store: EdgeStore) -> EdgeStore:
    vectors = np.eye(len(PAYLOADS), dtype=np.float32)
    fill(store, Batch(list(range(len(PAYLOADS))), {"": vectors}, PAYLOADS), {"": Vector(12)})
    return store


def through(store: EdgeStore, filter: Any) -> list[Any]:
    """Rows that a read returns; count and search must be consistent."""
    read = [key for page in store.read("c", ReadRequest(filter=filter)) for key in page.ids]
    assert store.count("c", filter) == len(read)
    hits = store.search("c", np.ones((1, 12), np.float32), SearchRequest(k=12, filter=filter))
    assert {key for key in hits.ids[0] if key is not None} == set(read)
    return read


@pytest.mark.parametrize(
    ("filter", "rows"),
    [
        ({"topic": "art"}, [0, 1, 3]),
        ({"year": 1990}, [0, 1]),
        ({"year": {"gte": 1990, "lt": 2000}}, [0, 1]),
        ({"price": {"gt": 1.5}}, [1]),
        ({"sold": True}, [0]),
        ({"sold": False}, [1]),
        ({"sold": 1}, [5]),
        ({"topic": ["music", "1990"]}, [2, 3, 5]),
        ({"tags": [3, True]}, [2, 4]),
        ({"author.name": "Ann"}, [6]),
        ({"my key": "x"}, [6]),
        ({"größe": 4}, [6]),
        ({"any": [{"year": 1990}, {"topic": "music"}]}, [0, 1, 2, 3]),
        ({"all": [{"year": 1990}, {"sold": True}]}, [0]),
        ({"not": {"topic": "art"}}, [2, 4, 5, 6, 7, 8, 9, 10, 11]),
        ({"topic": "art", "not": {"sold": True}}, [1, 3]),
        ({"day": {"gte": "2024-05-01T11:00Z"}}, [8]),
        ({"day": {"lt": "2024-05-01T12:00+00:00"}}, [7, 9]),
        ({"when": {"gte": "2019-06-01"}}, [8]),
        ({"big": 2**53 + 1}, [9]),
        ({"big": {"gt": 10**400}}, []),
        ({"big": {"lt": 10**400}}, [9, 10]),
        ({"big": -(2**63) - 1}, []),
        ({"topic": {"exists": True}}, [0, 1, 2, 3, 5]),
        ({"topic": {"missing": True}}, [4, 6, 7, 8, 9, 10, 11]),
        ({"topic": None}, [4]),
        ({"tags": {"exists": True}}, [2, 4]),
        ({"tags": None}, [4]),
        ({"tags": [None, 3]}, [2, 4]),
        ({"author.name": {"exists": True}}, [6]),
        ({"author": {"exists": True}, "not": {"author.age": {"exists": True}}}, [7, 8]),
        ({"year": {"exists": True, "lt": 1985}}, [3, 10]),
    ],
)
def test_each_form(filled: EdgeStore, filter: Any, rows: list[int]) -> None:
    assert through(filled, filter) == rows == meant(filter)


scalars = st.sampled_from(
    ["art", "music", "1990", "a", "x", "Ann", 1990, 1990.0, 3, 1, True, False]
)
leaves = (
    st.builds(Exists, st.sampled_from(FIELDS))
    | st.builds(IsNull, st.sampled_from(FIELDS))
    | st.builds(Equals, st.sampled_from(FIELDS), scalars)
    | st.builds(OneOf, st.sampled_from(FIELDS), st.tuples(scalars) | st.tuples(scalars, scalars))
    | st.builds(
        lambda field, low, high: Range(field, gte=low, lt=high),
        st.sampled_from(FIELDS),
        st.sampled_from([-10, 0, 1.5, 1990]),
        st.sampled_from([2, 1990.5, 2010]),
    )
)
trees = filter_trees(leaves)


@settings(max_examples=examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=trees)
def test_any_tree(filled: EdgeStore, tree: Any) -> None:
    assert through(filled, tree) == meant(tree)


def test_native_filter_passes_through(filled: EdgeStore) -> None:
    import qdrant_edge as edge

    own = edge.Filter(must=[edge.FieldCondition(key="topic", match=edge.MatchText("mus"))])
    assert through(filled, own) == []
    none_of = edge.Filter(must=[edge.IsNullCondition("topic")])
    assert through(filled, none_of) == [4]


def test_unsupported_filters_are_rejected(filled: EdgeStore) -> None:
    with pytest.raises(SpecError):
        filled.count("c", ["topic"])
    for filter in ({'a"b': 1}, {"a\\b": 1}, {"big": 2**63}, {"big": {"gt": 2**63}}):
        with pytest.raises(UnsupportedError):
            filled.count("c", filter)
