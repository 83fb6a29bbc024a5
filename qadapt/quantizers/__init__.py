"""Base classes of quantizer models: scores of a store's codes, computed in numpy."""

from qadapt.quantizers.base import Codes, Exact, Model, Symmetric
from qadapt.quantizers.models import Check, ModelMatch, OneQuantizer, QuantizerModels

__all__ = [
    "Check",
    "Codes",
    "Exact",
    "Model",
    "ModelMatch",
    "OneQuantizer",
    "QuantizerModels",
    "Symmetric",
]
