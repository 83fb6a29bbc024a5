"""Vectors as a column of binary values, one per row, for SQL databases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt


def packed(
    rows: npt.NDArray[Any], missing: npt.NDArray[np.bool_] | None = None
) -> list[bytes | None]:
    """Convert an array ``(n, d)`` to one ``bytes`` per row; None for missing rows."""
    width, data = rows.shape[1] * rows.itemsize, np.ascontiguousarray(rows).tobytes()
    found: list[bytes | None] = [data[at : at + width] for at in range(0, len(data), width)]
    for row in np.flatnonzero(missing) if missing is not None else ():
        found[row] = None
    return found


def unpacked(
    cells: Sequence[bytes | None], dim: int, dtype: npt.DTypeLike = np.float32
) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """Convert a column to an array ``(n, dim)``, zeros for None, and the mask of missing rows."""
    missing = np.asarray([cell is None for cell in cells], dtype=np.bool_)
    empty = bytes(dim * np.dtype(dtype).itemsize)
    data = b"".join(empty if cell is None else cell for cell in cells)
    return np.frombuffer(data, dtype=dtype).reshape(len(cells), dim), missing
