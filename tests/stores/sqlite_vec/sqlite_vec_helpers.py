"""Sizes of the test collection, and vectors as clients of sqlite-vec send them."""

from __future__ import annotations

from typing import Any

import numpy as np

DIM, ROWS = 48, 1500


def blob(vector: Any) -> bytes:
    """A vector as little-endian float32."""
    return np.asarray(vector, dtype="<f4").tobytes()
