"""Batches of rows in the order that a caller asked for, and payloads of hits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from qadapt.model import Batch, Hits, Id


def in_order(batch: Batch, ids: Sequence[Id]) -> Batch:
    """The rows of a batch in the order of ``ids``; ids that it does not contain are omitted."""
    at = {key: row for row, key in enumerate(batch.ids)}
    rows = [at[key] for key in ids if key in at]
    if rows == list(range(len(batch))):
        return batch
    chosen = np.asarray(rows, dtype=np.intp)
    return Batch(
        [batch.ids[row] for row in rows],
        {name: array[chosen] for name, array in batch.vectors.items()},
        None if batch.payloads is None else [batch.payloads[row] for row in rows],
        {name: mask[chosen] for name, mask in batch.missing.items()},
    )


def with_payloads(hits: Hits, fetch: Callable[[Sequence[Id]], Batch]) -> Hits:
    """The hits, with the payload of each row.

    Args:
        fetch: returns rows with their payloads.
    """
    unique = [key for key in dict.fromkeys(hits.ids.ravel().tolist()) if key is not None]
    batch = fetch(unique)
    known = dict(zip(batch.ids, batch.payloads or ({},) * len(batch), strict=True))
    payloads = [
        [None if key is None else dict(known.get(key, {})) for key in row]
        for row in hits.ids.tolist()
    ]
    return Hits(hits.ids, hits.scores, hits.how, payloads)
