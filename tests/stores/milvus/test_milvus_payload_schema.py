"""Requests for typed fields and payload indexes to servers that cannot be run here."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("pymilvus")

from milvus_contract import OK, Recorder, start
from pymilvus.grpc_gen import schema_pb2

from qadapt.errors import StoreError, UnsupportedError
from qadapt.model import CollectionSchema, Vector
from qadapt.model.address import Address
from qadapt.stores.milvus import payload_schema
from qadapt.stores.milvus.store import MilvusStore

Opened = tuple[MilvusStore, Recorder]
SCHEMA = {
    "entries": {"id": "INT64, primary key"},
    "fields": [
        {"name": "t", "type": "VARCHAR", "params": {"max_length": 10}, "nullable": True},
        {"name": "n", "type": "INT64", "default_value": 7, "description": "a year"},
        {"name": "a", "type": "ARRAY", "element_type": "VARCHAR",
         "params": {"max_length": 5, "max_capacity": 3}},
        {"name": "j", "type": "JSON"},
    ],
    "dynamic": True,
    "description": "of books",
    "key": {"name": "id", "type": "INT64"},
}  # fmt: skip


class Forgetful(Recorder):
    """A server that accepts ``nullable`` and creates a field without it, like 2.3.5."""

    def CreateCollection(self, request: Any, context: Any) -> Any:  # noqa: N802
        sent = schema_pb2.CollectionSchema.FromString(request.schema)
        for each in sent.fields:
            each.nullable = False
        request.schema = sent.SerializeToString()
        return super().CreateCollection(request, context)

    def DropCollection(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.requests.append(("DropCollection", request))
        return OK


@pytest.fixture
def at() -> Iterator[Callable[[str], Opened]]:
    """``at("2.6.8")``: a store on a recorder that reports this version."""
    opened: list[Any] = []

    def open_at(version: str) -> Opened:
        number, _, forgetful = version.partition(" ")
        recorder = Forgetful(number) if forgetful else Recorder(number)
        server, port = start(recorder)
        store = MilvusStore.open(Address.parse(f"milvus+http://127.0.0.1:{port}"))
        opened.append((store, server))
        return store, recorder

    yield open_at
    for store, server in opened:
        store.close()
        server.stop(0).wait()


def make(store: MilvusStore) -> None:
    store.create("books", {"embedding": Vector(4)}, {}, CollectionSchema(schema=SCHEMA))


def test_typed_fields_are_sent_and_read_back(at: Callable[[str], Opened]) -> None:
    store, recorder = at("2.6.8")
    make(store)
    (request,) = recorder.named("CreateCollection")
    sent = schema_pb2.CollectionSchema.FromString(request.schema)
    assert (sent.description, sent.enable_dynamic_field, sent.autoID) == ("of books", True, False)
    fields = {each.name: each for each in sent.fields}
    assert list(fields) == ["id", "t", "n", "a", "j", "embedding"]
    assert (fields["id"].is_primary_key, fields["t"].nullable) == (True, True)
    assert fields["n"].default_value.long_data == 7
    assert fields["n"].description == "a year"
    assert fields["a"].element_type == schema_pb2.DataType.VarChar
    assert {each.key: each.value for each in fields["t"].type_params} == {"max_length": "10"}
    found = store.collection_schema("books").schema
    assert {**found, "entries": SCHEMA["entries"]} == SCHEMA
    assert found["entries"]["t"] == "VARCHAR(10), nullable"
    assert list(store.info("books").vectors) == ["embedding"]


def test_dropped_field_settings_are_an_error_and_leave_no_collection(
    at: Callable[[str], Opened],
) -> None:
    store, recorder = at("2.6.8 forgetful")
    with pytest.raises(StoreError, match="created other fields of 'books' than requested"):
        make(store)
    assert len(recorder.named("DropCollection")) == 1


def test_nullable_is_refused_before_2_5(at: Callable[[str], Opened]) -> None:
    store, _ = at("2.4.23")
    reported = store.unsupported_schema(CollectionSchema(schema=SCHEMA))
    assert reported["schema"].startswith("t is nullable, which Milvus 2.4.23 does not store")
    assert (
        store.unsupported_schema(
            CollectionSchema(schema={**SCHEMA, "fields": SCHEMA["fields"][1:]})
        )
        == {}
    )  # type: ignore[index]


def test_unsupported_types_are_reported(at: Callable[[str], Opened]) -> None:
    store, _ = at("3.0.1")
    place = {**SCHEMA, "fields": [{"name": "where", "type": "GEOMETRY"}]}
    assert "where is GEOMETRY" in store.unsupported_schema(CollectionSchema(schema=place))["schema"]


@pytest.mark.parametrize(
    ("key", "kind", "settings", "field", "sent"),
    [
        ("t", "keyword", {}, "t", {"index_type": "INVERTED"}),
        ("t", "keyword", {"index_type": "BITMAP"}, "t", {"index_type": "BITMAP"}),
        ("t", "keyword", {"index_type": "NGRAM", "min_gram": "2", "max_gram": "3"}, "t",
         {"index_type": "NGRAM", "min_gram": "2", "max_gram": "3"}),
        ("n", "integer", {"index_type": "STL_SORT"}, "n", {"index_type": "STL_SORT"}),
        ("city", "keyword", {}, "$meta",
         {"index_type": "INVERTED", "json_path": '$meta["city"]', "json_cast_type": "varchar"}),
        ("a.b", "keyword", {}, None, {}),
        ("deep.year", "integer", {"index_type": "AUTOINDEX"}, "$meta",
         {"index_type": "AUTOINDEX", "json_path": '$meta["deep"]["year"]',
          "json_cast_type": "double"}),
        ("j.x", "bool", {}, "j",
         {"index_type": "INVERTED", "json_path": 'j["x"]', "json_cast_type": "bool"}),
    ],
)  # fmt: skip
def test_a_payload_index_is_sent_and_read_back(
    at: Callable[[str], Opened],
    key: str,
    kind: str,
    settings: dict[str, Any],
    field: str | None,
    sent: dict[str, str],
) -> None:
    store, recorder = at("2.6.8")
    make(store)
    if field is None:
        with pytest.raises(UnsupportedError, match="the field 'a' has the type ARRAY"):
            store.create_payload_index("books", key, kind, settings)
        return
    store.create_payload_index("books", key, kind, settings)
    request = recorder.named("CreateIndex")[-1]
    params = recorder.index_params()
    assert request.field_name == field
    reported = {name: value for name, value in params.items() if name != "params"}
    inner = json.loads(params.get("params", "{}"))
    assert {**reported, **inner} == sent
    assert store.payload_indexes("books") == {key: kind}
    shown = {k: v for k, v in sent.items() if not k.startswith("json_")}
    assert store.payload_index_settings("books") == {key: shown}
    before = len(recorder.named("CreateIndex"))
    store.create_payload_index("books", key, kind, settings)
    assert len(recorder.named("CreateIndex")) == before


def test_a_path_needs_2_5_11(at: Callable[[str], Opened]) -> None:
    store, _ = at("2.5.10")
    make(store)
    with pytest.raises(UnsupportedError, match=r"can index only typed fields .*2\.5\.11"):
        store.create_payload_index("books", "city", "keyword")


def test_uncopied_schema_parts_are_reported() -> None:
    from pymilvus import DataType

    text = {"name": "t", "type": DataType.VARCHAR, "params": {"max_length": "9", "warmup": "sync"}}
    raw = {"auto_id": True, "functions": [{"name": "bm25"}], "fields": [text]}
    words = payload_schema.undeclarable(raw)
    assert words.startswith("functions, auto_id (")
    assert words.endswith("settings of the field t (warmup)")
    assert payload_schema.undeclarable({"fields": []}) == ""
