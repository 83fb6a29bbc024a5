"""Stores without finer codes refuse rescoring by them."""

from __future__ import annotations

from qadapt.model import Match, Quantization, Rescore
from qadapt.model.rescore import TIERS
from qadapt.stores.store_types import MappedQuantization


def refuse(quantization: Quantization, store: str) -> MappedQuantization | None:
    """An unsupported mapping of rescoring by a named tier; None for other quantizations."""
    rescore = quantization.rescore
    if rescore is None or rescore.source not in TIERS:
        return None
    by_originals = Rescore(rescore.oversampling, candidates=rescore.candidates)
    match = Match.unsupported(
        f"{store} keeps no {rescore.source} codes to rescore with",
        f"{by_originals.option}: rescoring with the original vectors",
    )
    return MappedQuantization(None, quantization, match)
