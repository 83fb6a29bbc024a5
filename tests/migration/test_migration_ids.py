"""Ids are mapped deterministically by type and value, and mapped back.

Known failures of other tools are rewritten ids
(https://github.com/qdrant/landing_page/issues/997), and ``generate_uuid5(1) ==
generate_uuid5("1")`` in the client of Weaviate.
"""

from __future__ import annotations

import json
from unittest.mock import patch

import hypothesis.strategies as st
import pytest
from hypothesis import example, given

from qadapt.migration import ids
from qadapt.migration.idset import IdSet, hash_ids, select

keys = st.one_of(
    st.integers(-(2**63), 2**64 - 1),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=80),
    st.uuids().map(str),
)


@given(keys, keys)
@example(1, "1")
@example("int:1", 1)
@example("5", "05")
def test_two_ids_never_map_to_one(a: ids.Id, b: ids.Id) -> None:
    assert (ids.to_uuid(a) == ids.to_uuid(b)) == (a == b and type(a) is type(b))


def test_a_number_and_its_text_map_to_two_uuids() -> None:
    util = pytest.importorskip("weaviate.util")
    assert util.generate_uuid5(1) == util.generate_uuid5("1")
    assert ids.to_uuid(1) != ids.to_uuid("1")


def test_the_mapping_is_stable() -> None:
    assert ids.to_uuid(1) == "8acaf496-f7bb-552d-b0b7-23122d391002"
    assert ids.to_uuid("1") == "a2b31436-4e56-5820-8a4c-685dc77145b5"


@given(keys)
def test_a_mapped_id_is_restored(key: ids.Id) -> None:
    there = ids.to_uuid(key)
    assert ids.source_id(there, {ids.SOURCE_ID: ids.encode_source_id(key), "x": 1}) == key


@pytest.mark.parametrize(
    "payload", [None, {}, {ids.SOURCE_ID: 5}, {ids.SOURCE_ID: "no json"}, {ids.SOURCE_ID: "[1]"},
                {ids.SOURCE_ID: "true"}, {ids.SOURCE_ID: json.dumps("another")}]
)  # fmt: skip
def test_a_users_field_of_that_name_is_ignored(payload: dict[str, object] | None) -> None:
    assert ids.source_id(ids.to_uuid("mine"), payload) is None


@pytest.mark.parametrize("block", [1, 65536])
@given(mine=st.lists(keys, max_size=60), theirs=st.lists(keys, max_size=60))
def test_id_sets_have_the_ids_that_python_sets_have(
    block: int, mine: list[ids.Id], theirs: list[ids.Id]
) -> None:
    def typed(items: list[ids.Id]) -> set[str]:
        return {ids.typed_text(key) for key in items}

    with patch("qadapt.migration.idset._BLOCK", block), IdSet() as a, IdSet() as b:
        a.add(mine)
        b.add(theirs)
        lost = a.difference(b)
        found = select(mine, lost)
        twice = a.duplicates()
    assert typed(found) == typed(mine) - typed(theirs)
    counts = {tag: [ids.typed_text(key) for key in mine].count(tag) for tag in typed(mine)}
    assert len(twice) == sum(count > 1 for count in counts.values())


def test_id_sets_are_flushed_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qadapt.migration.idset._BLOCK", 100)
    with IdSet() as a, IdSet() as b, IdSet() as small:
        small.add(range(49))
        for start in range(0, 5000, 50):
            a.add(range(start, start + 50))
            b.add(range(start, start + 49))
        assert len(a.difference(b)) == 100
        assert not len(b.difference(a))
        assert len(a.difference(small)) == 5000 - 49
        assert not len(small.difference(a))
        assert sorted(hash_ids([49, 99])) == sorted(set(a.difference(b)) & set(hash_ids([49, 99])))
