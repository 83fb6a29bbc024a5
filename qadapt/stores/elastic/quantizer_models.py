"""The quantizer of Lucene 10 in numpy: codes with an interval for each vector.

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
from qadapt.quantizers.base import Floats

# Half of the best interval for a normal distribution, by the number of bits.
_HALF = {1: 0.798, 2: 1.493, 3: 2.051, 4: 2.514, 5: 2.916, 6: 3.278, 7: 3.611, 8: 3.922}
_ACROSS = 0.1  # weight of the error that is not along the vector
_ROUNDS = 5
_BLOCK = 4_096
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
