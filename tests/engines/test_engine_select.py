"""Selecting must equal a stable sort, cut off."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qadapt.engines import counting_select, score_select, score_topk
from qadapt.engines.select import Best


def stable(keys: np.ndarray, k: int) -> list[int]:
    return sorted(np.argsort(keys, kind="stable")[:k].tolist())


@given(st.lists(st.integers(0, 12), max_size=60), st.integers(0, 70))
def test_counting_select_equals_a_stable_sort(values: list[int], k: int) -> None:
    keys = np.array(values, dtype=np.uint16)
    assert counting_select(keys, k).tolist() == stable(keys, k)


@given(st.lists(st.sampled_from([-1.5, 0.0, -0.0, 2.0, np.inf, -np.inf]), max_size=60),
       st.integers(0, 70))  # fmt: skip
def test_score_select_equals_a_stable_sort(values: list[float], k: int) -> None:
    keys = np.array(values, dtype=np.float32)
    assert score_select(keys, k).tolist() == stable(keys, k)


@given(st.lists(st.sampled_from([1.0, 2.0, 3.0, np.nan]), max_size=40), st.integers(1, 50))
def test_score_select_never_picks_nan(values: list[float], k: int) -> None:
    keys = np.array(values, dtype=np.float32)
    numbers = [i for i in np.argsort(keys, kind="stable") if not np.isnan(keys[i])]
    assert score_select(keys, k).tolist() == sorted(numbers[:k])


@given(
    st.lists(st.lists(st.integers(0, 6), max_size=15), max_size=6),
    st.integers(1, 30),
)
def test_best_of_a_stream_equals_a_stable_sort_of_the_whole(
    blocks: list[list[int]], k: int
) -> None:
    best = Best(k, counting_select)
    first = 0
    for block in blocks:
        best.offer(np.array(block, dtype=np.uint16), first)
        first += len(block)
    everything = np.array([key for block in blocks for key in block], dtype=np.int64)
    rows, keys = best.ranked()
    expected = np.argsort(everything, kind="stable")[:k]
    assert rows.tolist() == expected.tolist()
    assert keys.tolist() == everything[expected].tolist()


@pytest.mark.parametrize("masked", [False, True])
def test_score_topk_over_blocks_equals_a_stable_sort(masked: bool) -> None:
    rng = np.random.default_rng(5)
    scores = rng.integers(0, 20, (4, 300)).astype(np.float32)  # many ties
    mask = rng.random(300) < 0.3 if masked else None
    if mask is not None:
        mask[100:150] = False  # one whole block hidden
    columns = np.arange(300)
    blocks = [columns[i : i + 50] for i in range(0, 300, 50)]
    rows, found = score_topk(lambda some: scores[:, some], blocks, 4, 200, mask)
    allowed = columns if mask is None else columns[mask]
    for i in range(4):
        order = allowed[np.argsort(-scores[i, allowed], kind="stable")][:200]
        assert rows[i, : len(order)].tolist() == order.tolist()
        assert found[i, : len(order)].tolist() == scores[i, order].tolist()
        assert (rows[i, len(order) :] == -1).all()
        assert np.isnan(found[i, len(order) :]).all()
