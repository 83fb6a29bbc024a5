"""Payloads of Weaviate: any JSON is returned or refused; other clients' properties stay."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from slow import examples
from weaviate_helpers import fill, foreign, keys, normal

from qadapt.errors import InputError
from qadapt.model import Batch, Metric, Vector
from qadapt.stores.weaviate.store import WeaviateStore

PAYLOADS: list[dict[str, Any]] = [
    {},
    {"text": "naïve ☃\0 ", "number": 7, "share": 0.25, "yes": True, "list": ["a", "b"]},
    {"big": 2**63 - 1, "small": -(2**63), "unsigned": 2**64 - 1, "float": 1.0, "tiny": 5e-324},
    {"nested": {"a": [1, None, {"b": 2.5}], "": {}}, "none": None, "empty": [], "mixed": [1, "a"]},
    {"Large": 1, "ünï": 2, "with blank": 3, "id": "x", "vector": [1], "_id": 5, "a.b": 6},
    {"number": "text now", "yes": 1, "text": 5, "list": "one", "x" * 300: 1},
    {"number": -0.0, "list": [], "text": "  blanks  ", "blank": " "},
]


def typed(value: Any) -> Any:
    """A value in which 1, 1.0 and True differ, and the order of keys does not matter."""
    if isinstance(value, dict):
        return {key: typed(each) for key, each in value.items()}
    if isinstance(value, list):
        return [typed(each) for each in value]
    return (type(value).__name__, repr(value))


def test_payloads_are_returned_exactly(store: WeaviateStore, name: str) -> None:
    fill(store, name, normal(len(PAYLOADS)), PAYLOADS)
    back = store.fetch(name, keys(len(PAYLOADS))).payloads
    assert back == PAYLOADS
    assert [typed(each) for each in back] == [typed(each) for each in PAYLOADS]
    (page,) = store.read(name)
    assert page.payloads == PAYLOADS


_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=10),
)
_JSON = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner),
    max_leaves=6,
)
_KEYS = st.sampled_from(["a", "b", "Name", "id", "weiß", "c_d"])


@settings(
    max_examples=examples(25),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
)
@given(st.lists(st.dictionaries(_KEYS, _JSON, max_size=3), min_size=1, max_size=4))
def test_any_json_is_returned_or_refused(
    store: WeaviateStore, name: str, payloads: list[dict[str, Any]]
) -> None:
    """Only a list for a property of single values is refused."""
    if name not in store.collections():
        store.create(name, {"": Vector(4, Metric.DOT)}, {})
    batch = Batch(keys(len(payloads)), {"": normal(len(payloads))}, payloads)
    try:
        store.write(name, batch)
    except InputError as error:
        assert "is a list" in error.message
        return
    back = store.fetch(name, batch.ids).payloads
    assert typed(back) == typed(payloads)


def test_supported_values_become_properties(store: WeaviateStore, name: str) -> None:
    fill(store, name, normal(len(PAYLOADS)), PAYLOADS)
    raw = store.connection.rest("GET", f"/v1/schema/{name}", doing="read")
    kinds = {each["name"]: each["dataType"][0] for each in raw["properties"]}
    assert kinds["list"] == "text[]"
    assert (kinds["number"], kinds["yes"]) == ("number", "boolean")
    assert not {"Large", "large", "ünï", "id", "vector", "nested"} & set(kinds)
    assert store.count(name, {"number": 7}) == 1
    assert store.count(name, {"list": "b"}) == 1
    path = f"/v1/objects/{name}/{keys(1, 1)[0]}"
    plain = store.connection.rest("GET", path, doing="read")["properties"]
    assert plain["number"] == 7
    assert plain["list"] == ["a", "b"]
    assert set(json.loads(plain["qadapt_payload"])) == {"text"}  # surrounding whitespace
    full = store.connection.rest("GET", f"/v1/objects/{name}/{keys(1)[0]}", doing="read")
    assert not full["properties"].get("qadapt_payload")


def test_a_list_where_single_values_are_is_refused_before_sending(
    store: WeaviateStore, name: str
) -> None:
    fill(store, name, normal(1), [{"year": 1999}])
    batch = Batch(keys(2, 1), {"": normal(2)}, [{"year": 1}, {"year": [1, 2]}])
    with pytest.raises(InputError, match=r"row 1: 'year' is a list"):
        store.write(name, batch)
    assert store.count(name) == 1


def test_rows_of_another_client_keep_their_properties(store: WeaviateStore, name: str) -> None:
    fill(store, name, normal(2), [{"year": 1999}, {"year": 2001}])
    body = {
        "class": name,
        "id": keys(1, 2)[0],
        "properties": {"year": 5, "note": "by hand"},
        "vector": [1.0, 0.0, 0.0, 0.0],
    }
    store.connection.rest("POST", "/v1/objects", body, doing="write")
    (page,) = store.read(name)
    assert page.payloads == [{"year": 1999}, {"year": 2001}, {"year": 5, "note": "by hand"}]


NATIVE: dict[str, Any] = {
    "title": "art of war",
    "count": 2**53,
    "share": 2.5,
    "yes": False,
    "tags": ["a", "b"],
    "counts": [1, -(2**53)],
    "shares": [0.5, 1.0],
    "flags": [True, False],
    "none": [],
    "day": "2024-05-01T12:00:00Z",
    "days": ["2024-05-01T12:00:00Z"],
    "key": "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
    "place": {"latitude": 52.5, "longitude": 13.25},
    "author": {"name": "Sun", "age": 54.0, "tags": ["x"]},
    "authors": [{"name": "Sun"}, {"name": "Tzu"}],
}
KINDS = {
    "title": "text",
    "count": "int",
    "share": "number",
    "yes": "boolean",
    "tags": "text[]",
    "counts": "int[]",
    "shares": "number[]",
    "flags": "boolean[]",
    "none": "text[]",
    "day": "date",
    "days": "date[]",
    "key": "uuid",
    "place": "geoCoordinates",
}
_NAME = {"name": "name", "dataType": ["text"]}
_AUTHOR = [
    _NAME,
    {"name": "age", "dataType": ["number"]},
    {"name": "tags", "dataType": ["text[]"]},
]


def test_properties_of_other_clients_do_not_change(store: WeaviateStore, name: str) -> None:
    properties = [{"name": each, "dataType": [kind]} for each, kind in KINDS.items()]
    properties += [
        {"name": "author", "dataType": ["object"], "nestedProperties": _AUTHOR},
        {"name": "authors", "dataType": ["object[]"], "nestedProperties": [_NAME]},
    ]
    foreign(store, name, properties=properties)
    rows = normal(2)
    store.write(name, Batch(keys(2), {"": rows}, [NATIVE, {"title": "b", "share": None}]))
    back = store.fetch(name, keys(2))
    assert back.payloads == [NATIVE, {"title": "b"}]
    assert back.vectors[""].tobytes() == rows.tobytes()
    raw = store.connection.rest("GET", f"/v1/schema/{name}", doing="read")
    assert len(raw["properties"]) == len(properties), "nothing was added"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"count": 2.5}, "type int"),
        ({"count": 2**53 + 1}, "would round"),
        ({"share": "much"}, "type number"),
        ({"title": 5}, "type text"),
        ({"yes": 1}, "type boolean"),
        ({"id": "x"}, "not a valid property name"),
        ({"Title": "x"}, "not a valid property name"),
        ({"a b": "x"}, "not a valid property name"),
    ],
)
def test_unsupported_values_for_other_clients_properties_are_refused(
    store: WeaviateStore, name: str, value: dict[str, Any], words: str
) -> None:
    foreign(store, name, properties=[{"name": n, "dataType": [k]} for n, k in KINDS.items()])
    batch = Batch(keys(2), {"": normal(2)}, [{}, value])
    with pytest.raises(InputError, match=rf"row 1.*{words}"):
        store.write(name, batch)
    assert store.count(name) == 0
