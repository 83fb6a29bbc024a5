"""Payload indexes: the exact requests, and parsing of ``payload_schema``.

No recording has an index on a payload; shapes are those of the server's OpenAPI description
(``PUT /collections/{collection_name}/index``, ``PayloadIndexInfo``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from qdrant_helpers import Replay, info_of, ok, refused, serve, telemetry_of

import qadapt as qa
from qadapt.errors import StoreError, UnsupportedError

LOOK = ("GET", "/collections/articles")
INDEX = "/collections/articles/index?wait=true"
SCHEMA: dict[str, Any] = {
    "city": {"data_type": "keyword", "points": 9},
    "tenant": {
        "data_type": "keyword", "points": 9, "params": {"type": "keyword", "is_tenant": True},
    },
    "year": {"data_type": "integer", "points": 9, "params": {"type": "integer"}},
    "new": {"data_type": "not known yet", "points": 9},
}  # fmt: skip


def served(schema: dict[str, Any]) -> Replay:
    """A collection with these indexes."""
    info = {**info_of({"size": 4, "distance": "Dot"}), "payload_schema": schema}
    return serve(info, telemetry_of("articles", [{"": (2000, "hnsw", None)}]))


def test_indexes_are_read_with_their_unreported_settings() -> None:
    store = served(SCHEMA).store()
    assert store.payload_indexes("articles") == {
        "city": "keyword", "tenant": "keyword", "year": "integer",
    }  # fmt: skip
    assert store.uncopied("articles") == {"payload-indexes": "new (not known yet)"}
    assert store.payload_index_settings("articles") == {"tenant": {"is_tenant": True}}
    assert served({}).store().uncopied("articles") == {}


def test_creating_an_index_invalidates_the_snapshot() -> None:
    server = served({}).on("PUT", INDEX, ok({"operation_id": 3, "status": "completed"}))
    store = server.store()
    store.uncopied("articles")
    looks = len([1 for how, path, _ in server.sent if (how, path) == LOOK])
    store.create_payload_index("articles", "address.city", "keyword")
    assert server.writes() == [
        ("PUT", INDEX, {"field_name": "address.city", "field_schema": "keyword"})
    ]
    store.uncopied("articles")
    assert len([1 for how, path, _ in server.sent if (how, path) == LOOK]) > looks


def test_an_index_request_contains_settings() -> None:
    server = served({}).on("PUT", INDEX, ok({"operation_id": 3, "status": "completed"}))
    asked = {"tokenizer": "word", "stopwords": {"languages": ["english"], "custom": ["x"]}}
    server.store().create_payload_index("articles", "body", "text", asked)
    schema = {"type": "text", **asked}
    assert server.writes() == [("PUT", INDEX, {"field_name": "body", "field_schema": schema})]


def test_stop_words_are_sorted_and_unset_settings_omitted() -> None:
    params = {
        "type": "text", "tokenizer": "word", "lowercase": None,
        "stopwords": {"languages": ["german", "english"], "custom": ["z", "a"]},
    }  # fmt: skip
    store = served({"body": {"data_type": "text", "points": 9, "params": params}}).store()
    assert store.payload_index_settings("articles") == {
        "body": {
            "tokenizer": "word",
            "stopwords": {"languages": ["english", "german"], "custom": ["a", "z"]},
        }
    }


def test_server_errors_of_index_requests_are_reported() -> None:
    server = served({}).on("PUT", INDEX, refused(400, "Wrong input: no"))
    with pytest.raises(StoreError, match="Wrong input: no"):
        server.store().create_payload_index("articles", "city", "keyword")


def test_an_unknown_kind_is_not_sent() -> None:
    server = served({})
    with pytest.raises(UnsupportedError, match="expected one of: keyword, integer"):
        server.store().create_payload_index("articles", "city", "fuzzy")
    assert server.writes() == []


def test_local_mode_creates_no_payload_index(tmp_path: Path) -> None:
    pytest.importorskip("qdrant_client")
    with qa.open(f"qdrant:{tmp_path / 'local'}") as database:
        database.create("docs", dim=4, metric="dot")
        store = database._store
        assert store.payload_indexes("docs") == store.payload_index_settings("docs") == {}
        with pytest.raises(UnsupportedError, match="local mode"):
            store.create_payload_index("docs", "city", "keyword")
