"""The base of quantizer models: numpy models of the scores that an engine's codes give."""

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
