"""Sizes of the test collection, and tables as clients of lancedb make them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

DIM, ROWS = 64, 2000


def lists(rows: Any) -> Any:
    """Vectors as an Arrow array."""
    import pyarrow as pa

    cells = np.ascontiguousarray(rows, dtype=np.float32)
    return pa.FixedSizeListArray.from_arrays(pa.array(cells.reshape(-1)), cells.shape[1])


def table(columns: Mapping[str, Any]) -> Any:
    """An Arrow table; arrays of two dimensions become lists of a fixed size."""
    import pyarrow as pa

    return pa.table(
        {
            name: lists(each) if isinstance(each, np.ndarray) and each.ndim == 2 else each
            for name, each in columns.items()
        }
    )


def nearest(rows: Any, query: Any, k: int) -> list[int]:
    """The best rows by cosine."""
    wide = np.asarray(rows, dtype=np.float64)
    scores = wide @ query / np.linalg.norm(wide, axis=1)
    found: list[int] = np.argsort(-scores, kind="stable")[:k].tolist()
    return found
