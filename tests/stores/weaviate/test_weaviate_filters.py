"""Common filters on a live Weaviate select the same rows as ``matches``, or are refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from slow import examples
from weaviate_helpers import fill, foreign, keys, normal, number

from qadapt.errors import SpecError, UnsupportedError
from qadapt.model import Batch
from qadapt.model.filters import matches, parse_filter
from qadapt.stores.base import ReadRequest, SearchRequest
from qadapt.stores.weaviate.store import WeaviateStore

ROWS: list[dict[str, Any]] = [
    {"topic": "art", "year": 1990, "open": True, "tags": ["a", "b"], "marks": [1, 9]},
    {"topic": "Art", "year": 1990.5, "open": False, "tags": ["the"], "marks": [3]},
    {"topic": "art of war", "year": -0.0, "tags": "a", "marks": 5},
    {"topic": " art ", "year": 0, "tags": [], "marks": []},
    {"topic": "", "year": None, "open": None},
    {"topic": "*", "year": 2**53 + 1},
    {"topic": 5, "year": "1990", "open": 1, "tags": [1, "b"], "marks": ["x", 4]},
    {"topic": ["art"], "year": [7], "open": [True]},
    {"topic": {"art": 1}, "year": {"gt": 1}},
    {"topic": "the", "year": -3.5, "open": False},
    {"topic": "ünï ☃", "year": 1e300},
    {},
]
_FIELDS = {
    "topic": ["art", "Art", "art of war", "", "*", "a?t", "the", "ünï ☃", "none"],
    "tags": ["a", "b", "the", "c"],
    "year": [1990, 1990.5, 0, -0.0, -3.5, 7, 1e300],
    "marks": [1, 3, 4, 5, 9, 2.5],
    "open": [True, False],
}


@pytest.fixture
def filled(store: WeaviateStore, name: str) -> str:
    """A collection of the rows."""
    fill(store, name, normal(len(ROWS)), ROWS)
    return name


def _leaf(field: str) -> st.SearchStrategy[Any]:
    values = st.sampled_from(_FIELDS[field])
    forms = [
        values.map(lambda value: {field: value}),
        st.lists(values, min_size=1, max_size=3).map(lambda each: {field: each}),
    ]
    if field in ("year", "marks"):
        words = st.sampled_from(["gt", "gte", "lt", "lte"])
        forms.append(st.tuples(words, values).map(lambda two: {field: {two[0]: two[1]}}))
    if field == "year":
        bounds = st.tuples(values, values)
        forms.append(bounds.map(lambda two: {field: {"gte": two[0], "lt": two[1]}}))
    return st.one_of(forms)


_FILTERS = st.recursive(
    st.sampled_from(sorted(_FIELDS)).flatmap(_leaf),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda each: {"any": each}),
        st.lists(inner, min_size=1, max_size=3).map(lambda each: {"all": each}),
        inner.map(lambda each: {"not": each}),
    ),
    max_leaves=5,
)


@settings(
    max_examples=examples(100),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
)
@given(_FILTERS)
def test_a_filter_selects_the_rows_of_the_common_form(
    store: WeaviateStore, filled: str, filter: dict[str, Any]
) -> None:
    tree = parse_filter(filter)
    wanted = [row for row, payload in enumerate(ROWS) if matches(tree, payload)]
    assert store.count(filled, filter) == len(wanted)
    pages = store.read(filled, ReadRequest(filter=filter, vectors=(), page=3))
    assert [number(key) for page in pages for key in page.ids] == wanted
    search = SearchRequest(k=len(ROWS), filter=filter)
    hits = store.search(filled, normal(1), search).ids[0].tolist()
    assert sorted(number(key) for key in hits if key is not None) == wanted


@pytest.mark.parametrize(
    ("filter", "words"),
    [
        ({"topic": " art "}, "whitespace"),
        ({"topic": 5}, "type text"),
        ({"year": "1990"}, "type number"),
        ({"open": 1}, "type boolean"),
        ({"year": 2**53}, "64-bit floats"),
        ({"year": {"gt": 2**60}}, "64-bit floats"),
        ({"year": {"gt": 1e18}}, "64-bit floats"),
        ({"year": {"lt": 10**400}}, "64-bit floats"),
        ({"marks": {"gte": 2, "lt": 5}}, "two different elements"),
        ({"topic": {"gte": "2024-05-01"}}, "type text"),
        ({"author.name": "x"}, "fields of objects"),
        ({"Name": 1}, "not a valid property name"),
        ({"id": "x"}, "not a valid property name"),
    ],
    ids=str,
)
def test_filters_with_other_results_on_the_server_are_refused(
    store: WeaviateStore, filled: str, filter: dict[str, Any], words: str
) -> None:
    with pytest.raises(UnsupportedError, match=words):
        store.count(filled, filter)


def test_the_server_returns_other_rows_for_refused_filters(
    store: WeaviateStore, filled: str
) -> None:
    """Two refusals: whitespace is stripped, and two elements satisfy the two bounds."""
    query = pytest.importorskip("weaviate.classes.query")
    topic = query.Filter.by_property("topic")
    assert store.count(filled, topic.equal(" art ")) == 2  # rows 0 and 7, not 3
    marks = query.Filter.by_property("marks")
    assert store.count(filled, marks.greater_or_equal(2) & marks.less_than(5)) == 3


def test_an_unknown_property_names_the_nearest(store: WeaviateStore, filled: str) -> None:
    with pytest.raises(SpecError, match="topik") as caught:
        store.count(filled, {"topik": "art"})
    assert "'topic'" in str(caught.value.hint)


def test_invalid_unicode_is_refused(store: WeaviateStore, filled: str) -> None:
    with pytest.raises(SpecError, match="surrogate"):
        store.count(filled, {"topic": "\ud800"})


def test_native_filters_are_passed_through(store: WeaviateStore, filled: str) -> None:
    query = pytest.importorskip("weaviate.classes.query")
    native = query.Filter.by_property("topic").like("art*") & query.Filter.by_id().not_equal(
        keys(1)[0]
    )
    found = [key for page in store.read(filled, ReadRequest(filter=native)) for key in page.ids]
    assert [number(key) for key in found] == [1, 2, 7] or [number(k) for k in found] == [2, 7]
    hits = store.search(filled, normal(1), SearchRequest(k=12, filter=native))
    assert {key for key in hits.ids[0] if key is not None} == set(found)
    with pytest.raises(SpecError, match="weaviate Filter"):
        store.count(filled, "topic = art")


def test_filters_on_properties_of_other_clients(store: WeaviateStore, name: str) -> None:
    """Native types are compared exactly; tokenized text is refused."""
    kinds = {
        "title": "text",
        "count": "int",
        "day": "date",
        "key": "uuid",
        "place": "geoCoordinates",
    }
    properties: list[dict[str, Any]] = [{"name": n, "dataType": [k]} for n, k in kinds.items()]
    properties += [
        {"name": "code", "dataType": ["text"], "tokenization": "field"},
        {
            "name": "hidden",
            "dataType": ["text"],
            "indexFilterable": False,
            "indexSearchable": False,
        },
    ]
    foreign(store, name, properties=properties)
    uuid = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
    payloads = [
        {"title": "art of war", "count": 2**53, "day": "2024-05-01T12:00:00Z", "key": uuid},
        {"title": "art", "count": 3, "day": "2024-05-02T00:00:00+02:00", "code": "A 1"},
    ]
    store.write(name, Batch(keys(2), {"": normal(2)}, payloads))

    def rows(filter: dict[str, Any]) -> list[int]:
        return [
            number(key) for page in store.read(name, ReadRequest(filter=filter)) for key in page.ids
        ]

    assert rows({"count": {"gt": 2.5}}) == [0, 1]
    assert rows({"count": {"lte": 3.5}}) == [1]
    assert rows({"count": 2**53}) == [0]
    assert rows({"day": {"gte": "2024-05-01", "lt": "2024-05-01T13:00:00Z"}}) == [0]
    assert rows({"day": "2024-05-01T22:00:00Z"}) == [1]
    for bound in ("2024-05-01T12:00", "2024-05-01 12:00z", "2024-05-01T14:00+0200"):
        assert (rows({"day": {"gte": bound}}), rows({"day": {"gt": bound}})) == ([0, 1], [1])
    assert rows({"day": {"lt": "2024-05-01T12:00:00.000001"}}) == [0]
    assert rows({"key": uuid}) == [0]
    assert rows({"code": "A 1"}) == [1]
    assert rows({"not": {"code": "A 1"}}) == [0]
    with pytest.raises(UnsupportedError, match="is tokenized"):
        rows({"title": "art"})
    with pytest.raises(UnsupportedError, match="indexFilterable"):
        rows({"hidden": "x"})
    with pytest.raises(UnsupportedError, match="geoCoordinates"):
        rows({"place": "x"})


EXISTENCE: list[dict[str, Any]] = [
    {},
    {"code": "", "count": 0, "open": False, "codes": [], "marks": []},
    {"code": "x", "count": 1.5, "open": True, "codes": ["a"], "marks": [1], "title": "x"},
    {"code": None, "count": None, "codes": None},
    {"code": "y", "codes": [""], "open": False},
]
_PRESENCE = st.tuples(
    st.sampled_from(["code", "count", "open", "codes", "marks"]),
    st.sampled_from(["exists", "missing"]),
    st.booleans(),
).map(lambda parts: {parts[0]: {parts[1]: parts[2]}})


@pytest.fixture
def null_index(store: WeaviateStore, name: str) -> str:
    """A collection of another client that indexes null."""
    kinds = {"count": "number", "open": "boolean", "codes": "text[]", "marks": "number[]"}
    properties: list[dict[str, Any]] = [{"name": n, "dataType": [k]} for n, k in kinds.items()]
    properties += [
        {"name": "code", "dataType": ["text"], "tokenization": "field"},
        {"name": "title", "dataType": ["text"]},
    ]
    config = {"indexNullState": True}
    foreign(store, name, properties=properties, invertedIndexConfig=config)
    store.write(name, Batch(keys(5), {"": normal(5)}, EXISTENCE))
    return name


@settings(
    max_examples=examples(30),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
)
@given(
    st.recursive(
        _PRESENCE | st.just({"code": "x"}),
        lambda inner: st.one_of(
            st.lists(inner, min_size=1, max_size=3).map(lambda each: {"any": each}),
            st.lists(inner, min_size=1, max_size=3).map(lambda each: {"all": each}),
            inner.map(lambda each: {"not": each}),
        ),
        max_leaves=4,
    )
)
def test_existence_by_the_null_index(
    store: WeaviateStore, null_index: str, filter: dict[str, Any]
) -> None:
    tree = parse_filter(filter)
    wanted = [row for row, payload in enumerate(EXISTENCE) if matches(tree, payload)]
    pages = store.read(null_index, ReadRequest(filter=filter, vectors=()))
    assert [number(key) for page in pages for key in page.ids] == wanted


def test_existence_is_refused_where_other_rows_would_be_found(
    store: WeaviateStore, null_index: str
) -> None:
    with pytest.raises(UnsupportedError, match="tokenized"):
        store.count(null_index, {"title": {"exists": True}})
    with pytest.raises(UnsupportedError, match="does not distinguish null"):
        store.count(null_index, {"code": None})


def test_existence_needs_a_null_index(store: WeaviateStore, filled: str) -> None:
    with pytest.raises(UnsupportedError, match="which has no index"):
        store.count(filled, {"topic": {"exists": True}})


def test_existence_without_a_null_index_is_refused(store: WeaviateStore, name: str) -> None:
    foreign(store, name, properties=[{"name": "count", "dataType": ["number"]}])
    with pytest.raises(UnsupportedError, match="no null index") as caught:
        store.count(name, {"count": {"missing": True}})
    assert "indexNullState: true" in str(caught.value.hint)
