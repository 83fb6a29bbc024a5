"""Indexes whose documents do not hold all fields: ``_source`` of the mapping leaves them out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import qadapt as qa
from qadapt.api import Database
from qadapt.errors import BusyError, InputError, UnsupportedError
from qadapt.stores.elastic import refreshes
from qadapt.stores.elastic.errors import Refused, refused
from qadapt.stores.elastic.schema import left_out, unreadable

FIELD = {"type": "dense_vector", "dims": 16, "similarity": "cosine"}
ROWS = np.eye(16, dtype=np.float32)


def foreign(raw: Any, name: str, source: dict[str, Any]) -> None:
    """An index of another program with 16 rows, a vector and two texts."""
    words = {"lang": {"type": "keyword"}, "secret": {"type": "keyword"}}
    mapping = {"_source": source, "properties": {"emb": FIELD, **words}}
    raw("PUT", f"/{name}", {"mappings": mapping})
    for row in range(16):
        document = {"emb": ROWS[row].tolist(), "lang": "de", "secret": f"s{row}"}
        raw("PUT", f"/{name}/_doc/{row}", document)
    raw("POST", f"/{name}/_refresh")


@pytest.mark.parametrize(
    "source", [{"excludes": ["secret"]}, {"includes": ["lang"]}], ids=["excludes", "includes"]
)
def test_a_copy_that_would_lose_fields_is_refused(
    raw: Any, database: Database, name: str, source: dict[str, Any]
) -> None:
    foreign(raw, name, source)
    found = database[name]
    with pytest.raises(UnsupportedError, match="leaves fields out of the documents"):
        found.plan("none", vector="emb").apply(yes=True)
    query = {"query": {"term": {"secret": "s3"}}}
    assert raw("GET", f"/{name}/_count", query)["count"] == 1
    (batch,) = found.read(vectors=["emb"])
    assert np.array_equal(batch.vectors["emb"][np.argsort(list(map(int, batch.ids)))], ROWS)
    assert "collection-note" in [each.code for each in found.doctor().findings]


def test_an_index_without_documents_is_not_read(raw: Any, database: Database, name: str) -> None:
    foreign(raw, name, {"enabled": False})
    with pytest.raises(UnsupportedError, match="cannot be read: `_source` is turned off"):
        list(database[name].read())
    with pytest.raises(UnsupportedError, match="not possible"):
        database[name].plan("none", vector="emb").apply(yes=True)


def test_an_index_that_a_template_makes_incomplete_is_not_created(
    raw: Any, database: Database, name: str
) -> None:
    """A request cannot turn the excluded fields of a template off, and payloads would be lost."""
    template = {
        "index_patterns": [f"{name}*"],
        "priority": 999,
        "template": {"mappings": {"_source": {"excludes": ["payload"]}}},
    }
    raw("PUT", f"/_index_template/{name}", template)
    try:
        with pytest.raises(UnsupportedError, match="index template") as error:
            database.create(name, dim=16)
        assert "_index_template" in str(error.value.hint)
        assert name not in database
    finally:
        raw("DELETE", f"/_index_template/{name}")


def test_a_closed_index_is_named(raw: Any, database: Database, name: str) -> None:
    foreign(raw, name, {})
    raw("POST", f"/{name}/_close")
    with pytest.raises(UnsupportedError) as error:
        database[name].info()
    assert "_open" in str(error.value.hint)


def test_an_index_that_requires_routing_is_written_by_its_own_program(
    raw: Any, database: Database, name: str
) -> None:
    raw(
        "PUT",
        f"/{name}",
        {"mappings": {"_routing": {"required": True}, "properties": {"emb": FIELD}}},
    )
    with pytest.raises(InputError) as error:
        database[name].write(qa.Batch(["1"], {"emb": ROWS[:1]}))
    assert "routing value" in str(error.value.hint)


@pytest.mark.parametrize(
    ("source", "path", "lost"),
    [
        ({}, "a.b", False),
        ({"excludes": ["a"]}, "a.b", True),
        ({"excludes": ["a.*"]}, "a.b", True),
        ({"excludes": ["b"]}, "a.b", False),
        ({"includes": ["a"]}, "a.b", False),
        ({"includes": ["x", "*.b"]}, "a.b", False),
        ({"includes": ["x"]}, "a.b", True),
        ({"includes": ["a"], "excludes": ["*.b"]}, "a.b", True),
        ({"mode": "disabled"}, "a.b", True),
    ],
)
def test_patterns_of_fields(source: dict[str, Any], path: str, lost: bool) -> None:
    mapping = {"_source": source}
    assert bool(unreadable(mapping, path, doc_values=False)) is lost
    assert bool(unreadable(mapping, path, doc_values=True)) is ("mode" in source)
    assert bool(left_out(mapping)) is bool(source)


def test_a_failed_refresh_is_repeated_by_the_next_search(
    database: Database, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the next search would miss the rows that this program has written."""
    made = database.create(name, dim=16)
    made.write(qa.Batch([1], {"": ROWS[:1]}))
    original = refreshes.refresh

    def overloaded(*_: Any) -> None:
        monkeypatch.setattr(refreshes, "refresh", original)
        raise BusyError("could not refresh", hint="later")

    for read in (lambda: made.search(ROWS[0], k=1), made.count):
        made.write(qa.Batch([2], {"": ROWS[1:2]}))
        monkeypatch.setattr(refreshes, "refresh", overloaded)
        with pytest.raises(BusyError):
            read()
        assert made.search(ROWS[1], k=1).ids.tolist() == [[2]]
        made.delete([2])


def test_a_point_in_time_that_is_gone_is_named() -> None:
    answer = {"error": {"type": "search_context_missing_exception", "reason": "gone"}}
    found = refused(Refused(404, answer), "read 'a'")
    assert "a point in time" in str(found.hint)
