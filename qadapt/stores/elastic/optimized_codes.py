"""Lucene's optimized scalar quantization in numpy: codes of 1 to 8 bits.

The mean of all rows is subtracted. Each vector then gets an interval of its own, which starts from
the best one for a normal distribution and is improved by coordinate descent on a loss that weighs
errors along the vector more than others. Queries are encoded in the same way, with a number of bits
of their own (docs/engines/opensearch.md#encoders).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from qadapt.engines.exact import unit
from qadapt.model import Metric
from qadapt.quantizers.base import Codes, Floats, Model

# Half widths of the interval with the least squared error for a standard normal distribution.
_WIDTHS = (0.798, 1.493, 2.051, 2.514, 2.916, 3.278, 3.611, 3.922)
_ACROSS = 0.1  # weight of errors that are orthogonal to the vector
_ROUNDS = 5

Doubles = npt.NDArray[np.float64]


class OptimizedCodes(Model):
    """Codes with an interval of each vector.

    Args:
        bits: of rows, 1 to 8.
        query_bits: of queries.
        unit_mean: scale the mean to length 1 before it is subtracted, as Lucene does for vectors of
            its similarity COSINE; Elasticsearch normalizes them and uses DOT_PRODUCT.
    """

    def __init__(
        self, metric: Metric, bits: int, query_bits: int, *, unit_mean: bool = False
    ) -> None:
        super().__init__(metric)
        self._bits, self._query_bits, self._unit_mean = bits, query_bits, unit_mean
        self._mean = np.zeros(0, dtype=np.float32)

    def _fit(self, rows: Floats) -> None:
        mean = rows.mean(axis=0, dtype=np.float64).astype(np.float32)
        self._mean = unit(mean[None])[0] if self._unit_mean else mean

    def _rows(self, rows: Floats) -> Codes:
        centred = rows - self._mean
        values = decoded(centred, self._bits)
        if self.metric is Metric.EUCLIDEAN:
            return Codes(values, -np.einsum("ij,ij->i", centred, centred))
        return Codes(values, rows @ self._mean)

    def _queries(self, queries: Floats) -> Floats:
        return self._asking(decoded(queries - self._mean, self._query_bits))


def decoded(rows: Floats, bits: int) -> Floats:
    """The values that the codes of centred rows ``(n, d)`` stand for."""
    x = rows.astype(np.float64)
    steps = (1 << bits) - 1
    low, high = _intervals(x, bits)
    found: Floats = _nearest(x, low, high, steps).astype(np.float32)
    return found


def _intervals(x: Doubles, bits: int) -> tuple[Doubles, Doubles]:
    """The interval of each row, as columns ``(n, 1)``."""
    steps, width = (1 << bits) - 1, _WIDTHS[bits - 1]
    least, most = x.min(axis=1, keepdims=True), x.max(axis=1, keepdims=True)
    mean, spread = x.mean(axis=1, keepdims=True), x.std(axis=1, keepdims=True)
    low = np.clip(mean - width * spread, least, most)
    high = np.clip(mean + width * spread, least, most)
    squared = np.einsum("ij,ij->i", x, x)[:, None]
    loss = _loss(x, low, high, steps, squared)
    going = (squared > 0) & (high > low)
    for _ in range(_ROUNDS):
        if not going.any():
            break
        found = _improved(x, low, high, steps, squared)
        better = going & np.isfinite(found[0]) & np.isfinite(found[1])
        new = _loss(x, found[0], found[1], steps, squared)
        better &= ~(new > loss)
        low, high = np.where(better, found[0], low), np.where(better, found[1], high)
        loss, going = np.where(better, new, loss), better
    return low, high


def _improved(
    x: Doubles, low: Doubles, high: Doubles, steps: int, squared: Doubles
) -> tuple[Doubles, Doubles]:
    """The interval with the least loss for the codes that the present interval gives."""
    width = np.where(high > low, high - low, 1)
    share = np.rint((np.clip(x, low, high) - low) * (steps / width)) / steps
    rest = 1 - share
    along = (1 - _ACROSS) / np.where(squared > 0, squared, 1)

    def total(values: Doubles) -> Doubles:
        found: Doubles = values.sum(axis=1, keepdims=True)
        return found

    low_x, high_x = total(x * rest), total(x * share)
    a = along * low_x**2 + _ACROSS * total(rest * rest)
    b = along * low_x * high_x + _ACROSS * total(rest * share)
    c = along * high_x**2 + _ACROSS * total(share * share)
    determinant = a * c - b * b
    with np.errstate(divide="ignore", invalid="ignore"):
        return (c * low_x - b * high_x) / determinant, (a * high_x - b * low_x) / determinant


def _loss(x: Doubles, low: Doubles, high: Doubles, steps: int, squared: Doubles) -> Doubles:
    with np.errstate(invalid="ignore"):
        error = x - _nearest(x, low, high, steps)
    along = (x * error).sum(axis=1, keepdims=True)
    own = (error * error).sum(axis=1, keepdims=True)
    found: Doubles = (1 - _ACROSS) * along**2 / np.where(squared > 0, squared, 1) + _ACROSS * own
    return found


def _nearest(x: Doubles, low: Doubles, high: Doubles, steps: int) -> Doubles:
    """The step of the interval that is nearest to each value."""
    width = np.where(high > low, high - low, 1)
    codes = np.rint((np.clip(x, low, np.maximum(low, high)) - low) * (steps / width))
    found: Doubles = low + codes * ((high - low) / steps)
    return found
