"""Models of the quantizers of LanceDB."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qadapt.model import Quantization, Vector
from qadapt.quantizers import Model, QuantizerModels


class LanceDbQuantizers(QuantizerModels):
    """Quantizers of the indexes, with all partitions searched."""

    def quantizer(
        self, target: Quantization, vector: Vector, native: Mapping[str, Any]
    ) -> tuple[str, Model] | None:
        return None
