"""The quantizers of pgvector in numpy: sign bits, and float16 by ``Exact``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.model import Kind, Quantization, Rescore, Vector
from qadapt.quantizers import Codes, Model, QuantizerModels

Floats = npt.NDArray[np.float32]


class SignBits(Model):
    """``binary_quantize``: one bit per dimension, set for values above 0; compared by Hamming
    distance, which ignores the lengths of vectors."""

    def _rows(self, rows: Floats) -> Codes:
        return Codes(np.where(rows > 0, 1, -1).astype(np.float32))

    def _queries(self, queries: Floats) -> Floats:
        return np.where(queries > 0, 1, -1).astype(np.float32)


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
