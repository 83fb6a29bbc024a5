"""The quantizers of Elasticsearch.

From 9.4 on, all codes have an interval for each vector: int8 codes have 7 bits in a byte, int4
codes 4. bbq codes have 1 in all versions, compared with 4 bits of the query. Before 9.4, int8 codes
have one interval for a segment, and so have int4 codes, whose interval is not modeled.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qadapt.model import Kind, Quantization, Rescore, Vector
from qadapt.quantizers import Model, QuantizerModels
from qadapt.stores.elastic.elasticsearch import mapping
from qadapt.stores.elastic.elasticsearch.search import LEAST_CANDIDATES
from qadapt.stores.elastic.quantizer_models import OptimizedScalar, SevenBits

LEAST_QUANTILE = 0.9


class ElasticsearchQuantizers(QuantizerModels):
    """int8, int4 and bbq."""

    checks_file = Path(__file__).with_name("quantizer_checks.json")

    def quantizer(
        self, target: Quantization, vector: Vector, native: Mapping[str, Any]
    ) -> tuple[str, Model] | None:
        if target.kind is Kind.BINARY and (target.bits or 1) == 1:
            return "bbq", OptimizedScalar(vector.metric, 1, 4)
        if native.get("interval") == "segment":
            if target.bits == 4:
                return None
            quantile = max(LEAST_QUANTILE, 1 - 1 / (vector.dim + 1))
            return "int8 before 9.4", SevenBits(vector.metric, quantile)
        if target.kind is Kind.SCALAR and target.bits == 4:
            return "int4", OptimizedScalar(vector.metric, 4)
        if target.kind is Kind.SCALAR:
            return "int8", OptimizedScalar(vector.metric, 7)
        return None

    def candidates(
        self, target: Quantization, native: Mapping[str, Any], k: int, rescore: Rescore | None
    ) -> tuple[int, Rescore | None]:
        """Before 9.0, the oversampling is that of num_candidates."""
        count, by = super().candidates(target, native, k, rescore)
        if by is not None and by.on and native.get("rescored") == "num_candidates":
            count = count * max(LEAST_CANDIDATES, k) // k
        return count, by

    def default_rescore(self, target: Quantization) -> Rescore:
        factor = mapping.DEFAULT_OVERSAMPLING.get(mapping.codes_of(target) or "")
        return Rescore(factor) if factor else super().default_rescore(target)
