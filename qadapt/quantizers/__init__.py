"""The base of what a store's quantizer does to scores, in numpy: no database is touched."""

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
