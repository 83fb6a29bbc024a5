"""Quantizations in Chroma's configuration: there are none outside of Chroma Cloud.

docs/engines/chroma.md#quantization
"""

from __future__ import annotations

from qadapt.model import Kind, Match, Quantization, Vector
from qadapt.stores import codes_only, rescore_tiers
from qadapt.stores.leading_dims import by_leading_dims
from qadapt.stores.store_types import USE_CLIENT_CODES, MappedQuantization

NAME = "chroma"
NONE = Quantization(Kind.NONE)
REASON = (
    "a Chroma folder or server has HNSW of float32 vectors only: it refuses or drops `quantize`, "
    "and builds HNSW if `spann` is requested"
)
# Kinds that client-side codes have, with their bits.
CODES = ((Kind.BINARY, 1), (Kind.SCALAR, 4), (Kind.SCALAR, 8))


@by_leading_dims
def to_native(quantization: Quantization, vector: Vector) -> MappedQuantization:
    """No quantization, or an unsupported one with what would do."""
    refused = rescore_tiers.refuse(quantization, NAME) or codes_only.refuse(
        quantization, NAME, "omit originals"
    )
    if refused is not None:
        return refused
    if quantization.kind is not Kind.NONE:
        return MappedQuantization(
            None, quantization, Match.unsupported(REASON, *_instead(quantization))
        )
    target = NONE.replace(rescore=quantization.rescore)
    return MappedQuantization({}, target, Match.of())


def _instead(quantization: Quantization) -> tuple[str, ...]:
    if (quantization.kind, quantization.bits) in CODES:
        return (USE_CLIENT_CODES,)
    return (f"scalar or binary: {USE_CLIENT_CODES}",)
