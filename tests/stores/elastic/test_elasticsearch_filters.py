"""Filters select the rows of the common form, by terms of qadapt and by mapped fields."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from filter_rows import FIELDS, PAYLOADS, filter_trees, meant
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from slow import examples

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.errors import UnsupportedError
from qadapt.model.filters import Equals, Exists, IsNull, OneOf, Range
from qadapt.stores.elastic.filter_terms import sortable_number, terms

VALUES = ["art", "a", "b", "1990", 1990, 1990.0, 3, 1, 1.5, True, False, 2**53, 2**53 + 1, -5, 0]
NUMBERS = st.sampled_from([-5, 0, 1.5, 2, 1979.5, 1990, 2000, 2**53, 2**53 + 1])
LEAVES = (
    st.builds(Equals, st.sampled_from([*FIELDS, "big"]), st.sampled_from(VALUES))
    | st.builds(
        lambda field, values: OneOf(field, tuple(values)),
        st.sampled_from(FIELDS),
        st.lists(st.sampled_from(VALUES), min_size=1, max_size=3),
    )
    | st.builds(Exists, st.sampled_from(FIELDS))
    | st.builds(IsNull, st.sampled_from(FIELDS))
    | st.builds(lambda field, low: Range(field, gte=low), st.sampled_from(FIELDS), NUMBERS)
    | st.builds(lambda field, low: Range(field, lt=low), st.sampled_from([*FIELDS, "big"]), NUMBERS)
    | st.builds(
        lambda word, day: Range("day", **{word: day}),
        st.sampled_from(["gt", "gte", "lt", "lte"]),
        st.sampled_from(
            ["2024-05-01", "2024-05-01T10:00:00Z", "2024-05-01T12:00:00", "1999-01-01"]
        ),
    )
)


@pytest.fixture
def filled(database: Database, name: str) -> Collection:
    collection = database.create(name, dim=12)
    vectors = np.eye(len(PAYLOADS), dtype=np.float32)
    collection.write(qa.Batch(list(range(len(PAYLOADS))), {"": vectors}, PAYLOADS))
    return collection


@settings(
    max_examples=examples(25),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(tree=filter_trees(LEAVES))
def test_generated_filters_select_the_rows_of_the_common_form(
    filled: Collection, tree: Any
) -> None:
    expected = meant(tree)
    read = [key for page in filled.read(filter=tree, vectors=()) for key in page.ids]
    assert sorted(read) == expected
    assert filled.count(filter=tree) == len(expected)
    hits = filled.search(np.ones(12), k=12, filter=tree)
    assert sorted(key for key in hits.ids[0] if key is not None) == expected


@given(
    left=st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False),
    right=st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False),
)
@settings(max_examples=examples(300), deadline=None)
def test_numbers_as_text_have_the_order_of_the_numbers(left: float, right: float) -> None:
    one, other = sortable_number(left), sortable_number(right)
    assert (one < other, one == other) == (left < right, left == right)


def test_a_long_text_is_compared_as_a_whole() -> None:
    one, other = "x" * 40_000 + "a", "x" * 40_000 + "b"
    assert set(terms({"t": one})) != set(terms({"t": other}))
    assert all(len(each.encode()) < 32_766 for each in terms({"t": one, "k" * 40_000: 1}))
    assert math.isfinite(float(len(one)))


def test_mapped_fields_of_another_index(database: Database, raw: Any, name: str) -> None:
    raw(
        "PUT",
        f"/{name}",
        {
            "mappings": {
                "dynamic": False,
                "properties": {
                    "embedding": {"type": "dense_vector", "dims": 4},
                    "topic": {"type": "keyword"},
                    "year": {"type": "integer"},
                    "at": {"type": "date"},
                    "sold": {"type": "boolean"},
                    "title": {"type": "text", "fields": {"raw": {"type": "keyword"}}},
                    "body": {"type": "text"},
                },
            }
        },
    )
    rows: list[dict[str, Any]] = [
        {"topic": "art", "year": 1990, "sold": True, "title": "One two", "other": 1},
        {"topic": ["art", "music"], "year": 2000, "at": "2024-05-01", "sold": False},
        {"year": 2010},
    ]
    collection = database[name]
    collection.write(qa.Batch(["a", "b", "c"], {"": np.eye(3, 4)}, rows))
    assert collection.fetch(["a", "b", "c"]).payloads == rows

    def found(filter: Any) -> list[Any]:
        hits = collection.search(np.ones(4), k=3, filter=filter)
        assert collection.count(filter=filter) == sum(key is not None for key in hits.ids[0])
        return sorted(key for key in hits.ids[0] if key is not None)

    assert found({"topic": "art"}) == ["a", "b"]
    assert found({"year": {"gt": 1990, "lte": 2010}}) == ["b", "c"]
    assert found({"title": "One two"}) == ["a"]
    assert found({"sold": [False]}) == ["b"]
    assert found({"topic": {"missing": True}}) == ["c"]
    assert found({"at": {"gte": "2024-05-01"}}) == ["b"]
    for wrong, reason in (
        ({"other": 1}, "is not in the mapping"),
        ({"body": "x"}, "has the type text"),
        ({"year": "1990"}, "does not compare with"),
        ({"topic": {"gt": 3}}, "has no range of numbers"),
        ({"topic": None}, "does not index null"),
    ):
        with pytest.raises(UnsupportedError, match=reason):
            collection.count(filter=wrong)


def test_a_read_of_another_index_continues_after_a_row_that_exists(
    database: Database, raw: Any, name: str
) -> None:
    """Its rows have no field to sort by but the sequence number."""
    field = {"type": "dense_vector", "dims": 4}
    raw("PUT", f"/{name}", {"mappings": {"properties": {"embedding": field}}})
    collection = database[name]
    keys = [f"k{at}" for at in range(50)]
    collection.write(qa.Batch(keys, {"": np.ones((50, 4))}))
    whole = [key for page in collection.read(page=7) for key in page.ids]
    assert sorted(whole) == sorted(keys)
    rest = [key for page in collection.read(page=7, after=whole[20]) for key in page.ids]
    assert rest == whole[21:]
    parts = [
        key
        for scan_range in collection.scan_ranges(3)
        for page in collection.read(scan_range=scan_range, vectors=())
        for key in page.ids
    ]
    assert sorted(parts) == sorted(keys)
    collection.delete([whole[20]])
    with pytest.raises(qa.errors.NotFoundError, match="cannot continue after it"):
        list(collection.read(after=whole[20]))


def test_consistent_reads_of_two_processes_see_the_rows_of_one_time(
    database: Database, url: str, name: str
) -> None:
    collection = database.create(name, dim=4, metric="dot")
    collection.write(qa.Batch([1, 2, 3], {"": np.ones((3, 4))}))
    store: Any = database._store
    with store.consistent_reads(name) as snapshot, qa.open(url) as other:
        collection.write(qa.Batch([4], {"": np.ones((1, 4))}))
        collection.delete([1])
        assert [key for page in store.read(name) for key in page.ids] == [1, 2, 3]
        theirs: Any = other._store
        with theirs.consistent_reads(name, snapshot):
            assert [key for page in theirs.read(name) for key in page.ids] == [1, 2, 3]
        assert [key for page in theirs.read(name) for key in page.ids] == [2, 3, 4]
    assert [key for page in store.read(name) for key in page.ids] == [2, 3, 4]
