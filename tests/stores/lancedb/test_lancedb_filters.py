"""Filters select the same rows as the common form, in the JSON payload and in columns."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import numpy as np
import pytest
from filter_rows import FIELDS, PAYLOADS, filter_trees, meant
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lancedb_helpers import lists
from slow import examples

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.errors import SpecError
from qadapt.model.filters import matches, parse_filter

SCALARS = st.sampled_from(
    ["art", "music", "1990", "a", "b", "Ann", "x", "", 1990, 1990.0, 2000, 3, 1, 0, -5, 1.5, True,
     False, 2**53, 2**53 + 1, 2**63, 'it\'s "q" \\ ;']
)  # fmt: skip
NUMBERS = st.sampled_from([-6, -5, -0.5, 0, 1, 1.5, 1989.5, 1990, 2000, 2**53, 2**70])
DATES = st.sampled_from(["2024-05-01", "2024-05-01T11:00:00Z", "2020-01-01"])
SLOW = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


def conditions(fields: list[str]) -> st.SearchStrategy[Any]:
    """Filters of the common form on these fields."""
    field = st.sampled_from(fields)
    return filter_trees(
        st.one_of(
            st.builds(lambda name, value: {name: value}, field, SCALARS),
            st.builds(lambda name, some: {name: some}, field, st.lists(SCALARS, min_size=1)),
            st.builds(lambda name, low: {name: {"gte": low}}, field, NUMBERS),
            st.builds(lambda n, a, b: {n: {"gt": a, "lte": b}}, field, NUMBERS, NUMBERS),
            st.builds(lambda name, high: {name: {"lt": high}}, field, DATES),
            st.builds(lambda name, there: {name: {"exists": there}}, field, st.booleans()),
            st.builds(lambda name: {name: None}, field),
        ).map(parse_filter)
    )


@pytest.fixture
def documents(database: Database) -> Collection:
    """A table of qadapt, whose payloads are JSON."""
    collection = database.create("documents", dim=len(PAYLOADS))
    vectors = np.eye(len(PAYLOADS), dtype=np.float32)
    collection.write(qa.Batch(list(range(len(PAYLOADS))), {"": vectors}, PAYLOADS))
    return collection


COLUMNS: list[dict[str, Any]] = [
    {"topic": "art", "year": 1990, "price": 1.5, "sold": True, "tags": ["a", "b"],
     "author": {"name": "Ann"}, "day": "2024-05-01T00:00:00+00:00"},
    {"topic": "music", "year": 2000, "price": 2.0, "sold": False, "tags": [],
     "author": {"name": "x"}, "day": "2024-05-01T12:00:00+00:00"},
    {"topic": "", "year": -5, "price": -0.5, "tags": ["a"], "author": {"name": ""},
     "day": "2020-01-01T00:00:00+00:00"},
    {"topic": "it's", "year": 0},
]  # fmt: skip


@pytest.fixture
def columns(database: Database, raw: Any) -> Collection:
    """A table of another program with typed columns."""
    import pyarrow as pa

    kinds = {
        "topic": pa.string(), "year": pa.int64(), "price": pa.float64(), "sold": pa.bool_(),
        "tags": pa.list_(pa.string()), "author": pa.struct({"name": pa.string()}),
        "day": pa.timestamp("us", tz="UTC"),
    }  # fmt: skip
    days = [datetime.fromisoformat(e["day"]) if "day" in e else None for e in COLUMNS]
    given = {name: pa.array([e.get(name) for e in COLUMNS], kind)
             for name, kind in kinds.items() if name != "day"}  # fmt: skip
    raw.create_table(
        "shop",
        pa.table(
            {"id": pa.array(["k0", "k1", "k2", "k3"]), "vector": lists(np.eye(4)), **given,
             "day": pa.array(days, kinds["day"])}
        ),
    )  # fmt: skip
    return database["shop"]


def through(collection: Collection, filter: Any) -> list[Any]:
    """Rows that a read returns; count and search must be consistent."""
    read = [key for page in collection.read(filter=filter, vectors=()) for key in page.ids]
    assert collection.count(filter=filter) == len(read)
    dim = collection.info().vectors[""].dim
    hits = collection.search(np.ones(dim), k=dim, filter=filter)
    assert sorted(key for key in hits.ids[0].tolist() if key is not None) == sorted(read)
    return read


@settings(max_examples=examples(120), deadline=None, suppress_health_check=SLOW, derandomize=True)
@given(filter=conditions([*FIELDS, "day", "when", "big"]))
def test_filters_of_documents_select_the_rows_of_the_reference(
    documents: Collection, filter: Any
) -> None:
    assert through(documents, filter) == meant(filter)


@settings(max_examples=examples(120), deadline=None, suppress_health_check=SLOW, derandomize=True)
@given(
    filter=conditions(["topic", "year", "price", "sold", "tags", "author.name", "day"]).filter(
        lambda tree: "IsNull" not in repr(tree)
    )
)
def test_filters_of_columns_select_the_rows_of_the_reference(
    columns: Collection, filter: Any
) -> None:
    wanted = [f"k{at}" for at, each in enumerate(COLUMNS) if matches(filter, each)]
    assert through(columns, filter) == wanted


def test_each_form_once(documents: Collection) -> None:
    """The forms that a JSON path cannot express are evaluated in Python."""
    for filter in (
        {"price": 1.5}, {"price": {"gt": 0.5}}, {"day": {"gte": "2024-05-01T11:00:00Z"}},
        {"topic": ""}, {"topic": None}, {"tags": {"missing": True}}, {"my key": "x"},
        {"größe": 4}, {"author.name": "Ann"}, {"big": 2**53 + 1}, {"sold": True}, {"sold": 1},
        {"topic": "it's \"q\" \\ ;"}, {"year": {"gte": 1980, "lt": 1990.5}},
    ):  # fmt: skip
        assert through(documents, filter) == meant(filter), filter


def test_a_condition_of_lancedb_and_an_unknown_column(columns: Collection) -> None:
    assert through(columns, "year > 0 AND topic = 'art'") == ["k0"]
    with pytest.raises(SpecError, match="topik"):
        columns.count(filter={"topik": "art"})
    with pytest.raises(SpecError, match="SQL condition"):
        columns.count(filter=7)


def test_payloads_of_columns_are_json(columns: Collection) -> None:
    first = columns.fetch(["k0"]).payloads
    assert first is not None
    moment = datetime(2024, 5, 1, tzinfo=timezone.utc)
    assert datetime.fromisoformat(first[0].pop("day")) == moment
    assert first[0] == {key: each for key, each in COLUMNS[0].items() if key != "day"}
