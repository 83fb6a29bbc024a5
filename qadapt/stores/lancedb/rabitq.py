"""The codes of IVF_RQ, and the order in which a search finds rows.

The rules are those of the engine's source (docs/engines/lancedb.md#codes): RaBitQ, with two
differences that cost recall. Tables of 8 bits hold the query for the sign bits, also if codes have
more bits. And the other bits of a row are not read if its distance by sign bits is too large.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qadapt.model import Metric
from qadapt.quantizers.base import Codes, Floats, Model
from qadapt.quantizers.centroids import assign
from qadapt.quantizers.rabitq import list_centres
from qadapt.quantizers.rotation import gaussian
from qadapt.stores.lancedb.cost_model import PARTITION

Ints = npt.NDArray[np.intp]

SAMPLE = 256  # rows for each centroid
GROUP, LEVELS = 4, 255  # dimensions of a table, and the largest value of its entries
BOUND = 1.9  # standard deviations that a distance by sign bits may be too large
# Numbers of steps between zero and the largest value: at most the codes and 10 more, and at least
# this share of them, by the number of bits besides the sign.
BEYOND, SHARES, TRIES = 10, (0, 0.15, 0.20, 0.52, 0.59, 0.71, 0.75, 0.77, 0.81), 40


@dataclass(frozen=True)
class _Estimate:
    """The distances of rows by codes ``f``: ``<q, f> * scale + add``, and a part of the query."""

    scale: Floats
    add: Floats

    @classmethod
    def of(cls, rest: Floats, centre: Floats, codes: Floats, metric: Metric) -> _Estimate:
        """Of the rests of rows from their centroid, in l2 or dot."""
        squared, product = _dots(rest, rest), _dots(rest, codes)
        ratio = np.divide(squared, product, out=np.zeros_like(squared), where=product != 0)
        if metric is Metric.DOT:
            return cls(-ratio, np.zeros(len(rest), dtype=np.float32))
        return cls(-2 * ratio, (squared + 2 * ratio * _dots(centre, codes)).astype(np.float32))


@dataclass(frozen=True, kw_only=True)
class RqCodes(Codes):
    """Codes of rows; ``matrix`` ``(n, d)`` has the codes of all bits but for the signs.

    Attributes:
        groups: ``(n, d / 4)``, the entry of each row in each table.
        bits: besides the sign.
        by_signs, by_all: the estimates of the distance.
        error: ``(n,)``, for a query at distance 1 of the centroid, in standard deviations.
        part: ``(n,)``, the partition.
        centres: of the partitions.
        metric: dot, or another one, which is compared by l2.
    """

    groups: Ints
    bits: int
    by_signs: _Estimate
    by_all: _Estimate
    error: Floats
    part: Ints
    centres: Floats
    metric: Metric

    def scores(self, queries: Floats) -> Floats:
        return np.stack([self._scores(query) for query in queries])

    def _scores(self, query: Floats) -> Floats:
        by_centre = ((query - self.centres) ** 2).sum(axis=1)
        own = -self.centres @ query if self.metric is Metric.DOT else by_centre
        positive = self._by_tables(query)
        half = query.sum() / 2
        rough = (positive - half) * self.by_signs.scale + self.by_signs.add + own[self.part]
        if not self.bits:
            return np.asarray(-rough, dtype=np.float32)
        product = positive * 2**self.bits + self.matrix @ query - (2 ** (self.bits + 1) - 1) * half
        near = product * self.by_all.scale + self.by_all.add + own[self.part]
        least = rough - BOUND * self.error * np.sqrt(by_centre)[self.part]
        return np.asarray(-np.maximum(near, least), dtype=np.float32)

    def _by_tables(self, query: Floats) -> Floats:
        """The sum of the values of the query whose sign bit is set, ``(n,)``."""
        bits = np.arange(1 << GROUP)[:, None] >> np.arange(GROUP) & 1
        table = query.reshape(-1, GROUP) @ bits.T.astype(np.float32)
        low, high = table.min(), table.max()
        step = (high - low) / LEVELS or np.float32(1)
        entries = np.rint((table - low) / step).ravel()
        found: Floats = entries[self.groups].sum(axis=1) * step + len(table) * low
        return found


def partitions(rows: int) -> int:
    """The number of partitions that the engine chooses."""
    return max(1, rows // PARTITION["ivf"])


def centres_of(rows: Floats, metric: Metric) -> Floats:
    """The centroids of the partitions: of a sample, and of length 1 under dot."""
    count = partitions(len(rows))
    if len(rows) > SAMPLE * count:
        drawn = np.random.default_rng(0).choice(len(rows), SAMPLE * count, replace=False)
        rows = rows[drawn]
    return list_centres(rows, count, Metric.DOT if metric is Metric.DOT else Metric.EUCLIDEAN)


class IvfRq(Model):
    """IVF_RQ with 1 to 9 bits.

    Args:
        bits: with the sign.
    """

    def __init__(self, metric: Metric, dim: int, bits: int) -> None:
        super().__init__(metric)
        self._matrix = gaussian(dim)
        self._bits = bits - 1

    def _fit(self, rows: Floats) -> None:
        self._centres = centres_of(rows, self.metric) @ self._matrix

    def _rows(self, rows: Floats) -> RqCodes:
        spun = rows @ self._matrix
        part = assign(spun, self._centres)
        centre = self._centres[part]
        rest = spun - centre
        signs = np.where(np.signbit(rest), np.float32(-0.5), np.float32(0.5))
        by_signs = _Estimate.of(rest, centre, signs, self.metric)
        codes = _levels(rest, self._bits)
        full = np.copysign(codes + np.float32(0.5), rest)
        squared, product = _dots(rest, rest), _dots(rest, signs)
        dim = rest.shape[1]
        spread = squared * dim / 4 / np.maximum(product, np.finfo(np.float32).tiny) ** 2 - 1
        error = np.sqrt(squared * np.maximum(spread, 0) / max(dim - 1, 1))
        return RqCodes(
            # Codes of negative values count from the other end.
            np.where(np.signbit(rest), 2**self._bits - 1 - codes, codes).astype(np.float32),
            groups=_entries(rest),
            bits=self._bits,
            by_signs=by_signs,
            by_all=_Estimate.of(rest, centre, full, self.metric),
            error=error if self.metric is Metric.DOT else 2 * error,
            part=part,
            centres=self._centres,
            metric=self.metric,
        )

    def _queries(self, queries: Floats) -> Floats:
        found: Floats = queries @ self._matrix
        return found


def _dots(x: Floats, y: Floats) -> Floats:
    found: Floats = np.einsum("ij,ij->i", x, y)
    return found


def _entries(rest: Floats) -> Ints:
    """The entry of each row in the table of each group of dimensions, of all tables in a row."""
    groups = (~np.signbit(rest)).reshape(len(rest), -1, GROUP)
    found: Ints = (groups << np.arange(GROUP)).sum(axis=2)
    return found + (np.arange(found.shape[1]) << GROUP)


def _levels(rest: Floats, bits: int) -> Floats:
    """The codes of the sizes of values, 0 to ``2^bits - 1``: steps whose codes have the direction
    of the vector best."""
    most = np.float32(2**bits - 1)
    largest = np.abs(rest).max(axis=1, keepdims=True)
    sizes = (np.abs(rest) / np.where(largest > 0, largest, 1)).astype(np.float32)
    best: Floats = np.zeros(sizes.shape, dtype=np.float32)
    score: Floats = np.full((len(sizes), 1), -np.inf, dtype=np.float32)
    for share in np.linspace(SHARES[bits], 1, TRIES if bits else 1, dtype=np.float32):
        codes: Floats = np.minimum(np.floor(sizes * share * (most + BEYOND)), most)
        middle: Floats = codes + np.float32(0.5)
        found = (_dots(sizes, middle) / np.sqrt(_dots(middle, middle)))[:, None]
        better = found > score
        best, score = np.where(better, codes, best), np.where(better, found, score)
    return best
