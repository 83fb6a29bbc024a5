"""The quantizers of Lucene in numpy: codes with an interval for each vector, and an older one.

A vector minus the mean of its segment is rounded to equal steps of an interval that is chosen for
this vector, from its own values. The interval starts at the best one for a normal distribution and
is improved by least squares, with more weight on the error along the vector. Queries are rounded in
the same way, to as many bits or, for sign bits, to 4. Products with the mean are exact.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from qadapt.model import Metric
from qadapt.quantizers import Codes, Model
from qadapt.quantizers.base import Floats, rounded

# Half of the best interval for a normal distribution, by the number of bits.
_HALF = {1: 0.798, 2: 1.493, 3: 2.051, 4: 2.514, 5: 2.916, 6: 3.278, 7: 3.611, 8: 3.922}
_ACROSS = 0.1  # weight of the error that is not along the vector
_ROUNDS = 5
_BLOCK = 4_096
# One interval of a segment.
STEPS = 127
GROUP = 20  # rows whose values are sorted together to find an interval
SAMPLE = 25_000
Wide = npt.NDArray[np.float64]


class OptimizedScalar(Model):
    """Codes of some bits per dimension, compared with queries of as many or more bits.

    Args:
        bits: of the codes.
        query_bits: of the query.
    """

    def __init__(self, metric: Metric, bits: int, query_bits: int | None = None) -> None:
        super().__init__(metric)
        self._bits = bits
        self._query_bits = query_bits or bits
        self._mean = np.zeros(0, dtype=np.float32)

    def _fit(self, rows: Floats) -> None:
        self._mean = rows.mean(axis=0, dtype=np.float64).astype(np.float32)

    def _rows(self, rows: Floats) -> Codes:
        centered = rows - self._mean
        values = stand_for(centered, self._bits)
        if self.metric is Metric.EUCLIDEAN:
            squares = np.einsum("ij,ij->i", centered, centered)
            return Codes(values, (-squares).astype(np.float32))
        return Codes(values, (centered @ self._mean).astype(np.float32))

    def _queries(self, queries: Floats) -> Floats:
        return self._asking(stand_for(queries - self._mean, self._query_bits))


def stand_for(rows: Floats, bits: int) -> Floats:
    """The values that the codes of rows stand for."""
    blocks = [_block(rows[at : at + _BLOCK], bits) for at in range(0, len(rows), _BLOCK)]
    return np.concatenate(blocks) if blocks else rows


def _block(rows: Floats, bits: int) -> Floats:
    steps = (1 << bits) - 1
    wide = rows.astype(np.float64)
    low, high = _interval(wide, bits, steps)
    return _rounded(wide, low, high, steps).astype(np.float32)


def _rounded(rows: Wide, low: Wide, high: Wide, steps: int) -> Wide:
    """Rows rounded to the steps of their intervals."""
    step = (high - low) / steps
    safe = np.where(step > 0, step, 1)[:, None]
    clipped = np.clip(rows, low[:, None], high[:, None])
    codes = np.floor((clipped - low[:, None]) / safe + 0.5)
    found: Wide = low[:, None] + step[:, None] * codes
    return found


def _interval(rows: Wide, bits: int, steps: int) -> tuple[Wide, Wide]:
    """The ends of each row's interval, improved while the loss falls."""
    mean, deviation = rows.mean(axis=1), rows.std(axis=1)
    smallest, largest = rows.min(axis=1), rows.max(axis=1)
    low = np.clip(mean - _HALF[bits] * deviation, smallest, largest)
    high = np.clip(mean + _HALF[bits] * deviation, smallest, largest)
    squares = np.einsum("ij,ij->i", rows, rows)
    loss = _loss(rows, low, high, steps, squares)
    active = squares > 0
    for _ in range(_ROUNDS):
        at = np.flatnonzero(active)
        if not len(at):
            break
        new_low, new_high, solved = _solved(rows[at], low[at], high[at], steps, squares[at])
        moved = (np.abs(new_low - low[at]) > 1e-8) | (np.abs(new_high - high[at]) > 1e-8)
        better = _loss(rows[at], new_low, new_high, steps, squares[at])
        kept = solved & moved & (better <= loss[at])
        active[at[~kept]] = False
        chosen = at[kept]
        low[chosen], high[chosen] = new_low[kept], new_high[kept]
        loss[chosen] = better[kept]
    return low, high


