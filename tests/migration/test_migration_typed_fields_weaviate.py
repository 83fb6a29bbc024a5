"""Properties are copied from Weaviate to Weaviate with types, tokenization and indexes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from migration_help import JSON, everything, rows
from slow import examples

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.errors import UnsupportedError
from qadapt.migration.text import plan_lines
from qadapt.stores.weaviate import payload_schema

Ends = Callable[[str], Database]
DIM = 4

PROPERTIES: list[dict[str, Any]] = [
    {"name": "t", "dataType": ["text"], "tokenization": "whitespace", "description": "a title",
     "indexFilterable": False},
    {"name": "exact", "dataType": ["text"], "tokenization": "field", "indexSearchable": False},
    {"name": "tri", "dataType": ["text"], "tokenization": "trigram"},
    {"name": "n", "dataType": ["int"], "indexRangeFilters": True},
    {"name": "x", "dataType": ["number"]}, {"name": "b", "dataType": ["boolean"]},
    {"name": "d", "dataType": ["date"], "indexRangeFilters": True, "indexFilterable": False},
    {"name": "u", "dataType": ["uuid"]}, {"name": "g", "dataType": ["geoCoordinates"]},
    {"name": "p", "dataType": ["phoneNumber"]}, {"name": "bl", "dataType": ["blob"]},
    {"name": "ts", "dataType": ["text[]"], "tokenization": "lowercase"},
    {"name": "ns", "dataType": ["int[]"]}, {"name": "xs", "dataType": ["number[]"]},
    {"name": "bs", "dataType": ["boolean[]"]}, {"name": "ds", "dataType": ["date[]"]},
    {"name": "us", "dataType": ["uuid[]"]},
    {"name": "o", "dataType": ["object"], "nestedProperties": [
        {"name": "a", "dataType": ["int"]},
        {"name": "w", "dataType": ["text"], "tokenization": "lowercase"},
        {"name": "in", "dataType": ["object"], "nestedProperties": [
            {"name": "deep", "dataType": ["date"]}, {"name": "all", "dataType": ["text[]"]}]}]},
    {"name": "os", "dataType": ["object[]"], "nestedProperties": [
        {"name": "a", "dataType": ["number"]}]},
    {"name": "_odd__", "dataType": ["text"]}, {"name": "class", "dataType": ["text"]},
    {"name": "vector", "dataType": ["text"]}, {"name": "l" * 231, "dataType": ["text"]},
]  # fmt: skip
INVERTED = {
    "indexTimestamps": True, "indexNullState": True, "indexPropertyLength": True,
    "bm25": {"b": 0.5, "k1": 1.1},
    "stopwords": {"preset": "en", "additions": ["foo"], "removals": ["a"]},
}  # fmt: skip
_ID = "00000000-0000-0000-0000-00000000000{}"
OBJECTS: list[dict[str, Any]] = [
    {
        "t": " A word ", "exact": '{"a": 1}', "tri": "", "n": 2**53, "x": 1.0, "b": False,
        "d": "2024-02-29T12:00:00.123456789Z", "u": _ID.format(7),
        "g": {"latitude": 1.25, "longitude": -2.5},
        "p": {"input": "020 1234567", "defaultCountry": "nl"}, "bl": "AAFibG9i",
        "ts": ["a", "B c", " x "], "ns": [1, -(2**53)], "xs": [1.0, 0.1], "bs": [True, False],
        "ds": ["2024-01-01T00:00:00+02:00"], "us": [_ID.format(8)],
        "o": {"a": 3, "w": "[1]", "in": {"deep": "2024-01-01T00:00:00+02:00", "all": ["x"]}},
        "os": [{"a": 1.0}, {"a": 0.5}], "_odd__": "o", "class": "c", "vector": "v", "l" * 231: "l",
    },
    {"n": 2**60, "x": 5e-324, "ts": [], "ns": [], "os": [], "o": {}},
    {"n": -(2**63), "x": -1.7976931348623157e308, "t": "äöü"},
    {},
]  # fmt: skip


def weaviate_collection(
    database: Database, name: str, properties: Sequence[Mapping[str, Any]], **options: Any
) -> Collection:
    """A collection created with the REST API."""
    connection = database._store.connection  # type: ignore[attr-defined]
    body = {"class": name, "vectorizer": "none", "properties": list(properties), **options}
    connection.rest("POST", "/v1/schema", body, doing="make it")
    return database[name]


def put_objects(collection: Collection, objects: Sequence[Mapping[str, Any]]) -> None:
    connection = collection._store.connection  # type: ignore[attr-defined]
    vectors = rows(len(objects), dim=DIM)
    for at, each in enumerate(objects):
        body = {
            "class": collection.name, "id": _ID.format(at + 1), "properties": dict(each),
            "vector": vectors[at].tolist(),
        }  # fmt: skip
        connection.rest("POST", "/v1/objects", body, doing="write")


def raw_schema(collection: Collection) -> dict[str, Any]:
    connection = collection._store.connection  # type: ignore[attr-defined]
    found = connection.rest("GET", f"/v1/schema/{collection.name}", doing="read")
    return {key: found[key] for key in ("properties", "invertedIndexConfig")}


def test_properties_and_their_indexes_are_copied(ends: Ends, name: str) -> None:
    database = ends("weaviate")
    source = weaviate_collection(
        database, f"{name}_a", PROPERTIES, invertedIndexConfig=INVERTED, description="of books"
    )
    put_objects(source, OBJECTS)
    done = qa.migrate(source, (database, f"{name}_b"))
    assert (done.state, done.plan.losses) == ("done", ())
    copy = database[f"{name}_b"]
    assert raw_schema(copy) == raw_schema(source)
    assert raw_schema(copy)["invertedIndexConfig"]["bm25"] == {"b": 0.5, "k1": 1.1}
    assert everything(copy) == everything(source)
    # As the server returns it: only a phone number's country changes, to upper case.
    found = [payload for _, payload in everything(copy).values()]
    first = {**OBJECTS[0], "p": {"input": "020 1234567", "defaultCountry": "NL"}}
    assert found == [first, *OBJECTS[1:]]
    schema = copy._store._layout(copy.name).raw  # type: ignore[attr-defined]
    assert schema["description"].splitlines()[0] == "of books"
    lines = plan_lines(done.plan)
    assert ("field", "t: text, tokenization whitespace, searchable") in lines
    assert ("field", "o: object of a, w, in, filterable") in lines
    # Filters work as before: by words, by null state, by length.
    assert source.count({"n": {"gte": 2**53}}) == copy.count({"n": {"gte": 2**53}}) == 2
    again = qa.migrate(copy, (database, f"{name}_c"))
    assert (again.state, raw_schema(database[f"{name}_c"])) == ("done", raw_schema(source))


def test_a_collection_created_by_qadapt_keeps_its_payload_property(ends: Ends, name: str) -> None:
    database = ends("weaviate")
    source = database.create(f"{name}_a", dim=DIM)
    payloads = [{"n": 1, "null": None, "Large": "x", "deep": {"a": [1, None]}}, {"n": 2.5}]
    source.write(qa.Batch([_ID.format(1), _ID.format(2)], {"": rows(2, dim=DIM)}, payloads))
    done = qa.migrate(source, (database, f"{name}_b"))
    assert (done.state, done.plan.losses) == ("done", ())
    copy = database[f"{name}_b"]
    assert everything(copy) == everything(source)
    assert raw_schema(copy) == raw_schema(source)
    assert not [line for label, line in plan_lines(done.plan) if label == "field"]


def test_references_are_refused_by_name(ends: Ends, name: str) -> None:
    database = ends("weaviate")
    weaviate_collection(database, f"{name}_x", [])
    points = {"name": "at", "dataType": [f"{name}_x"]}
    source = weaviate_collection(database, f"{name}_a", [PROPERTIES[0], points])
    put_objects(source, [{"t": "a"}])
    with pytest.raises(UnsupportedError, match="references: at"):
        qa.migrate(source, (database, f"{name}_b"))
    done = qa.migrate(source, (database, f"{name}_b"), allow=["references"])
    assert done.state == "done"
    assert [each["name"] for each in raw_schema(database[f"{name}_b"])["properties"]] == ["t"]


def test_typed_rows_remain_in_their_tenants(ends: Ends, name: str) -> None:
    database = ends("weaviate")
    source = weaviate_collection(
        database, f"{name}_a", PROPERTIES, multiTenancyConfig={"enabled": True},
        invertedIndexConfig=INVERTED,
    )  # fmt: skip
    connection = source._store.connection  # type: ignore[attr-defined]
    tenants = [{"name": each} for each in ("red", "blue")]
    connection.rest("POST", f"/v1/schema/{source.name}/tenants", tenants, doing="make them")
    vectors = rows(len(OBJECTS), dim=DIM)
    for at, each in enumerate(OBJECTS):
        body = {
            "class": source.name, "id": _ID.format(at + 1), "properties": dict(each),
            "vector": vectors[at].tolist(), "tenant": "red" if at % 2 else "blue",
        }  # fmt: skip
        connection.rest("POST", "/v1/objects", body, doing="write")
    done = qa.migrate(source, (database, f"{name}_b"))
    assert (done.state, done.plan.losses) == ("done", ())
    assert raw_schema(database[f"{name}_b"]) == raw_schema(source)
    for tenant in ("red", "blue"):
        pair = [everything(database[f"{name}_{each}@{tenant}"]) for each in "ab"]
        assert pair[0] == pair[1]
        assert len(pair[0]) == 2


def test_modules_are_not_copied_and_that_is_noted(
    ends: Ends, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the schema of a server that has modules; none runs here."""
    database = ends("weaviate")
    source = weaviate_collection(database, f"{name}_a", PROPERTIES[:1])
    put_objects(source, [{"t": "a"}])
    raw = {
        "moduleConfig": {"generative-openai": {}}, "vectorizer": "none",
        "vectorConfig": {"x": {"vectorizer": {"text2vec-openai": {"model": "ada"}}}},
    }  # fmt: skip
    real = payload_schema.payload_schema_of

    def reported(layout: Any) -> Any:
        return real(replace(layout, raw={**layout.raw, **raw}))

    monkeypatch.setattr(payload_schema, "payload_schema_of", reported)
    plan = qa.plan_migration(source, (database, f"{name}_b"))
    assert plan.losses == ()
    note = "typed-fields: not copied from weaviate: generative-openai, text2vec-openai"
    assert note in plan.notes
    assert "behind" not in plan.schema.schema


