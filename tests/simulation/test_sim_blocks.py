"""Shortcuts of the simulation give the result of the definition."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from qadapt.quantizers.base import Codes
from qadapt.quantizers.centroids import BLOCK, NARROW, _block, assign
from qadapt.simulation.rank_recall import ranks


@pytest.mark.parametrize(
    ("rows", "width", "count"),
    [(1000, 4, 256), (999, 8, 256), (5, 3, 2), (700, NARROW + 1, 50), (300, 2, 4096), (0, 4, 5)],
)
def test_each_row_gets_the_nearest_centroid(rows: int, width: int, count: int) -> None:
    random = np.random.default_rng(0)
    x = random.standard_normal((rows, width)).astype(np.float32)
    centroids = random.standard_normal((count, width)).astype(np.float32)
    squares = np.square(x[:, None].astype(np.float64) - centroids[None]).sum(axis=2)
    found = assign(x, centroids)
    np.testing.assert_allclose(squares[np.arange(rows), found], squares.min(axis=1), atol=1e-5)


def test_products_of_short_rows_are_too_small_for_threads() -> None:
    for width, count in itertools.product((2, 4, 8, 16), (16, 256)):
        assert _block(count, width) * count * (width + 1) <= 1 << 19
    assert _block(256, NARROW + 1) == BLOCK


@pytest.mark.parametrize("segments", [1, 3])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("tied", [False, True])
def test_ranks_count_the_rows_ahead_of_each_neighbor(
    segments: int, weighted: bool, tied: bool
) -> None:
    random = np.random.default_rng(1)
    scores = random.standard_normal((70, 300)).astype(np.float32)
    scores = np.round(scores) if tied else scores
    truth = random.permuted(np.tile(np.arange(300), (70, 1)), axis=1)[:, :5]
    truth[random.random(truth.shape) < 0.1] = -1
    weight = np.where(np.arange(300) < 40, 1.0, 7.3) if weighted else None
    found = ranks(
        Codes(scores.T), np.eye(70, dtype=np.float32), truth, weight=weight, segments=segments
    )
    each = np.ones(300) if weight is None else weight
    part = np.arange(300) * segments // 300
    for query, column in itertools.product(range(70), range(5)):
        row = truth[query, column]
        if row < 0:
            assert np.isnan(found.ahead[query, column])
            continue
        same_part = part == part[row]
        ahead = each[same_part & (scores[query] > scores[query, row])].sum()
        level = each[same_part & (scores[query] == scores[query, row])].sum()
        assert found.ahead[query, column] == pytest.approx(ahead)
        assert found.level[query, column] == pytest.approx(level)
