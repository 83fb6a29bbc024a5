"""Filters select the same rows as the common form, in the JSON document and in columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from slow import examples
from sqlite_vec_helpers import blob

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.errors import InputError, SpecError, UnsupportedError
from qadapt.model import CollectionSchema, Metric, Vector
from qadapt.model.filters import matches, parse_filter

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
    {"big": 2**53, "year": -5, "price": -0.0, "topic": [["art"], {"a": 1}]},
    {},
]
FIELDS = ["topic", "year", "price", "sold", "tags", "author.name", "author", "my key", "größe"]
ROWS: list[tuple[str, int, float, bool, str, str | None]] = [
    ("art", 1990, 1.5, True, "red", "x"),
    ("music", 2000, 2.0, False, "red", None),
    ("a topic with more than twelve bytes", -5, -0.5, True, "blue", "2024-05-01"),
    ("", 0, 0.0, False, "blue", "x"),
]
NAMES = ("topic", "year", "price", "sold", "tenant", "note")


@pytest.fixture
def documents(database: Database) -> Collection:
    """A table of qadapt, whose payloads are JSON."""
    collection = database.create("documents", dim=12)
    vectors = np.eye(len(PAYLOADS), dtype=np.float32)
    collection.write(qa.Batch(list(range(len(PAYLOADS))), {"": vectors}, PAYLOADS))
    return collection


@pytest.fixture
def columns(database: Database, raw: Any) -> Collection:
    """A table of the user with metadata columns, a partition key and an auxiliary column."""
    raw.execute(
        "CREATE VIRTUAL TABLE shop USING vec0(key text primary key, a float[4], topic text, "
        "year integer, price float, sold boolean, tenant text partition key, +note text)"
    )
    for at, (topic, year, price, sold, tenant, note) in enumerate(ROWS):
        cells = (f"k{at}", blob(np.eye(4)[at]), topic, year, price, int(sold), tenant, note)
        raw.execute(
            "INSERT INTO shop(key, a, topic, year, price, sold, tenant, note) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            cells,
        )
    return database["shop"]


def through(collection: Collection, filter: Any) -> list[Any]:
    """Rows that a read returns; count and search must be consistent."""
    read = [key for page in collection.read(filter=filter, vectors=()) for key in page.ids]
    assert collection.count(filter=filter) == len(read)
    hits = collection.search(
        np.ones(next(iter(collection.info().vectors.values())).dim),
        k=12,
        filter=filter,
        vector=next(iter(collection.info().vectors)),
    )
    assert sorted(key for key in hits.ids[0].tolist() if key is not None) == sorted(read)
    return read


SCALARS = st.sampled_from(
    ["art", "music", "1990", "a", "b", "Ann", "x", "", 1990, 1990.0, 2000, 3, 1, 0, -5, 1.5, True,
     False, 2**53, 2**53 + 1, 2**63, "red", "blue", "a topic with more than twelve bytes"]
)  # fmt: skip
NUMBERS = st.sampled_from([-6, -5, -0.5, 0, 1, 1.5, 1989.5, 1990, 2000, 2**53, 2**70])
DATES = st.sampled_from(["2024-05-01", "2024-05-01T11:00:00Z", "2020-01-01"])


def conditions(fields: list[str]) -> st.SearchStrategy[Any]:
    """Filters of the common form on these fields."""
    field = st.sampled_from(fields)
    leaf = st.one_of(
        st.builds(lambda name, value: {name: value}, field, SCALARS),
        st.builds(lambda name, values: {name: values}, field, st.lists(SCALARS, min_size=1)),
        st.builds(lambda name, low: {name: {"gte": low}}, field, NUMBERS),
        st.builds(
            lambda name, low, high: {name: {"gt": low, "lte": high}}, field, NUMBERS, NUMBERS
        ),
        st.builds(lambda name, high: {name: {"lt": high}}, field, DATES),
        st.builds(lambda name, there: {name: {"exists": there}}, field, st.booleans()),
        st.builds(lambda name: {name: None}, field),
    )
    return st.recursive(
        leaf,
        lambda inner: st.one_of(
            st.builds(lambda parts: {"all": parts}, st.lists(inner, min_size=1, max_size=3)),
            st.builds(lambda parts: {"any": parts}, st.lists(inner, min_size=1, max_size=3)),
            st.builds(lambda part: {"not": part}, inner),
        ),
        max_leaves=4,
    )


SLOW = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@settings(max_examples=examples(120), deadline=None, suppress_health_check=SLOW, derandomize=True)
@given(filter=conditions([*FIELDS, "day", "when", "big"]))
def test_filters_of_documents_select_the_rows_of_the_reference(
    documents: Collection, filter: Any
) -> None:
    wanted = [at for at, each in enumerate(PAYLOADS) if matches(parse_filter(filter), each)]
    assert through(documents, filter) == wanted, filter


@settings(max_examples=examples(120), deadline=None, suppress_health_check=SLOW, derandomize=True)
@given(filter=conditions(list(NAMES)))
def test_filters_of_columns_select_the_rows_of_the_reference(
    columns: Collection, filter: Any
) -> None:
    payloads = [
        {name: value for name, value in zip(NAMES, each, strict=True) if value is not None}
        for each in ROWS
    ]
    wanted = [f"k{at}" for at, each in enumerate(payloads) if matches(parse_filter(filter), each)]
    assert through(columns, filter) == wanted, filter


def test_a_partition_filter_with_several_values_returns_k_rows(columns: Collection) -> None:
    """vec0 itself returns k rows for each value."""
    hits = columns.search(np.ones(4), k=1, vector="a", filter={"tenant": ["red", "blue"]})
    assert hits.ids.shape == (1, 1)
    assert columns.count(filter={"tenant": ["red", "blue"]}) == 4


def test_filters_reach_the_search_before_its_rows_are_selected(
    columns: Collection, raw: Any
) -> None:
    """k rows of the filter are found, however far they are."""
    near = np.eye(4)[0]
    for filter in ({"year": 0}, {"not": {"year": {"gte": 0.5}}}, {"note": "x", "price": 0}):
        hits = columns.search(near, k=1, vector="a", filter=filter)
        wanted = "k3" if filter != {"not": {"year": {"gte": 0.5}}} else ("k2", "k3")
        assert hits.ids[0, 0] in wanted


def test_unknown_columns_and_names_that_sqlite_cannot_address_are_refused(
    columns: Collection, documents: Collection
) -> None:
    with pytest.raises(SpecError, match="topc"):
        columns.count(filter={"topc": "art"})
    with pytest.raises(UnsupportedError, match="quote"):
        documents.count(filter={'a"b': 1})
    with pytest.raises(SpecError, match="mapping"):
        documents.count(filter="topic = 'art'")


def test_values_of_a_filter_are_parameters(documents: Collection) -> None:
    assert through(documents, {"topic": "art' OR 1=1 --"}) == []
    assert through(documents, {"x') OR 1=1 --": "a"}) == []


# -- partitions ----------------------------------------------------------------------------------


@pytest.mark.parametrize("values", [("a", "b"), (7, -3)], ids=["text", "integer"])
def test_a_partition_key_is_created_copied_and_used_by_filters(
    database: Database, tmp_path: Path, values: tuple[Any, Any]
) -> None:
    """The first rows determine the type of the key; a copy has it, also with codes."""
    schema = CollectionSchema(is_partitioned=True, partition_key="tenant")
    store: Any = database._store
    store.create(
        "a", {"": Vector(16, Metric.COSINE)}, {"": qa.Quantization.parse("binary")}, schema
    )
    rows = np.random.default_rng(0).normal(size=(200, 16)).astype(np.float32)
    payloads = [{"tenant": values[row % 2], "n": row} for row in range(200)]
    database["a"].write(qa.Batch(list(range(200)), {"": rows}, payloads))
    target = f"sqlite-vec:{tmp_path / 'copy.db'}#a"
    qa.migrate(f"{store.address}#a", target)
    with qa.open(f"sqlite-vec:{tmp_path / 'copy.db'}") as copied:
        copied["a"].plan("scalar:rescore=4").apply(yes=True)
        for collection in (database["a"], copied["a"]):
            assert collection._store.collection_schema("a") == schema
            hits = collection.search(rows[1], 100, filter={"tenant": values[1]}, with_payload=True)
            assert {hit.payload["n"] % 2 for hit in hits if hit.payload} == {1}
            assert len(hits) == 100
            assert len(collection.search(rows[1], 10, filter={"tenant": list(values)})) == 10
            with pytest.raises(InputError, match="'tenant' requires"):
                collection.write(qa.Batch([1], {"": rows[:1]}, [{"n": 1}]))


def test_partitions_that_are_not_a_column_are_refused(database: Database) -> None:
    store: Any = database._store
    named = CollectionSchema(is_partitioned=True, partitions=("a",))
    assert "by a column" in store.unsupported_schema(named)["partitions"]
    odd = CollectionSchema(is_partitioned=True, partition_key="two words")
    assert "'two words'" in store.unsupported_schema(odd)["partitions"]