def test_values_that_a_property_drops_are_stored_as_text(ends: Ends, name: str) -> None:
    """Rows of another store, added to a typed collection."""
    database = ends("weaviate")
    there = weaviate_collection(database, f"{name}_a", PROPERTIES)
    put_objects(there, [])
    edge = ends("edge")
    source = edge.create("docs", dim=DIM, metric="cosine")
    payloads = [
        {"n": 2**53 + 1, "x": 1, "d": "yesterday", "u": "7", "ts": "one", "o": {"b": 1}, "t": None},
        {"n": 7, "x": 0.5, "d": "2024-01-01T00:00:00Z", "ts": ["a"], "more": {"y": 1}},
    ]
    ids = [_ID.format(1), _ID.format(2)]
    source.write(qa.Batch(ids, {"": rows(2, dim=DIM)}, payloads))
    put_objects(there, [{"n": 1}])  # the first row sets the dimension
    qa.migrate(source, (database, there.name), allow=["existing-target"])
    assert [payload for _, payload in everything(there).values()] == payloads
    assert qa.check(source, there).passed


def test_blobs_are_read(ends: Ends, name: str) -> None:
    """The server returns "all properties" without blobs."""
    source = weaviate_collection(ends("weaviate"), f"{name}_a", PROPERTIES)
    put_objects(source, OBJECTS[:1])
    done = qa.migrate(source, (ends("edge"), "docs"))
    assert done.state == "done"
    (note,) = [each for each in done.plan.notes if each.startswith("typed-fields")]
    assert "t (text, tokenization whitespace, searchable)" in note


WROW = st.dictionaries(
    st.sampled_from([each["name"] for each in PROPERTIES if each["name"] != "p"]), JSON, max_size=12
)


def test_values_that_a_property_preserves_are_read_back_unchanged(ends: Ends, name: str) -> None:
    made = weaviate_collection(ends("weaviate"), f"{name}_a", PROPERTIES)
    put_objects(made, [{}])
    store = made._store
    room = store.row_constraints([""], store.collection_schema(made.name))
    vector = rows(1, dim=DIM)

    @settings(max_examples=examples(60), suppress_health_check=list(HealthCheck))
    @given(row=WROW)
    def check(row: dict[str, Any]) -> None:
        good = {
            key: value for key, value in row.items() if room.payload_fidelity(key, value) == "exact"
        }  # type: ignore[misc]
        store.write(made.name, qa.Batch([_ID.format(1)], {"": vector}, [good]))
        (found,) = store.fetch(made.name, [_ID.format(1)]).payloads or ()
        assert json.dumps(found, sort_keys=True) == json.dumps(good, sort_keys=True)

    check()
