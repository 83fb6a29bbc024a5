"""Sign bits of stores that have one bit per dimension, for rows and for queries."""

from __future__ import annotations

from qadapt.model import Kind, Match, Quantization

CLIENT = "client-side codes: --accept client"


def refuse(asked: Quantization, store: str) -> Match | None:
    """Why a store cannot have codes of a quantization ``binary``; None if it can.

    Args:
        store: the name of the engine, for messages.
    """
    if asked.kind is not Kind.BINARY:
        return None
    if (asked.bits or 1) != 1:
        return Match.unsupported(
            f"{store} has sign bits only, not {asked.bits:g} bits", "binary", CLIENT
        )
    if asked.query_bits not in (None, 1):
        return Match.unsupported(
            f"{store} compares sign bits with sign bits of the query only", "binary", CLIENT
        )
    return None
