"""Filters as Milvus expressions, and the rows that they match on live engines."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from milvus_helpers import NAME

from qadapt.errors import SpecError, UnsupportedError
from qadapt.model import Batch, Vector
from qadapt.model.filters import matches, parse_filter
from qadapt.stores.base import ReadRequest, SearchRequest
from qadapt.stores.milvus import json_existence
from qadapt.stores.milvus.filters import Fields, quoted, to_expression
from qadapt.stores.milvus.store import MilvusStore

NAUGHTY = [
    'a"b',
    "a'b",
    "back\\slash",
    "new\nline\r\ttab",
    "naïve ☃",
    '") or (1 == 1',
    "\\",
    '\\"',
    "%_",
    "\x01",
    "",
]
PAYLOADS: list[dict[str, Any]] = [
    {},
    {"topic": "art", "year": 1990, "share": 0.25, "yes": True},
    {"topic": ["art", "music"], "year": 1990.0, "yes": False},
    {"topic": None, "year": "1990", "author": {"name": "Ada", "born": 1815}},
    {"year": [1989, 2001], "we ird": 3, "in": 5},
    {"year": -7, "author": {"name": "Bob"}, "topic": 7},
    *({"text": text} for text in NAUGHTY),
]
FILTERS: list[dict[str, Any]] = [
    {"topic": "art"},
    {"topic": ["art", "x"]},
    {"topic": ["art", 7]},
    {"year": 1990},
    {"year": 1990.0},
    {"year": {"gte": 1990, "lt": 2000}},
    {"year": {"gt": -7.5}},
    {"yes": True},
    {"yes": False},
    {"not": {"topic": "art"}},
    {"not": {"year": {"gt": 0}}},
    {"not": {"gone": 1}},
    {"author.name": "Ada"},
    {"author.born": {"lt": 1900}},
    {"we ird": 3},
    {"in": {"eq": 5}},
    {"any": [{"topic": "art"}, {"author.name": "Bob"}]},
    {"all": [{"topic": "art"}, {"not": {"year": 1990}}]},
    *({"text": text} for text in NAUGHTY),
]


def test_strings_are_escaped() -> None:
    assert quoted('a"b\\c\n') == '"a\\"b\\\\c\\n"'
    expression = to_expression({"name": '" or 1 == 1 or "'}, Fields())
    assert '\\" or 1 == 1 or \\"' in expression


def test_exists_has_its_own_parentheses() -> None:
    """On 2.3.5 `exists` would include the `and`: "can only be used between boolean expressions"."""
    assert to_expression({"a": 1}, Fields()) == (
        '((exists $meta["a"]) and ($meta["a"] == 1 or json_contains($meta["a"], 1)))'
    )


def test_typed_fields_are_compared_by_their_type() -> None:
    fields = Fields({"year": "INT64", "tags": "ARRAY", "more": "JSON"}, dynamic=False)
    assert to_expression({"year": {"gte": 3}}, fields) == "(year >= 3)"
    assert to_expression({"tags": "a"}, fields) == '(array_contains(tags, "a"))'
    assert 'exists more["a"]' in to_expression({"more.a": 1}, fields)
    with pytest.raises(SpecError, match="yeer"):
        to_expression({"yeer": 3}, fields)


def test_a_milvus_expression_is_not_changed() -> None:
    assert to_expression("year > 3", Fields()) == "year > 3"
    with pytest.raises(SpecError):
        to_expression(3, Fields())


def test_filters_without_a_milvus_expression_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="no date type"):
        to_expression({"at": {"gte": "2024-05-01"}}, Fields())
    with pytest.raises(UnsupportedError, match="signed 64-bit integer"):
        to_expression({"n": 2**63}, Fields())


def test_integers_are_compared_with_integers() -> None:
    """A server compares integers as floats if the filter contains a float: 10^18 + 1 was equal
    to 1e18 on 2.3.5."""
    fields = Fields({"n": "INT64"}, dynamic=False)
    assert to_expression({"n": {"gt": 1e18}}, fields) == "(n > 1000000000000000000)"
    assert to_expression({"n": {"gt": 1e30}}, fields) == "(n > 1e+30)"


def test_negative_arguments_have_parentheses_in_lite() -> None:
    expression = to_expression({"n": -5}, Fields(lite=True))
    assert expression == '((exists $meta["n"]) and ($meta["n"] == -5 or json_contains(n, (-5))))'


def ask_all(store: MilvusStore) -> None:
    """Each filter matches exactly the expected rows."""
    store.create(NAME, {"": Vector(4)}, {})
    rows = np.tile(np.eye(1, 4, dtype=np.float32), (len(PAYLOADS), 1))
    store.write(NAME, Batch(range(len(PAYLOADS)), {"": rows}, PAYLOADS))
    wrong = []
    for each in FILTERS:
        meant = [row for row, item in enumerate(PAYLOADS) if matches(parse_filter(each), item)]
        found = [
            key
            for page in store.read(NAME, ReadRequest(filter=each, vectors=()))
            for key in page.ids
        ]
        if sorted(map(int, found)) != meant:
            wrong.append((each, meant, found))
    assert not wrong


def test_filters_match_the_expected_rows_on_a_server(server: MilvusStore) -> None:
    ask_all(server)


def test_filters_match_the_expected_rows_in_lite(lite: MilvusStore) -> None:
    ask_all(lite)


EXISTENCE: list[dict[str, Any]] = [
    {},
    *(
        {"a": value}
        for value in (
            None, [], [None], [None, 1], "", {}, [[]], 0, False, [{}], {"b": None}, {"b": 1},
            [{"b": 1}], {"b": []}, "x", -1.5, ["x", "y"], True, 2**60,
        )
    ),
]  # fmt: skip


def ask_existence(store: MilvusStore) -> None:
    store.create(NAME, {"": Vector(4)}, {})
    rows = np.tile(np.eye(1, 4, dtype=np.float32), (len(EXISTENCE), 1))
    store.write(NAME, Batch(range(len(EXISTENCE)), {"": rows}, EXISTENCE))
    leaves: list[dict[str, Any]] = [
        {field: test}
        for field in ("a", "a.b", "a.b.c", "gone")
        for test in ({"exists": True}, {"missing": True}, None)
    ]
    cases: list[dict[str, Any]] = [*leaves, *({"not": leaf} for leaf in leaves)]
    cases += [
        {"any": [{"a": None}, {"a": {"eq": "x"}}]},
        {"all": [{"a": {"exists": True}}, {"not": {"a.b": {"exists": True}}}]},
        {"not": {"any": [{"a": {"missing": True}}, {"a": {"in": ["x", 0]}}]}},
    ]
    wrong = []
    for each in cases:
        meant = [row for row, item in enumerate(EXISTENCE) if matches(parse_filter(each), item)]
        if store.connection.lite and "in" in str(each.get("not", {}).get("any", "")):
            meant = [row for row in meant if EXISTENCE[row].get("a") is not False]  # equals 0
        pages = store.read(NAME, ReadRequest(filter=each, vectors=()))
        found = sorted(int(key) for page in pages for key in page.ids)
        if found != meant or store.count(NAME, each) != len(meant):
            wrong.append((each, meant, found))
    assert not wrong
    search = SearchRequest(k=len(EXISTENCE), filter={"a": {"exists": True}})
    hits = store.search(NAME, rows[:1], search).ids[0].tolist()
    meant = [
        row for row, item in enumerate(EXISTENCE) if matches(parse_filter(search.filter), item)
    ]
    assert sorted(int(key) for key in hits if key is not None) == meant


def test_existence_and_null_on_a_server(server: MilvusStore) -> None:
    ask_existence(server)


def test_existence_and_null_in_lite(lite: MilvusStore) -> None:
    ask_existence(lite)


def test_existence_of_typed_fields() -> None:
    fields = Fields({"year": "INT64", "name": "VARCHAR", "tags": "ARRAY"}, dynamic=False)
    assert to_expression({"year": {"exists": True}}, fields) == "((year >= 0) or (year < 0))"
    assert to_expression({"name": {"missing": True}}, fields) == '(not ((name like "%")))'
    assert to_expression({"tags": {"exists": True}}, fields) == "(not (array_length(tags) == 0))"
    with pytest.raises(UnsupportedError, match="is not null"):
        to_expression({"year": None}, fields)
    with pytest.raises(SpecError, match="gone"):
        to_expression({"gone": {"exists": True}}, fields)


def test_too_many_rows_to_list_are_refused(
    lite: MilvusStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_existence, "MOST", 2)
    lite.create(NAME, {"": Vector(4)}, {})
    lite.write(NAME, Batch(range(4), {"": np.eye(4, dtype=np.float32)}, [{"a": None}] * 4))
    assert lite.count(NAME, {"a": {"missing": True}}) == 4
    with pytest.raises(UnsupportedError, match="more than 2 rows have null"):
        lite.count(NAME, {"a": None})
