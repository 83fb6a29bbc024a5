"""Payloads are returned as they were written, and filters select the rows of the common form."""

from __future__ import annotations

import json
from collections.abc import Callable
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
from qadapt.model.filters import parse_filter
from qadapt.stores.chroma import filters, payload

SCALARS = st.sampled_from(
    ["art", "music", "1990", "a", "Ann", "x", "", 1990, 1990.0, 3, 1, 0, -5, 1.5, True, False,
     2**53, 2**53 + 1, 2**63, 1e308]
)  # fmt: skip
NUMBERS = st.sampled_from([-6, -5, 0, 1, 1.5, 1989.5, 1990, 2000, 2**53, 2**70])
SHARED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
# Metadata of another program: what Chroma stores, without lists of numbers.
PLAIN: list[dict[str, Any]] = [
    {"topic": "art", "year": 1990, "price": 1.5, "sold": True},
    {"topic": "music", "year": 1990.0, "tags": ["a", "b"], "price": 2},
    {"topic": ["art", "music"], "year": True, "big": 2**53 + 1},
    {"topic": "1990", "year": "1990", "author.name": "Ann", "author.age": 30},
    {"big": 2**53, "year": -5, "sold": 1, "tags": "a"},
    {"tags": [True, False], "price": 0.0, "sold": False},
]


def leaves(fields: list[str]) -> st.SearchStrategy[Any]:
    """Conditions of the common form."""
    field = st.sampled_from(fields)
    made = st.one_of(
        st.builds(lambda name, value: {name: value}, field, SCALARS),
        st.builds(
            lambda name, values: {name: values}, field, st.lists(SCALARS, min_size=1, max_size=4)
        ),
        st.builds(lambda name, low: {name: {"gte": low}}, field, NUMBERS),
        st.builds(
            lambda name, low, high: {name: {"gt": low, "lte": high}}, field, NUMBERS, NUMBERS
        ),
        st.builds(lambda name: {name: {"lt": "2024-05-01T11:00:00Z"}}, field),
        st.builds(lambda name, there: {name: {"exists": there}}, field, st.booleans()),
        st.builds(lambda name: {name: None}, field),
    )
    return made.map(parse_filter)


@pytest.fixture
def documents(database: Database) -> Collection:
    """Rows of qadapt, with payloads that Chroma cannot represent."""
    collection = database.create("documents", dim=12)
    vectors = np.eye(len(PAYLOADS), dtype=np.float32)
    collection.write(qa.Batch(list(range(len(PAYLOADS))), {"": vectors}, PAYLOADS))
    return collection


@pytest.fixture
def plain(client: Any, database: Database) -> Collection:
    """Rows of another program."""
    native = client.create_collection("plain", embedding_function=None)
    native.add(ids=[f"k{at}" for at in range(len(PLAIN))], embeddings=np.eye(6), metadatas=PLAIN)
    return database["plain"]


def selected(collection: Collection, filter: Any) -> list[Any]:
    """Rows that a read returns; count and search must be consistent."""
    read = [key for page in collection.read(filter=filter, vectors=()) for key in page.ids]
    assert collection.count(filter=filter) == len(read)
    dim = collection.info().vectors[""].dim
    hits = collection.search(np.ones(dim), k=12, filter=filter)
    found = [key for key in hits.ids[0].tolist() if key is not None]
    assert sorted(found, key=str) == sorted(read, key=str)
    return sorted(read)


def test_payloads_are_returned_with_their_types(documents: Collection) -> None:
    found = documents.fetch(list(range(len(PAYLOADS)))).payloads
    assert json.dumps(found, sort_keys=True) == json.dumps(PAYLOADS, sort_keys=True)
    hits = documents.search(np.eye(12)[3], k=1, with_payload=True)
    assert hits.payloads == [[PAYLOADS[3]]]


@settings(max_examples=examples(60), suppress_health_check=SHARED)
@given(filter=filter_trees(leaves([*FIELDS, "day", "when", "big"])))
def test_filters_on_rows_of_qadapt(documents: Collection, filter: Any) -> None:
    assert selected(documents, filter) == meant(filter), filter


@settings(max_examples=examples(60), suppress_health_check=SHARED)
@given(filter=filter_trees(leaves([*FIELDS, "author.age", "big"])))
def test_filters_on_rows_of_another_program(plain: Collection, filter: Any) -> None:
    read = [payload.nested(each) for each in PLAIN]
    assert selected(plain, filter) == [f"k{at}" for at in meant(filter, read)], filter


