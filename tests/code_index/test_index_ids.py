"""Ids as arrays: kinds, look-ups and the choice of segments to merge."""

from __future__ import annotations

import uuid
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qadapt.code_index.id_column import IdColumn
from qadapt.code_index.merging import Load, merge_start
from qadapt.code_index.row_map import RowMap, first_repeated

UUIDS = [str(uuid.UUID(int=i << 60)) for i in range(40)]

_ID = st.one_of(
    st.integers(-5, 40),
    st.sampled_from([2**63, -(2**63), -(2**70)]),
    st.sampled_from(UUIDS),
    st.sampled_from(["1", "2", "", "a", "a\0", "Ω\ud800", UUIDS[10].upper(), "x" * 36]),
)
_IDS = st.lists(_ID, max_size=30, unique_by=lambda one: (type(one), one))


@pytest.mark.parametrize(
    ("ids", "kind", "nbytes"),
    [
        ([3, -1, 2**62], "int", 24),
        (np.array([3, 4], dtype=np.uint8), "int", 16),
        (range(4, 1, -1), "int", 24),
        (UUIDS[:3], "uuid", 48),
        ([UUIDS[10].upper()], "text", 41),
        ([1, "1"], "text", 12),
        ([2**63], "text", 24),
        (np.array(["a", "bc"]), "text", 13),
        ([], "int", 0),
    ],
)
def test_the_most_compact_kind_is_chosen(ids: Any, kind: str, nbytes: int) -> None:
    column = IdColumn.of(ids)
    assert (column.kind, column.nbytes) == (kind, nbytes)
    assert column.tolist() == list(ids)
    assert column.take(np.arange(len(ids))[::-1]).tolist() == list(ids)[::-1]


def test_arrow_arrays_are_ids() -> None:
    arrow = pytest.importorskip("pyarrow")
    assert IdColumn.of(arrow.array(["a", "b"])).tolist() == ["a", "b"]
    assert IdColumn.of(arrow.array([1, 2])).tolist() == [1, 2]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["add", "remove", "cut"]), _IDS), max_size=10))
def test_a_row_map_equals_a_dict(steps: list[tuple[str, list[int | str]]]) -> None:
    rows = RowMap()
    model: list[int | str | None] = []  # None for a deleted row
    for number, (what, ids) in enumerate(steps):
        column = IdColumn.of(ids)
        if what == "add":
            rows.remove(column)
            model = [None if one in _typed(ids) else one for one in _pairs(model)]  # type: ignore[misc]
            model = [None if one is None else one[1] for one in model]  # type: ignore[index]
            if number % 2:
                rows._settle_tail()
                rows._add_chunk(column)
            else:
                rows.append(column)
            model += ids
        elif what == "remove":
            known = [one for one in model if one is not None and (type(one), one) in _typed(ids)]
            assert len(rows.remove(column)) == len(known)
            model = [
                None if one is None or (type(one), one) in _typed(ids) else one for one in model
            ]
        else:
            kept = len(model) // 2
            rows.cut(kept)
            model = model[:kept]
        live = [one for one in model if one is not None]
        assert (rows.total, rows.live, rows.ids()) == (len(model), len(live), live)
        assert rows.ids(len(model) // 3) == [
            one for one in model[len(model) // 3 :] if one is not None
        ]
        everything = [*range(-5, 41), 2**63, *UUIDS, "1", "a", "a\0", "Ω\ud800", "x" * 36]
        places = {(type(one), one): at for at, one in enumerate(model) if one is not None}
        assert rows.places(IdColumn.of(everything)).tolist() == [
            places.get((type(one), one), -1) for one in everything
        ]
        assert rows.repeated() == []


def _typed(ids: list[int | str]) -> set[tuple[type, int | str]]:
    return {(type(one), one) for one in ids}


def _pairs(model: list[int | str | None]) -> list[Any]:
    return [None if one is None else (type(one), one) for one in model]


def test_many_ids_are_found_in_any_order() -> None:
    rng = np.random.default_rng(0)
    for ids in (
        rng.permutation(20_000).tolist(),
        [str(uuid.UUID(bytes=rng.bytes(16))) for _ in range(20_000)],
        [f"doc {i}" for i in range(20_000)],
    ):
        rows = RowMap()
        start = 0
        for size in (1, 700, 3, 5_000, 260, 14_036):
            rows.append(IdColumn.of(ids[start : start + size]))
            start += size
            assert rows.places(IdColumn.of(ids[:300])).tolist() == [
                at if at < start else -1 for at in range(300)
            ]
        assert (rows.places(IdColumn.of(ids)) == np.arange(20_000)).all()
        assert rows.places(IdColumn.of(["no", -7])).tolist() == [-1, -1]
        assert rows.at(np.array([19_999, -1, 0])) == [ids[19_999], None, ids[0]]
        assert len(rows._chunks) < 6


def test_texts_with_equal_hashes_are_distinguished(monkeypatch: pytest.MonkeyPatch) -> None:
    import qadapt.code_index.id_column as module

    monkeypatch.setattr(
        module, "_hashes", lambda values, starts, lengths: lengths.astype(np.uint32) % 2
    )
    ids = [f"{'x' * (i % 7)}{i}" for i in range(600)]
    rows = RowMap()
    rows.append(IdColumn.of(ids[:300]))
    rows.append(IdColumn.of(ids[300:]))
    assert (rows.places(IdColumn.of(ids)) == np.arange(600)).all()
    assert rows.places(IdColumn.of(["y", "zz"])).tolist() == [-1, -1]
    assert first_repeated(IdColumn.of([*ids[:9], ids[3], ids[1], ids[3]])) == [ids[3], ids[1]]


def test_repeated_ids_are_named_once_each() -> None:
    assert first_repeated(IdColumn.of([5, 1, 5, 1, 5, 2])) == [5, 1]
    assert first_repeated(IdColumn.of([UUIDS[1], UUIDS[0], UUIDS[1]])) == [UUIDS[1]]
    assert first_repeated(IdColumn.of([1, "1", "1"])) == ["1"]
    assert first_repeated(IdColumn.of([1, 2, 3])) == []


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 300), min_size=1, max_size=200))
def test_merges_write_each_row_once_per_tier(sizes: list[int]) -> None:
    """Without deletions: rows written, and number of segments, are bounded by the tiers."""
    saved: list[Load] = []
    written = 0
    for size in sizes:
        start = merge_start(saved, Load(size, 0))
        merged = size + sum(each.live for each in saved[start:])
        saved[start:] = [Load(merged, 0)]
        written += merged
    tiers = len(str(sum(sizes)))
    assert written <= tiers * sum(sizes)
    assert len(saved) <= 9 * tiers


def test_deleted_rows_cause_a_merge_when_they_are_a_third_of_the_live_ones() -> None:
    assert merge_start([Load(100, 0), Load(75, 24)], Load(1, 0)) == 2
    assert merge_start([Load(100, 0), Load(75, 26)], Load(1, 0)) == 1
    assert merge_start([Load(100, 60), Load(5, 0)], Load(1, 0)) == 0
