"""Units of the engine: bytes per dimension, kilobytes per segment."""

from __future__ import annotations

from qadapt.model import Vector

# Minimum bytes per dimension, by datatype.
BYTES = {
    "float32": 4.0,
    "float16": 2.0,
    "uint8": 1.0,
    "turbo4": 0.5,
    "turbo8": 1.0,
    "turbo16": 2.0,
}
IN_GROWING_SEGMENTS = ("binary", "turbo")


def kilobytes(rows: int, vector: Vector) -> float:
    """A lower bound for the KB of the original vectors of some rows."""
    return rows * vector.dim * BYTES[vector.datatype] / 1024
