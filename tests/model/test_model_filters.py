"""The common filter syntax: parsing, semantics and errors."""

from __future__ import annotations

from datetime import date, datetime, timezone
from typing import Any

import numpy as np
import pytest

from qadapt.errors import SpecError
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
    is_common,
    matches,
    parse_filter,
)


@pytest.mark.parametrize(
    ("given_filter", "tree"),
    [
        ({"topic": "art"}, Equals("topic", "art")),
        ({"author.name": "x"}, Equals("author.name", "x")),
        ({"ok": True}, Equals("ok", True)),
        ({"topic": ["a", "b"]}, OneOf("topic", ("a", "b"))),
        ({"topic": ("a",)}, OneOf("topic", ("a",))),
        ({"year": {"gte": 1990, "lt": 2000}}, Range("year", gte=1990, lt=2000)),
        ({"day": {"gt": "2024-05-01"}}, Range("day", gt="2024-05-01")),
        ({"a": 1, "b": 2}, AllOf((Equals("a", 1), Equals("b", 2)))),
        ({"any": [{"a": 1}, {"b": 2}]}, AnyOf((Equals("a", 1), Equals("b", 2)))),
        ({"all": [{"a": 1}]}, AllOf((Equals("a", 1),))),
        ({"not": {"a": 1, "b": 2}}, Not(AllOf((Equals("a", 1), Equals("b", 2))))),
        (
            {"a": 1, "not": {"any": [{"b": 2}, {"c": [3]}]}},
            AllOf((Equals("a", 1), Not(AnyOf((Equals("b", 2), OneOf("c", (3,))))))),
        ),
        ({"a": {"exists": True}}, Exists("a")),
        ({"a": {"exists": False}}, Not(Exists("a"))),
        ({"a.b": {"missing": True}}, Not(Exists("a.b"))),
        ({"a": {"missing": False}}, Exists("a")),
        ({"a": None}, IsNull("a")),
        ({"a": [None]}, IsNull("a")),
        ({"a": [1, None]}, AnyOf((IsNull("a"), OneOf("a", (1,))))),
        ({"a": {"eq": None}}, IsNull("a")),
        ({"a": {"eq": "x"}}, Equals("a", "x")),
        ({"a": {"in": ["x", 1]}}, OneOf("a", ("x", 1))),
        ({"a": {"exists": True, "gt": 1, "lt": 3}}, AllOf((Exists("a"), Range("a", gt=1, lt=3)))),
        # fields that are named like an operator
        ({"exists": {"eq": "a"}}, Equals("exists", "a")),
        ({"missing": {"exists": True}}, Exists("missing")),
        ({"gt": {"gt": 1}}, Range("gt", gt=1)),
        ({"in": {"in": [1]}}, OneOf("in", (1,))),
        ({"any": {"eq": 1}}, Equals("any", 1)),
        ({"not": {"eq": 1}}, Equals("not", 1)),
        ({"not": {"exists": {"eq": "a"}}}, Not(Equals("exists", "a"))),
        ({"meta.exists": "a"}, Equals("meta.exists", "a")),
        ({"a": np.int64(3)}, Equals("a", 3)),
        ({"a": np.array([1, 2])}, OneOf("a", (1, 2))),
        ({"a": date(2024, 5, 1)}, Equals("a", "2024-05-01")),
        ({"a": {"gt": datetime(2024, 5, 1)}}, Range("a", gt="2024-05-01T00:00:00")),
    ],
)
def test_parse(given_filter: Any, tree: Filter) -> None:
    found = parse_filter(given_filter)
    assert found == tree and repr(found) == repr(tree)
    assert parse_filter(found) is found
    assert parse_filter({"not": found}) == Not(tree)
    assert hash(found) == hash(tree)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({}, "omit the filter"),
        ([], "a filter must be a mapping"),
        ("topic=art", "a filter must be a mapping"),
        (None, "a filter must be a mapping"),
        ({"any": []}, "'any' has no filters"),
        ({"all": []}, "'all' has no filters"),
        ({"any": {"a": 1}}, "'any' takes a list"),
        ({"all": "x"}, "'all' takes a list"),
        ({"any": [{}]}, "the filter is empty"),
        ({"any": [5]}, "a filter must be a mapping; got 5"),
        ({"not": {}}, "the filter is empty"),
        ({"not": [{"a": 1}]}, "'not' takes one filter"),
        ({"exists": "a"}, 'write {"a": {"exists": true}}; for a field named \'exists\': {"exists'),
        ({"missing": "a"}, 'write {"a": {"missing": true}}; for a field named \'missing\': {"mis'),
        ({"exists": True}, 'write {"topic": {"exists": true}}; for a field named'),
        ({"exists": None}, "'exists' is an operator and follows a field"),
        ({"exists": {"a": True}}, "'exists' is an operator and follows a field"),
        ({"gte": 5}, 'write {"topic": {"gte": 1990}}; for a field named \'gte\': {"gte": {"eq"'),
        ({"in": ["a"]}, "'in' is an operator and follows a field"),
        ({"not": {"exists": True}}, "'exists' is an operator and follows a field"),
        ({"not": {"exists": "a"}}, 'write {"a": {"exists": true}}'),
        ({"any": "x"}, 'for a field named \'any\': {"any": {"eq": ...}}'),
        ({"not": "x"}, 'for a field named \'not\': {"not": {"eq": ...}}'),
        ({"a": {"exists": 1}}, "'exists' takes true or false; got 1"),
        ({"a": {"missing": "b"}}, "'missing' takes true or false; got 'b'"),
        ({"a": {"eq": [1]}}, "'eq' takes one value"),
        ({"a": {"in": 1}}, "'in' takes a list of values"),
        ({"a": {"is_null": True}}, "unknown operator 'is_null'"),
        ({"a": {"gt": None}}, "null"),
        ({"a": []}, "pass at least one"),
        ({"a": {}}, "gt, gte, lt, lte"),
        ({"a": {"gte": 1, "lte_": 2}}, "did you mean 'lte'?"),
        ({"author": {"name": "x"}}, "write a nested field as 'author.name'"),
        ({"a": {"not": 1}}, 'write it outside of the field: {"not"'),
        ({"a": {"gt": 1, "gte": 2}}, "both gt and gte"),
        ({"a": {"lt": 1, "lte": 2}}, "both lt and lte"),
        ({"a": {"gt": 1, "lt": "2024-05-01"}}, "mixes numbers and dates"),
        ({"a": {"gt": "old"}}, "dates look like"),
        ({"a": {"gt": "2024-13-01"}}, "dates look like"),
        ({"a": {"gt": "2024-02-30"}}, "dates look like"),
        ({"a": {"gt": True}}, "valid operators"),
        ({"a": {"gt": [1]}}, "values are strings, numbers"),
        ({"a": {"gt": float("nan")}}, "not finite"),
        ({"a": float("inf")}, "not finite"),
        ({"a": [[1]]}, "values are strings, numbers"),
        ({"a": [np.array([1, 2])]}, "values are strings, numbers"),
        ({"a": b"x"}, "values are strings, numbers"),
        ({"": 1}, "a name such as"),
        ({"a..b": 1}, "a name such as"),
        ({".a": 1}, "a name such as"),
        ({"a[]": 1}, "native filter of the database"),
        ({1: 2}, "the name of a field must be a string"),
        ({"a": 10**5000}, "an integer of more than 4,000 digits"),
        ({"a": 1, "b": {"gt": [10**5000]}}, "values are strings"),
        ({10**5000: 1}, "a very large number"),
    ],
)
def test_refused(wrong: Any, says: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_filter(wrong)
    assert says in str(caught.value)


def test_filter_nodes_are_validated() -> None:
    for make in (
        lambda: Equals("", 1),
        lambda: Equals("a", None),  # type: ignore[arg-type]
        lambda: OneOf("a", ()),
        lambda: Range("a"),
        lambda: AnyOf(()),
        lambda: AllOf(()),
    ):
        with pytest.raises(SpecError):
            make()
    assert OneOf("a", [1, 2]).values == (1, 2)  # type: ignore[arg-type]
    assert Range("a", gt=1, lte=2).bounds == {"gt": 1, "lte": 2}
    assert Range("a", gt="2024-01-01").over_dates and not Range("a", gt=1).over_dates


def test_depth_is_limited() -> None:
    def nested(depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {"a": 1}
        for _ in range(depth):
            result = {"not": result}
        return result

    assert matches(parse_filter(nested(30)), {"a": 1})
    with pytest.raises(SpecError, match="deeper than 32"):
        parse_filter(nested(5000))
    endless: dict[str, Any] = {}
    endless["not"] = endless
    with pytest.raises(SpecError, match="deeper than 32"):
        parse_filter(endless)


def test_is_common() -> None:
    assert is_common({}) and is_common({"a": 1}) and is_common(Equals("a", 1))
    assert not is_common("a == 1") and not is_common(None) and not is_common([{"a": 1}])


ROW = {
    "topic": "art",
    "tags": ["new", "big", 3],
    "year": 1995,
    "price": 9.5,
    "ok": True,
    "none": None,
    "empty": [],
    "author": {"name": "Ann", "born": {"year": 1950}, "langs": ["de", "fr"]},
    "people": [{"name": "Ann"}, {"name": "Bob"}],
    "day": "2024-05-01",
    "at": "2024-05-01T12:00:00+02:00",
    "half": "2024-05-01T00:00:00.5Z",
    "days": ["2020-01-01", "2030-01-01"],
    "one": 1,
    "text": "1",
}


@pytest.mark.parametrize(
    ("given_filter", "expected"),
    [
        ({"topic": "art"}, True),
        ({"topic": "Art"}, False),
        ({"topic": ["music", "art"]}, True),
        ({"topic": ["music"]}, False),
        ({"tags": "big"}, True),  # a list matches by one of its elements
        ({"tags": "small"}, False),
        ({"tags": ["small", "new"]}, True),
        ({"tags": {"gt": 2}}, True),
        ({"tags": {"gt": 3}}, False),
        ({"year": 1995}, True),
        ({"year": 1995.0}, True),
        ({"year": {"gte": 1995, "lt": 1996}}, True),
        ({"year": {"gt": 1995}}, False),
        ({"year": {"lt": 1995}}, False),
        ({"year": {"lte": 1995}}, True),
        ({"price": {"gt": 9, "lt": 10}}, True),
        ({"topic": {"gt": 0}}, False),
        ({"ok": True}, True),
        ({"ok": 1}, False),  # True is not 1
        ({"one": True}, False),
        ({"ok": {"gte": 0}}, False),
        ({"one": 1}, True),
        ({"text": 1}, False),
        ({"author.name": "Ann"}, True),
        ({"author.born.year": {"lt": 1951}}, True),
        ({"author.langs": "fr"}, True),
        ({"author": "Ann"}, False),
        ({"author.name.x": "Ann"}, False),
        ({"people.name": "Ann"}, False),  # as in Qdrant, where that is "people[].name"
        ({"none": "x"}, False),
        ({"empty": "x"}, False),
        ({"gone": "x"}, False),
        ({"gone": {"gt": 0}}, False),
        ({"not": {"gone": "x"}}, True),
        ({"not": {"none": "x"}}, True),
        ({"not": {"topic": "art"}}, False),
        ({"day": "2024-05-01"}, True),
        ({"day": {"gte": "2024-05-01"}}, True),
        ({"day": {"gt": "2024-05-01"}}, False),
        ({"day": {"lt": "2024-05-01T00:00:01Z"}}, True),
        ({"at": {"gte": "2024-05-01T10:00:00Z", "lte": "2024-05-01T10:00:00"}}, True),
        ({"at": {"gt": "2024-05-01T10:00:00.001Z"}}, False),
        ({"at": {"gt": "2024-05-01 09:59:59.999999"}}, True),
        ({"at": {"gt": "2024-05-01T08:30:00-01:00"}}, True),
        ({"at": {"gt": "2024-05-01T09:30:00-01:00"}}, False),
        ({"at": {"gt": "2024-05-01T09:30:00-0100"}}, False),
        ({"half": {"gt": "2024-05-01T00:00:00.05Z"}}, True),
        ({"half": {"gte": "2024-05-01T00:00:00.500000Z", "lte": "2024-05-01T00:00:00.5"}}, True),
        ({"days": {"gt": "2025-01-01"}}, True),
        ({"year": {"gt": "1990-01-01"}}, False),  # a number is not a date
        ({"topic": {"exists": True}}, True),
        ({"topic": {"missing": True}}, False),
        ({"people": {"exists": True}}, True),
        ({"author": {"exists": True}}, True),
        ({"author.born.year": {"exists": True}}, True),
        ({"topic": None}, False),
        ({"topic": [None, "art"]}, True),
        ({"topic": "art", "year": 1995}, True),
        ({"topic": "art", "year": 1996}, False),
        ({"any": [{"topic": "x"}, {"year": 1995}]}, True),
        ({"any": [{"topic": "x"}, {"year": 1996}]}, False),
        ({"all": [{"topic": "art"}, {"year": 1996}]}, False),
        ({"not": {"any": [{"topic": "x"}, {"year": 1996}]}}, True),
    ],
)
def test_meaning(given_filter: Any, expected: bool) -> None:
    assert matches(parse_filter(given_filter), ROW) is expected
    assert matches(parse_filter({"not": given_filter}), ROW) is not expected
    negative = "not" in given_filter or "missing" in repr(given_filter)
    assert matches(parse_filter(given_filter), {}) is negative
    assert matches(parse_filter(given_filter), None) is negative


@pytest.mark.parametrize(
    ("payload", "exists", "null"),
    [
        ({}, False, False),
        ({"a": None}, False, True),
        ({"a": []}, False, False),
        ({"a": [None]}, True, True),
        ({"a": [None, 1]}, True, True),
        ({"a": [[]]}, True, False),
        ({"a": [[None]]}, True, False),
        ({"a": ""}, True, False),
        ({"a": 0}, True, False),
        ({"a": False}, True, False),
        ({"a": {}}, True, False),
        ({"a": {"b": None}}, True, False),
    ],
)
def test_absent_null_and_empty(payload: Any, exists: bool, null: bool) -> None:
    for given_filter, expected in (
        ({"a": {"exists": True}}, exists),
        ({"a": {"missing": True}}, not exists),
        ({"a": None}, null),
    ):
        assert matches(parse_filter(given_filter), payload) is expected
        nested = {f"outer.{key}": value for key, value in given_filter.items()}
        assert matches(parse_filter(nested), {"outer": payload}) is expected


def test_dates_of_python_in_payloads() -> None:
    row = {"day": date(2024, 5, 1), "at": datetime(2024, 5, 1, 12, tzinfo=timezone.utc)}
    assert matches(parse_filter({"day": date(2024, 5, 1)}), row)
    assert matches(parse_filter({"day": {"lt": "2024-05-02"}}), row)
    assert matches(parse_filter({"at": {"gt": "2024-05-01T13:59:00+02:00"}}), row)
    assert not matches(parse_filter({"at": {"gt": "2024-05-01T14:01:00+02:00"}}), row)


@pytest.mark.parametrize(
    "filter",
    [
        {"a": "\ud800"},
        {"\ud800": 1},
        {"a": ["b", "\udfff"]},
        {"not": {"any": [{"a": "\ud800"}, {"b": 1}]}},
    ],
)
def test_text_that_is_not_valid_unicode_is_refused(filter: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match="not valid Unicode"):
        parse_filter(filter)


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_a_non_finite_bound_is_refused_with_a_hint(value: float) -> None:
    with pytest.raises(SpecError) as caught:
        parse_filter({"a": {"gt": value}})
    assert caught.value.hint == "pass a finite number, or remove the bound"
