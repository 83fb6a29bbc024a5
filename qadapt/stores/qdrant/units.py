"""What the engine counts in: bytes of a dimension, kilobytes of a segment."""

from __future__ import annotations

from qadapt.model import Vector

# Least bytes of one dimension, by datatype.
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
    """KB of some rows' originals, at least."""
    return rows * vector.dim * BYTES[vector.datatype] / 1024
