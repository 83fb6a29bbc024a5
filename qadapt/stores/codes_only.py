"""Stores that always keep the original vectors refuse ``originals="none"``."""

from __future__ import annotations

from qadapt.model import Match, Quantization
from qadapt.stores.store_types import MappedQuantization


def refuse(quantization: Quantization, store: str, *instead: str) -> MappedQuantization | None:
    """An unsupported mapping of codes without original vectors; None for other quantizations.

    Args:
        instead: what would save space in this store.
    """
    if quantization.originals != "none":
        return None
    reason = f"{store} keeps the original vectors of codes: originals=none is not available"
    return MappedQuantization(None, quantization, Match.unsupported(reason, *instead))
