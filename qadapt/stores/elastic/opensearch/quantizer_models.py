"""Models of Lucene's quantizers as the k-NN plugin 3.6 uses them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qadapt.engines.exact import unit
from qadapt.model import Kind, Metric, Quantization, Rescore, Vector
from qadapt.quantizers.base import Floats, Model
from qadapt.quantizers.models import QuantizerModels
from qadapt.stores.elastic.opensearch.schema import FEWEST_CANDIDATES
from qadapt.stores.elastic.quantizer_models import OptimizedScalar, SevenBits


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
