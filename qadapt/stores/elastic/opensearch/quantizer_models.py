"""Models of Lucene's quantizers as the k-NN plugin 3.6 uses them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from qadapt.engines.exact import unit
from qadapt.model import Kind, Metric, Quantization, Rescore, Vector
from qadapt.quantizers.base import Codes, Floats, Model, rounded
from qadapt.quantizers.models import QuantizerModels
from qadapt.stores.elastic.opensearch.schema import FEWEST_CANDIDATES
from qadapt.stores.elastic.quantizer_models import OptimizedScalar

STEPS = 127
GROUP = 20  # rows whose values are sorted together to find an interval
SAMPLE = 25_000


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
        ends = [_ends(rows[at : at + GROUP], self._quantile) for at in range(0, len(rows), GROUP)]
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


class UnitMean(OptimizedScalar):
    """Codes of vectors that Lucene compares by COSINE: the mean has length 1 as well."""

    def _fit(self, rows: Floats) -> None:
        super()._fit(rows)
        self._mean = unit(self._mean[None])[0]


def _optimized(metric: Metric, bits: int, query_bits: int) -> Model:
    made = UnitMean if metric is Metric.COSINE else OptimizedScalar
    return made(metric, bits, query_bits)


class OpenSearchQuantizers(QuantizerModels):
    """Quantizers of the engine lucene."""

    checks_file = Path(__file__).with_name("quantizer_checks.json")

    def quantizer(
        self, target: Quantization, vector: Vector, native: Mapping[str, Any]
    ) -> tuple[str, Model] | None:
        if target.kind is Kind.SCALAR and target.bits == 7:
            tail = "" if target.quantile in (None, 1) else " with a quantile"
            return f"scalar of 7 bits{tail}", SevenBits(vector.metric, target.quantile)
        if target.kind is Kind.SCALAR:
            bits = int(target.bits or 4)
            return f"scalar of {bits} bits", _optimized(vector.metric, bits, bits)
        if target.kind is Kind.BINARY and target.query_bits == 4:
            bits = int(target.bits or 1)
            return f"binary of {bits} bits", _optimized(vector.metric, bits, 4)
        return None

    def candidates(
        self, target: Quantization, native: Mapping[str, Any], k: int, rescore: Rescore | None
    ) -> tuple[int, Rescore | None]:
        """A rescored search has at least 100 candidates."""
        count, by = super().candidates(target, native, k, rescore)
        if by is not None and by.on:
            count = max(count, FEWEST_CANDIDATES)
        return count, by

    def default_rescore(self, target: Quantization) -> Rescore:
        return Rescore(2) if target.kind is Kind.BINARY else Rescore(source="off")
