"""Quantizer models of Chroma: it compares float32 vectors only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qadapt.model import Quantization, Vector
from qadapt.quantizers.base import Model
from qadapt.quantizers.models import QuantizerModels


class ChromaQuantizers(QuantizerModels):
    """No quantizer; ``none`` is predicted by the vectors themselves."""

    def quantizer(
        self, target: Quantization, vector: Vector, native: Mapping[str, Any]
    ) -> tuple[str, Model] | None:
        return None
