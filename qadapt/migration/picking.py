"""Some rows of a batch."""

from __future__ import annotations

import numpy as np

from qadapt.model import Batch


def pick(batch: Batch, rows: list[int]) -> Batch:
    """Some rows of a batch."""
    payloads = batch.payloads
    return Batch(
        [batch.ids[row] for row in rows],
        {name: array[rows] for name, array in batch.vectors.items()},
        None if payloads is None else [payloads[row] for row in rows],
        {name: mask[rows] for name, mask in batch.missing.items()},
        {name: each.pick(np.asarray(rows, dtype=np.intp)) for name, each in batch.extras.items()},
    )
