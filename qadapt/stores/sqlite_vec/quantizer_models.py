"""The quantizers of sqlite-vec in numpy: sign bits, and int8 codes as qadapt writes them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.model import Kind, Quantization, Vector
from qadapt.quantizers import Codes, Model, QuantizerModels
from qadapt.quantizers.shared import SignBits
from qadapt.stores.sqlite_vec import mapping

Floats = npt.NDArray[np.float32]


class Int8(Model):
    """int8 codes of rows and queries: scaled by the largest value of each under cosine, and by that
    of all rows under the Euclidean distance."""

    def _fit(self, rows: Floats) -> None:
        self._scale = mapping.scale_of(rows) or 1.0 / mapping.STEPS

    def _rows(self, rows: Floats) -> Codes:
        return self._stand_for(mapping.decoded(rows, self.metric, self._scale))

    def _queries(self, queries: Floats) -> Floats:
        return self._asking(mapping.decoded(queries, self.metric, self._scale))


class SqliteVecQuantizers(QuantizerModels):
    """Sign bits and int8 codes."""

    checks_file = Path(__file__).with_name("quantizer_checks.json")

    def quantizer(
        self, target: Quantization, vector: Vector, native: Mapping[str, Any]
    ) -> tuple[str, Model] | None:
        if target.kind is Kind.BINARY:
            return "sign bits", SignBits(vector.metric)
        if target.kind is Kind.SCALAR:
            return "int8 codes", Int8(vector.metric)
        return None
