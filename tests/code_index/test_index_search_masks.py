"""Masks, ids and originals of a search in a code index."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from qadapt.code_index import CodeIndex
from qadapt.errors import (
    DimensionError,
    InputError,
    NonFiniteError,
    NotFoundError,
)

Make = Callable[..., CodeIndex]


def nearest(queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """The row with the greatest cosine, for each query."""
    q, x = queries.astype(np.float64), vectors.astype(np.float64)
    return np.argmax(q @ (x / np.linalg.norm(x, axis=1, keepdims=True)).T, axis=1)


@pytest.mark.parametrize("codes", ["binary", "int8"])
def test_mask_and_ids_limit_the_results(
    make: Make, vectors: np.ndarray, queries: np.ndarray, codes: str
) -> None:
    with make(codes=codes) as index:
        index.delete([0, 7, 8])
        wanted = [one for one in index.ids if isinstance(one, int) and one % 11 == 0]
        mask = np.array([one in wanted for one in index.ids])
        by_mask = index.search(queries, 10, rescore=30, mask=mask)
        by_ids = index.search(queries, 10, rescore=30, ids=[*wanted, 0, 5000, "x"])
    assert by_mask.ids.tolist() == by_ids.ids.tolist()
    assert set(by_mask.ids.ravel()) <= set(wanted)
    first = [wanted[at] for at in nearest(queries, vectors[wanted])]
    assert by_mask.ids[:, 0].tolist() == first
    assert by_mask.candidates == (len(wanted) if codes == "binary" else 0)


def test_empty_masks_and_indexes_return_padding(
    make: Make, queries: np.ndarray, tmp_path: Path
) -> None:
    with make() as index, CodeIndex.create(tmp_path / "empty", 37) as empty:
        for hits in (index.search(queries, 3, ids=[]), empty.search(queries, 3)):
            assert (hits.ids == None).all() and np.isnan(hits.scores).all()  # noqa: E711
            assert hits.candidates == 0
        none = index.search(np.empty((0, 37)), 3)
        assert none.ids.shape == (0, 3)


def test_masks_are_checked(make: Make, queries: np.ndarray) -> None:
    with make() as index:
        index.delete([1])
        for mask in (np.ones(300, bool), np.ones(299, int), np.ones((299, 1), bool)):
            with pytest.raises(InputError, match=r"must be bool \(299,\)"):
                index.search(queries, 3, mask=mask)
        with pytest.raises(InputError, match="both mask and ids"):
            index.search(queries, 3, mask=np.ones(299, bool), ids=[1])


# -- originals -------------------------------------------------------------------------------


def test_fetch_is_called_once_with_distinct_ids(
    make: Make, vectors: np.ndarray, queries: np.ndarray
) -> None:
    calls: list[list[int]] = []

    def fetch(ids: list[int]) -> dict[int, np.ndarray]:
        calls.append(ids)
        return {one: vectors[one] for one in ids}

    with make() as index:
        index.search(queries, 10, rescore=4, fetch=fetch)
    assert len(calls) == 1 and len(set(calls[0])) == len(calls[0])


def test_missing_originals_are_named(make: Make, vectors: np.ndarray, queries: np.ndarray) -> None:
    holes = vectors.copy()
    holes[[0, 3]] = np.nan
    with make() as index:
        for fetch in (
            lambda ids: holes[ids],
            lambda ids: {one: vectors[one] for one in ids if one not in (0, 3)},
        ):
            with pytest.raises(NotFoundError, match=r"2 candidates: 0, 3\b"):
                index.search(queries, 10, fetch=fetch)
        with pytest.raises(InputError, match=r"returned 299 vectors for 300 ids"):
            index.search(queries, 300, fetch=lambda ids: vectors[:299])
        with pytest.raises(DimensionError, match="fetched vectors: 5 dimensions"):
            index.search(queries, 3, fetch=lambda ids: vectors[ids][:, :5])
        holes[0, 1:] = 0
        with pytest.raises(NonFiniteError, match="fetched vectors"):
            index.search(vectors[:1], 1, fetch=lambda ids: holes[ids])