def _solved(
    rows: Wide, low: Wide, high: Wide, steps: int, squares: Wide
) -> tuple[Wide, Wide, npt.NDArray[np.bool_]]:
    """The best ends for the codes of the current interval, by least squares."""
    width = np.where(high > low, high - low, 1)[:, None]
    clipped = np.clip(rows, low[:, None], high[:, None])
    share = np.floor((clipped - low[:, None]) / width * steps + 0.5) / steps
    rest = 1 - share
    daa, dab, dbb = (rest * rest).sum(1), (rest * share).sum(1), (share * share).sum(1)
    dax, dbx = (rows * rest).sum(1), (rows * share).sum(1)
    scale = (1 - _ACROSS) / squares
    m0 = scale * dax * dax + _ACROSS * daa
    m1 = scale * dax * dbx + _ACROSS * dab
    m2 = scale * dbx * dbx + _ACROSS * dbb
    determinant = m0 * m2 - m1 * m1
    solved = determinant != 0
    safe = np.where(solved, determinant, 1)
    return (m2 * dax - m1 * dbx) / safe, (m0 * dbx - m1 * dax) / safe, solved


def _loss(rows: Wide, low: Wide, high: Wide, steps: int, squares: Wide) -> Wide:
    """Squared error, of which the part along the vector counts more."""
    error = rows - _rounded(rows, low, high, steps)
    along = np.einsum("ij,ij->i", rows, error)
    whole = np.einsum("ij,ij->i", error, error)
    safe = np.where(squares > 0, squares, 1)
    found: Wide = (1 - _ACROSS) * along * along / safe + _ACROSS * whole
    return found


class SevenBits(Model):
    """7 bits over one interval of a segment, for rows and queries.

    A correction of each row makes up for a part of the error of its own codes.

    Args:
        quantile: share of the values that the interval covers; None for all of them.
    """

    def __init__(self, metric: Metric, quantile: float | None = None) -> None:
        super().__init__(metric)
        self._quantile = quantile
        self._low = self._high = np.float32(0)

    def _fit(self, rows: Floats) -> None:
        if len(rows) > SAMPLE:
            rows = rows[np.random.default_rng(0).choice(len(rows), SAMPLE, replace=False)]
        if self._quantile is None:
            self._low, self._high = rows.min(), rows.max()
            return
        # Lucene ignores the rest of the rows behind the last whole group.
        whole = max(GROUP, len(rows) - len(rows) % GROUP)
        starts = range(0, min(whole, len(rows)), GROUP)
        ends = [_ends(rows[at : at + GROUP], self._quantile) for at in starts]
        low, high = zip(*ends, strict=True)
        self._low, self._high = np.float32(np.mean(low)), np.float32(np.mean(high))

    def _steps(self, x: Floats) -> Floats:
        """Decoded codes, from the lower end of the interval."""
        step = (self._high - self._low) / np.float32(STEPS) or np.float32(1)
        codes = rounded((np.clip(x, self._low, self._high) - self._low) / step)
        found: Floats = (codes * step).astype(np.float32)
        return found

    def _rows(self, rows: Floats) -> Codes:
        values = self._steps(rows)
        if self.metric is Metric.EUCLIDEAN:
            return Codes(values, -np.einsum("ij,ij->i", values, values))
        error = (rows - self._low) - values
        correction = self._low * rows.sum(axis=1) + np.einsum("ij,ij->i", error, values)
        return Codes(values, correction.astype(np.float32))

    def _queries(self, queries: Floats) -> Floats:
        return self._asking(self._steps(queries))


def _ends(rows: Floats, quantile: float) -> tuple[np.float32, np.float32]:
    """The interval that covers a share of the values."""
    values = np.sort(rows, axis=None)
    cut = int(values.size * (1 - quantile) / 2 + 0.5)
    return values[min(cut, values.size - 1)], values[max(values.size - cut - 1, 0)]
