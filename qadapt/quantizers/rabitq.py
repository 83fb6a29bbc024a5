"""RaBitQ in an inverted file: rotated residuals in 1 to 9 bits."""

from __future__ import annotations

import numpy as np

from qadapt.engines.exact import unit
from qadapt.model import Metric
from qadapt.quantizers.base import Codes, Floats, Model, by_blocks, signs_to_scale
from qadapt.quantizers.centroids import assign, kmeans
from qadapt.quantizers.rotation import gaussian

ROWS_A_LIST = 39  # fewest rows per centroid, as in faiss
# Step widths to try for codes of several bits, as a share of the largest value.
_SCALES = np.linspace(0.35, 1.0, 14, dtype=np.float32)


class RaBitQ(Model):
    """RaBitQ in an inverted file: rotated residuals in 1 to 9 bits.

    Args:
        lists: number of centroids; 0 for residuals of the origin.
    """

    def __init__(
        self,
        metric: Metric,
        dim: int,
        bits: int = 1,
        lists: int = 128,
    ) -> None:
        super().__init__(metric)
        self._matrix = gaussian(dim)
        self._bits = bits
        self._lists = lists
        self._centres = np.zeros((1, dim), dtype=np.float32)

    def _fit(self, rows: Floats) -> None:
        if self._lists:  # distances, and so lists, are the same before and after the rotation
            name = ("lists", self._lists)
            centres = self._once(rows, name, lambda x: list_centres(x, self._lists, self.metric))
            self._centres = centres @ self._matrix

    def _rows(self, rows: Floats) -> Codes:
        spun, centre = self._once(rows, ("rows of lists", self._lists), self._spun)
        left = spun - centre
        values = signs_to_scale(left) if self._bits == 1 else self._steps(left)
        # <q - c, values> estimates <q - c, left>; lengths are stored exactly.
        off = np.einsum("ij,ij->i", centre, left - values)
        if self.metric is not Metric.EUCLIDEAN:
            return Codes(centre + values, off)
        return Codes(centre + values, 2 * off - np.einsum("ij,ij->i", spun, spun))

    def _spun(self, rows: Floats) -> tuple[Floats, Floats]:
        """Rotated rows, and the centroid of each."""
        spun = rows @ self._matrix
        return spun, self._centres[assign(spun, self._centres)]

    def _steps(self, left: Floats) -> Floats:
        return by_blocks(lambda block: _steps_to_scale(block, self._bits), left)

    def _queries(self, queries: Floats) -> Floats:
        return self._asking(queries @ self._matrix)


def list_centres(rows: Floats, lists: int, metric: Metric) -> Floats:
    """The centroids of an inverted file, normalized for cosine and dot as in faiss."""
    centres = kmeans(rows, max(1, min(lists, len(rows) // ROWS_A_LIST)))
    return centres if metric is Metric.EUCLIDEAN else unit(centres)


def _steps_to_scale(x: Floats, bits: int) -> Floats:
    """Quantize each row to ``2^bits`` even steps around 0.

    The step width is the one of a few that changes the direction least, and the length is set for
    the estimator of RaBitQ.
    """
    half = 1 << (bits - 1)
    largest = np.abs(x).max(axis=1, keepdims=True)
    largest = (np.where(largest > 0, largest, 1) / half).astype(np.float32)
    best = np.ones_like(largest)
    score = np.full(len(x), -np.inf, dtype=np.float32)
    for scale in _SCALES:
        values = _levels(x, np.float32(scale) * largest, half)
        both = np.einsum("ij,ij->i", x, values)
        found = both / np.sqrt(np.einsum("ij,ij->i", values, values))
        better = found > score
        best[better], score[better] = scale, found[better]
    values = _levels(x, best * largest, half)
    both = np.einsum("ij,ij->i", x, values)
    squared = np.einsum("ij,ij->i", x, x)
    values *= (squared / np.where(both > 0, both, 1))[:, None]
    return values


def _levels(x: Floats, step: Floats, half: int) -> Floats:
    """The middles of the steps of each value, in steps: from ``0.5 - half`` to ``half - 0.5``."""
    values: Floats = x / step
    np.floor(values, out=values)
    np.clip(values, -half, half - 1, out=values)
    values += np.float32(0.5)
    return values
