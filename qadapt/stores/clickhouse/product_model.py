"""Product codes of ClickHouse: the training of the centroids, with the engine's random numbers.

The start is drawn with replacement, so that some centroids are equal; those without rows are drawn
again after each round (docs/engines/clickhouse.md#codes).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from qadapt.engines.exact import unit
from qadapt.model import Metric
from qadapt.quantizers import Codes, Model
from qadapt.quantizers.centroids import Products
from qadapt.stores.clickhouse.rotation import MASK, STEP, mixed

Floats = npt.NDArray[np.float32]
# The centroids of a part are trained with the rows of its first granule.
GRANULE_ROWS, GRANULE_BYTES = 8192, 10 << 20
ROUNDS = 20
_SEED = 0x0123456789ABCDEF


class TrainedProducts(Products):
    """Centroids as the engine trains them: one sequence of random numbers for all segments."""

    def fit(self, rows: Floats) -> None:
        draws = _draws(len(rows))
        self._books = [
            _trained(np.ascontiguousarray(rows[:, cut]), self._count, self._rounds or ROUNDS, draws)
            for cut in self._segments
        ]


class ProductCodes(Model):
    """The codec product: the nearest centroid of each segment, of vectors that are not normalized
    under cosine either; queries are not quantized. All rows are in one part."""

    def __init__(self, metric: Metric, bits: int, segments: int) -> None:
        super().__init__(metric)
        self._bits, self._segments = bits, segments

    def _prepared(self, x: Floats) -> Floats:
        return x

    def _fit(self, rows: Floats) -> None:
        dim = rows.shape[1]
        rows = rows[: min(GRANULE_ROWS, max(1, GRANULE_BYTES // rows[0].nbytes))]
        width = dim // self._segments
        self._products = TrainedProducts.of(dim, width, 2**self._bits, rounds=ROUNDS)
        self._products.fit(rows)

    def _rows(self, rows: Floats) -> Codes:
        decoded = self._products.stand_for(rows)
        return self._stand_for(unit(decoded) if self.metric is Metric.COSINE else decoded)

    def _queries(self, queries: Floats) -> Floats:
        return self._asking(queries)


def _draws(bound: int) -> Iterator[int]:
    """Numbers below ``bound`` by the generator SplitMix64."""
    state = _SEED
    while True:
        state = (state + STEP) & MASK
        yield mixed(state) % bound


def _trained(part: Floats, count: int, rounds: int, draws: Iterator[int]) -> Floats:
    """Centroids ``(count, w)`` of a segment of the rows ``(n, w)``."""
    wide = part.astype(np.float64)
    centroids = part[[next(draws) for _ in range(count)]]
    for _ in range(rounds):
        nearest = _assigned(wide, centroids.astype(np.float64))
        sizes = np.bincount(nearest, minlength=count)
        sums = np.stack(
            [np.bincount(nearest, weights=column, minlength=count) for column in wide.T], axis=1
        )
        centroids = (sums * (1 / np.maximum(sizes, 1))[:, None]).astype(np.float32)
        for lost in np.flatnonzero(sizes == 0):
            centroids[lost] = part[next(draws)]
    return centroids


def _assigned(
    rows: npt.NDArray[np.float64], centroids: npt.NDArray[np.float64]
) -> npt.NDArray[np.intp]:
    """The nearest centroid of each row, in double precision; the first one of equal centroids."""
    scores = rows @ centroids.T
    scores -= np.einsum("ij,ij->i", centroids, centroids) / 2
    found: npt.NDArray[np.intp] = np.argmax(scores, axis=1)
    return found
