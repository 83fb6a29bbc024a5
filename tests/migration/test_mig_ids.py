"""Ids from store to store: deterministic, typed, and home again.

What others get wrong, and is a test here: qdrant users' ids that are rewritten
(https://github.com/qdrant/landing_page/issues/997 asks for a tool between stores at all), and
``generate_uuid5(1) == generate_uuid5("1")`` in the client of Weaviate.
"""

from __future__ import annotations

import json
import uuid

import hypothesis.strategies as st
import pytest
from hypothesis import example, given

from qadapt.migration import ids
from qadapt.migration.idset import IdSet, among, hashed

keys = st.one_of(
    st.integers(-(2**63), 2**64 - 1),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=80),
    st.uuids().map(str),
)


@given(keys, keys)
@example(1, "1")
@example("int:1", 1)
@example("5", "05")
def test_two_ids_never_become_one(a: ids.Id, b: ids.Id) -> None:
    assert (ids.as_uuid(a) == ids.as_uuid(b)) == (a == b and type(a) is type(b))


def test_number_and_text_are_two_where_the_client_of_weaviate_makes_them_one() -> None:
    util = pytest.importorskip("weaviate.util")
    assert util.generate_uuid5(1) == util.generate_uuid5("1")
    assert ids.as_uuid(1) != ids.as_uuid("1")


def test_the_mapping_is_the_same_in_every_version() -> None:
    assert ids.as_uuid(1) == "8acaf496-f7bb-552d-b0b7-23122d391002"
    assert ids.as_uuid("1") == "a2b31436-4e56-5820-8a4c-685dc77145b5"


@given(keys)
def test_a_noted_id_comes_home(key: ids.Id) -> None:
    there = ids.as_uuid(key)
    assert ids.noted(there, {ids.SOURCE_ID: ids.note(key), "x": 1}) == key


@pytest.mark.parametrize(
    "payload", [None, {}, {ids.SOURCE_ID: 5}, {ids.SOURCE_ID: "no json"}, {ids.SOURCE_ID: "[1]"},
                {ids.SOURCE_ID: "true"}, {ids.SOURCE_ID: json.dumps("another")}]
)  # fmt: skip
def test_somebody_elses_entry_of_that_name_is_no_note(payload: dict[str, object] | None) -> None:
    assert ids.noted(ids.as_uuid("mine"), payload) is None


def test_uuids_are_known_in_their_usual_form_alone() -> None:
    key = str(uuid.UUID(int=5))
    assert ids.is_uuid(key)
    assert not ids.is_uuid(key.replace("-", ""))
    assert not ids.is_uuid("urn:uuid:" + key)
    assert not ids.is_uuid(5)


@given(st.lists(keys, max_size=60), st.lists(keys, max_size=60))
def test_ids_on_disk_are_compared_as_in_memory(mine: list[ids.Id], theirs: list[ids.Id]) -> None:
    def typed(items: list[ids.Id]) -> set[str]:
        return {ids.tagged(key) for key in items}

    with IdSet() as a, IdSet() as b:
        a.add(mine)
        b.add(theirs)
        lost = a.without(b)
        found = among(mine, lost)
        twice = a.twice()
    assert typed(found) == typed(mine) - typed(theirs)
    counts = {tag: [ids.tagged(key) for key in mine].count(tag) for tag in typed(mine)}
    assert len(twice) == sum(count > 1 for count in counts.values())


def test_ids_on_disk_are_flushed_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qadapt.migration.idset._BLOCK", 100)
    with IdSet() as a, IdSet() as b:
        for start in range(0, 5000, 50):
            a.add(range(start, start + 50))
            b.add(range(start, start + 49))
        assert len(a.without(b)) == 100
        assert not len(b.without(a))
        assert sorted(hashed([49, 99])) == sorted(set(a.without(b)) & set(hashed([49, 99])))
