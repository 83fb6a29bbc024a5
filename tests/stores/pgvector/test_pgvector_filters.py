"""Filters select the same rows as the common form, in jsonb and in columns with a type."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from filter_rows import FIELDS, PAYLOADS, filter_trees, meant
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from slow import examples

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.errors import SpecError
from qadapt.model.filters import (
    Equals,
    Exists,
    IsNull,
    OneOf,
    Range,
)

DATES = (
    "2024-05-01", "2024-05-01T12:00:00", "2024-05-01T12:00:00.1234567Z", "2024-02-31",
    "2024-05-01t12:00:00+0200", "24-05-01", "2024-05-01T24:00:00Z", "0001-01-01", "today",
)  # fmt: skip


@pytest.fixture
def filled(database: Database, name: str) -> Collection:
    collection = database.create(name, dim=12)
    vectors = np.eye(len(PAYLOADS), dtype=np.float32)
    collection.write(qa.Batch(list(range(len(PAYLOADS))), {"": vectors}, PAYLOADS))
    return collection


@pytest.fixture
def columns(database: Database, raw: Any, name: str) -> Collection:
    """A table of the user with typed columns."""
    raw.execute(
        f"CREATE TABLE {name} (key text PRIMARY KEY, embedding vector(2), topic text, "
        "year int, price float8, exact numeric, sold bool, tags text[], at timestamptz, "
        '"day%" date)'
    )
    raw.execute(
        f"INSERT INTO {name} VALUES "
        "('a', '[1,0]', 'art', 1990, 1.5, 9007199254740993, true, '{a,b}', "
        "'2024-05-01 10:00+02', '2024-05-01'),"
        "('b', '[0,1]', 'music', NULL, 'NaN', 9007199254740992, false, '{}', NULL, NULL)"
    )
    return database[name]


def through(collection: Collection, filter: Any) -> list[Any]:
    """Rows that a read returns; count and search must be consistent."""
    read = [key for page in collection.read(filter=filter, vectors=()) for key in page.ids]
    assert collection.count(filter=filter) == len(read)
    hits = collection.search(np.ones(collection.info().vectors[""].dim), k=12, filter=filter)
    assert {key for key in hits.ids[0].tolist() if key is not None} == set(read)
    return read


scalars = st.sampled_from(
    ["art", "music", "1990", "a", "x", "Ann", 1990, 1990.0, 3, 1, True, False, 2**53 + 1]
)
leaves = (
    st.builds(Equals, st.sampled_from(FIELDS), scalars)
    | st.builds(OneOf, st.sampled_from(FIELDS), st.tuples(scalars) | st.tuples(scalars, scalars))
    | st.builds(
        lambda field, low, high: Range(field, gte=low, lt=high),
        st.sampled_from([*FIELDS, "big"]),
        st.sampled_from([-10, 0, 1.5, 1990, 2**53 + 1]),
        st.sampled_from([2, 1990.5, 2010, 2**60]),
    )
    | st.builds(Exists, st.sampled_from([*FIELDS, "day", "author.age"]))
    | st.builds(IsNull, st.sampled_from(FIELDS))
    | st.builds(
        lambda field, low: Range(field, gte=low),
        st.sampled_from(["day", "when", "topic", "year"]),
        st.sampled_from(["2019-06-01", "2024-05-01T11:00Z", "2024-05-01T10:00:00+00:00"]),
    )
)
trees = filter_trees(leaves)


@settings(max_examples=examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=trees)
def test_any_tree(filled: Collection, tree: Any) -> None:
    assert through(filled, tree) == meant(tree)


def test_texts_that_look_like_dates(database: Database, name: str) -> None:
    """A text that is no date ends no statement."""
    collection = database.create(name, dim=2)
    payloads = [{"day": each} for each in DATES]
    collection.write(qa.Batch(list(range(len(DATES))), {"": np.ones((len(DATES), 2))}, payloads))
    for bound in ("2024-05-01T10:00:00Z", "2024-05-01T12:00:00.123456Z", "2000-01-01"):
        for word in ("gt", "gte", "lt", "lte"):
            filter = {"day": {word: bound}}
            assert through(collection, filter) == meant(filter, payloads), filter


@pytest.mark.parametrize(
    ("filter", "rows"),
    [
        ({"topic": "art"}, ["a"]),
        ({"topic": 1}, []),
        ({"year": 1990.0}, ["a"]),
        ({"year": "1990"}, []),
        ({"not": {"year": 1990}}, ["b"]),
        ({"price": {"gte": 1}}, ["a"]),
        ({"exact": 2**53 + 1}, ["a"]),
        ({"exact": {"lte": 2**53}}, ["b"]),
        ({"sold": True}, ["a"]),
        ({"sold": 1}, []),
        ({"tags": "b"}, ["a"]),
        ({"tags": ["c", "a"]}, ["a"]),
        ({"at": {"lt": "2024-05-01T08:30:00Z"}}, ["a"]),
        ({"day%": {"gte": "2024-05-01"}}, ["a"]),
        ({"day%": "2024-05-01"}, ["a"]),
        ({"key": "b"}, ["b"]),
        ({"year": {"exists": True}}, ["a"]),
        ({"tags": {"missing": True}}, ["b"]),
        ({"year": None}, []),
    ],
)
def test_columns_with_a_type(columns: Collection, filter: Any, rows: list[str]) -> None:
    assert through(columns, filter) == rows


def test_an_unknown_column_is_an_error(columns: Collection) -> None:
    with pytest.raises(SpecError, match="topic"):
        columns.count(filter={"topik": "art"})


def test_values_are_parameters(filled: Collection) -> None:
    """Text of a filter is never part of a statement."""
    name = filled.name
    for text in (f"'; DROP TABLE {name}; --", "%s", "{}", "$1", "\\", 'a"b'):
        assert through(filled, {"topic": text}) == []
        assert through(filled, {text: "x"}) == []
    assert filled.count() == len(PAYLOADS)


def test_a_condition_of_psycopg_is_passed_on(filled: Collection) -> None:
    from psycopg import sql

    assert through(filled, sql.SQL("id < 3")) == [0, 1, 2]


def test_a_filter_uses_an_index_of_the_payload(filled: Collection, raw: Any) -> None:
    raw.execute(f"CREATE INDEX ON {filled.name} USING gin (payload jsonb_path_ops)")
    raw.execute("SET enable_seqscan = off")
    text = f"EXPLAIN SELECT id FROM {filled.name} WHERE payload @> %s OR payload @> %s"
    plan = raw.execute(text, ['{"topic": "art"}', '{"topic": ["art"]}']).fetchall()
    assert "Bitmap Index Scan" in str(plan)
