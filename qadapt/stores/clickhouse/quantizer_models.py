"""The quantizers of ClickHouse in numpy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.engines.exact import unit
from qadapt.model import Kind, Quantization, Rescore, Vector
from qadapt.quantizers import Codes, Model, QuantizerModels
from qadapt.quantizers.base import Symmetric
from qadapt.stores.clickhouse import mapping

Floats = npt.NDArray[np.float32]


class SignBits(Model):
    """An index of b1: one bit per dimension, compared by Hamming distance."""

    def _rows(self, rows: Floats) -> Codes:
        return Codes(np.where(rows > 0, 1, -1).astype(np.float32))

    def _queries(self, queries: Floats) -> Floats:
        return np.where(queries > 0, 1, -1).astype(np.float32)


class UnitInt8(Symmetric):
    """An index of i8: signed 8 bits of vectors at length 1."""

    def _values(self, x: Floats) -> Floats:
        found: Floats = unit(np.rint(unit(x) * np.float32(127)))
        return found


class ClickHouseQuantizers(QuantizerModels):
    """Codes of indexes."""

    checks_file = Path(__file__).with_name("quantizer_checks.json")

    def quantizer(
        self, target: Quantization, vector: Vector, native: Mapping[str, Any]
    ) -> tuple[str, Model] | None:
        if native.get("using") == mapping.INDEX:
            if target.kind is Kind.BINARY:
                return "sign bits", SignBits(vector.metric)
            if target.kind is Kind.SCALAR:
                return "i8 codes", UnitInt8(vector.metric)
        return None

    def default_rescore(self, target: Quantization) -> Rescore:
        codec = target.kind in (Kind.ROTATIONAL, Kind.PRODUCT)
        return Rescore(1.0) if codec else Rescore(source="off")
