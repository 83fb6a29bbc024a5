"""The quantizers of pgvector in numpy: sign bits, and float16 by ``Exact``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qadapt.model import Kind, Quantization, Rescore, Vector
from qadapt.quantizers import Model, QuantizerModels
from qadapt.quantizers.shared import SignBits


class PgvectorQuantizers(QuantizerModels):
    """Sign bits."""

    checks_file = Path(__file__).with_name("quantizer_checks.json")

    def quantizer(
        self, target: Quantization, vector: Vector, native: Mapping[str, Any]
    ) -> tuple[str, Model] | None:
        if target.kind is not Kind.BINARY:
            return None
        return "sign bits", SignBits(vector.metric)

    def default_rescore(self, target: Quantization) -> Rescore:
        return Rescore(source="off")