def test_plain_filters_are_sent_to_chroma() -> None:
    """Chroma accepts one operator for a field, and two parts or more of a conjunction."""
    tree = parse_filter({"a": "x", "n": {"gte": 1, "lt": 3}})
    assert filters.where(tree, ()) == {
        "$and": [
            {"$or": [{"a": {"$eq": "x"}}, {"a": {"$contains": "x"}}]},
            {"$and": [{"n": {"$gte": 1}}, {"n": {"$lt": 3}}]},
        ]
    }
    refused = parse_filter({"not": {"any": [{"a": [1, 1.5]}, {"b": True}]}})
    assert filters.where(refused, ()) == {
        "$and": [
            {"$and": [
                {"a": {"$ne": 1}}, {"a": {"$not_contains": 1}}, {"a": {"$not_contains": 1.0}},
                {"$or": [{"a": {"$ne": 1.5}}, {"a": {"$eq": 1}}]}, {"a": {"$not_contains": 1.5}},
            ]},
            {"$and": [{"b": {"$ne": True}}, {"b": {"$not_contains": True}}]},
        ]
    }  # fmt: skip
    assert filters.where(tree, {"n"}) is None
    for other in ({"a": {"exists": True}}, {"a": None}, {"not": {"n": {"gt": 1}}}, {"n": 2**63}):
        assert filters.where(parse_filter(other), ()) is None, other


@pytest.mark.parametrize("value", [1.5, -1.5, 0.5, -0.5, 1e19, -1e19])
def test_integers_are_compared_with_fractions(database: Database, value: float) -> None:
    numbers = [-2, -1, 0, 1, 2, 1.5, -1.5, 0.5, -0.5, 1.0, 1e19, -1e19, 2**63 - 1, -(2**63)]
    numbers_of = database.create("numbers", dim=4)
    vectors = np.eye(4, dtype=np.float32)[np.arange(len(numbers)) % 4]
    payloads = [{"n": each} for each in numbers] + [{"other": 1}]
    numbers_of.write(
        qa.Batch(range(len(numbers) + 1), {"": np.vstack([vectors, vectors[:1]])}, payloads)
    )

    def found(condition: Any) -> set[Any]:
        batches = numbers_of.read(vectors=(), filter=condition)
        return {each for batch in batches for each in batch.ids}

    def where(keep: Callable[[float], bool]) -> set[int]:
        return {at for at, each in enumerate(numbers) if keep(each)}

    assert found({"n": value}) == where(lambda each: each == value)
    assert found({"n": [value, 2]}) == where(lambda each: each in (value, 2))
    assert found({"n": {"lt": value}}) == where(lambda each: each < value)
    assert found({"n": {"lte": value}}) == where(lambda each: each <= value)
    assert found({"n": {"gt": value}}) == where(lambda each: each > value)
    assert found({"n": {"gte": value}}) == where(lambda each: each >= value)
    rest = where(lambda each: each != value) | {len(numbers)}
    assert found({"not": {"n": value}}) == rest


def test_filters_on_documents_and_lists_of_numbers_are_applied_by_qadapt(
    database: Database, client: Any
) -> None:
    collection = database.create("texts", dim=4)
    payloads = [{"document": f"text {at}", "n": [at, at + 1]} for at in range(4)]
    collection.write(qa.Batch(range(4), {"": np.eye(4)}, payloads))
    assert client.get_collection("texts").get(ids=["2"])["documents"] == ["text 2"]
    assert selected(collection, {"document": "text 2"}) == [2]
    assert selected(collection, {"n": {"gt": 2}}) == [2, 3]
    hits = collection.search(np.eye(4)[0], k=2, filter={"n": {"gt": 2}})
    assert "applied it to the payloads" in hits.how.notes[0]


def test_a_filter_of_another_form_is_refused(documents: Collection) -> None:
    with pytest.raises(SpecError, match="mapping"):
        documents.count(filter="topic = 'art'")


# -- the stored form -----------------------------------------------------------------------------

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=3)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["a", "b", "", "a.b", "document", "#x"]), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
KEYS = st.sampled_from(["a", "a.b", "b", "document", "chroma:document", "chroma:x", payload.KEY])


@given(given_=st.dictionaries(KEYS, VALUES, max_size=4))
def test_any_payload_is_read_as_it_was_stored(given_: dict[str, Any]) -> None:
    stored = payload.store(given_)
    for key, value in stored.metadata.items():
        assert key and not key.startswith(("#", "$", "chroma:"))
        assert value not in (None, []) and not isinstance(value, dict)
    back = payload.read(stored.metadata, stored.document)
    assert json.dumps(back, sort_keys=True) == json.dumps(given_, sort_keys=True)


def test_fields_that_another_client_changed_are_returned() -> None:
    stored = payload.store({"a": None, "b": 1, "c": {"d": 2}})
    assert payload.read(stored.metadata, None) == {"a": None, "b": 1, "c": {"d": 2}}
    changed = {**stored.metadata, "b": 7}
    assert payload.read(changed, None) == {"b": 7, "c": {"d": 2}}
    for broken in ("{", "[]", 5):
        assert payload.read({payload.KEY: broken, "b": 7}, None) == {"b": 7}


def test_a_document_beside_a_field_of_that_name_has_another_key() -> None:
    found = payload.read({"document": "field"}, "text")
    assert found == {"document": "field", "chroma:document": "text"}
    again = payload.store(found)
    assert (again.metadata, again.document) == ({"document": "field"}, "text")
