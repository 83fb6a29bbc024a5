"""Segments of product codes: engines only accept segments of equal length."""

from __future__ import annotations

from qadapt.model import Match, Quantization, Vector


def segments(quantization: Quantization, vector: Vector) -> int | Match:
    """The number of segments: as requested, or from the ratio (default 16).

    Returns:
        A ``Match`` that suggests a number, if the dimensions cannot be divided.
    """
    given = quantization.segments
    found = float(given) if given else 4 * vector.dim / float(quantization.ratio or 16)
    if found != int(found) or found < 1 or vector.dim % int(found):
        return invalid_segments(found, vector)
    return int(found)


def invalid_segments(segments: float, vector: Vector) -> Match:
    """The error for a number of segments that does not divide the dimensions."""
    fitting = [m for m in range(1, vector.dim + 1) if vector.dim % m == 0]
    nearest = min(fitting, key=lambda m: abs(m - segments))
    return Match.unsupported(
        f"{vector.dim} dimensions cannot be cut into {segments:g} equal segments",
        f"product:segments={nearest}",
    )
