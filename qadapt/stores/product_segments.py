"""Product codes cut the dimensions into equal segments; the engines take no others."""

from __future__ import annotations

from qadapt.model import Match, Quantization, Vector


def segments(quantization: Quantization, vector: Vector) -> int | Match:
    """How many segments: as asked for, or of the ratio, 16 where nobody says.

    Returns:
        A ``Match`` that says which number is near, where they do not divide the dimensions.
    """
    given = quantization.segments
    found = float(given) if given else 4 * vector.dim / float(quantization.ratio or 16)
    if found != int(found) or found < 1 or vector.dim % int(found):
        return invalid_segments(found, vector)
    return int(found)


def invalid_segments(segments: float, vector: Vector) -> Match:
    """So many segments do not divide the dimensions."""
    fitting = [m for m in range(1, vector.dim + 1) if vector.dim % m == 0]
    nearest = min(fitting, key=lambda m: abs(m - segments))
    return Match.unsupported(
        f"the {vector.dim} dimensions cannot be cut into {segments:g} equal segments",
        f"product:segments={nearest}",
    )
