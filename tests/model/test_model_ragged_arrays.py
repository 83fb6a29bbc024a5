"""Ragged extra vectors: created from rows, converted to rows, sliced, concatenated, and checked."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from qadapt.errors import DimensionError, InputError, NonFiniteError, SpecError
from qadapt.model import Batch, ExtraVector, Metric, RaggedArray, Vector
from qadapt.model.ragged_arrays import (
    ascending,
    check,
    faults,
    from_multivectors,
    from_sparse,
    multi_rows,
    sparse_rows,
    without_zeros,
)

SPARSE, MULTI = ExtraVector("sparse"), ExtraVector("multi", 2, Metric.DOT)
floats = st.floats(-100, 100, width=32)
sparse_row = st.none() | st.dictionaries(st.integers(0, 2**32 - 1), floats, max_size=5)
multi_row = st.none() | st.lists(st.lists(floats, min_size=2, max_size=2), min_size=1, max_size=4)


def sparse_of(rows: list[dict[int, float] | None]) -> RaggedArray:
    return from_sparse([None if row is None else (row.keys(), row.values()) for row in rows])


def as_rows(ragged: RaggedArray) -> list[Any]:
    if ragged.indices is None:
        return [None if row is None else row.tolist() for row in multi_rows(ragged)]
    return [None if row is None else dict(zip(*row, strict=True)) for row in sparse_rows(ragged)]


@given(st.lists(sparse_row, max_size=8))
def test_sparse_rows_round_trip_in_order(rows: list[dict[int, float] | None]) -> None:
    made = sparse_of(rows)
    assert as_rows(made) == rows
    assert [list(row) for row in as_rows(made) if row] == [sorted(row) for row in rows if row]
    assert made.absent().tolist() == [row is None for row in rows]
    assert not faults(made)


@given(st.lists(multi_row, max_size=8))
def test_multivectors_round_trip(rows: list[Any]) -> None:
    made = from_multivectors(rows, 2)
    assert as_rows(made) == rows
    assert not faults(made)


@given(st.lists(sparse_row, max_size=9), st.lists(multi_row, max_size=9), st.data())
def test_slices_selections_and_concatenation(
    one: list[Any], other: list[Any], data: st.DataObject
) -> None:
    for rows, made in ((one, sparse_of(one)), (other, from_multivectors(other, 2))):
        start = data.draw(st.integers(0, len(rows)))
        stop = data.draw(st.integers(start, len(rows) + 2))
        assert as_rows(made.rows(start, stop)) == rows[start:stop]
        order = data.draw(st.permutations(range(len(rows))))
        assert as_rows(made.pick(np.asarray(order, dtype=np.intp))) == [rows[at] for at in order]
        parts = [made.rows(0, start), made.rows(start, len(rows))]
        assert as_rows(RaggedArray.concat(parts)) == rows


@given(st.lists(sparse_row, max_size=8))
def test_entries_of_0_are_dropped(rows: list[dict[int, float] | None]) -> None:
    kept = [row and {at: value for at, value in row.items() if value} for row in rows]
    assert as_rows(without_zeros(sparse_of(rows))) == kept


def test_invalid_values_are_reported_by_row() -> None:
    rows = [([1, 2], [1.0, 2.0]), None, ([4, 4], [1.0, 2.0]), ([3], [np.nan]), ([], [])]
    found = {why: np.flatnonzero(mask).tolist() for why, mask in faults(from_sparse(rows)).items()}
    assert sorted(found.values()) == [[2], [3]]
    falling = RaggedArray(np.array([0, 2]), np.ones(2, np.float32), np.array([5, 3], np.uint32))
    assert len(faults(falling)) == 1
    assert as_rows(ascending(falling)) == [{3: 1.0, 5: 1.0}]
    without = faults(from_multivectors([[[1, 2]], [], None], 2))
    assert [np.flatnonzero(mask).tolist() for mask in without.values()] == [[1]]


@pytest.mark.parametrize(
    ("made", "extra", "error"),
    [
        (from_sparse([([1, 1], [1.0, 2.0])]), SPARSE, InputError),
        (from_sparse([([1], [np.inf])]), SPARSE, NonFiniteError),
        (from_multivectors([[[1, 2, 3]]], 3), MULTI, DimensionError),
        (from_multivectors([[[1, np.nan]]], 2), MULTI, NonFiniteError),
        (from_multivectors([[]], 2), MULTI, InputError),
        (from_multivectors([[[1, 2]]], 2), SPARSE, InputError),
        (from_sparse([([1], [1.0])]), MULTI, InputError),
    ],
)
def test_invalid_extra_vectors_are_refused(
    made: RaggedArray, extra: ExtraVector, error: type[Exception]
) -> None:
    with pytest.raises(error, match="'words'"):
        check(made, extra, what="vector 'words'")


def test_an_unknown_extra_vector_is_named() -> None:
    batch = Batch([1], {"": np.ones((1, 4))}, extras={"wrods": from_sparse([([1], [1.0])])})
    with pytest.raises(SpecError, match="wrods"):
        batch.check({"": Vector(4)}, {"words": SPARSE})
    with pytest.raises(SpecError, match="wrods"):
        batch.check({"": Vector(4)})
