"""Exact search in Python for engines without one: reads and scores all rows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from qadapt.engines.nearest import Nearest, objects
from qadapt.model import Batch, Hits, SearchProvenance, Vector
from qadapt.model.arrays import Floats


def exact_search(
    pages: Iterator[Batch], name: str, vector: Vector, queries: Floats, k: int, note: str
) -> Hits:
    """Find the nearest rows by the vectors that were read, in a search run by qadapt.

    Args:
        pages, name, vector, queries, k: as in ``best``.
        note: the reason for this search, for ``SearchProvenance``.
    """
    how = SearchProvenance("qadapt", "none", 1.0, 0, "none", "exact", "store default", (note,))
    return best(pages, name, vector, queries, k, how)


def best(
    pages: Iterator[Batch],
    name: str,
    vector: Vector,
    queries: Floats,
    k: int,
    how: SearchProvenance,
) -> Hits:
    """Find the nearest rows by the vectors that were read, in constant memory.

    Args:
        pages: all rows, with the vector ``name``; rows without it are never returned.
        queries: float32 (nq, d).
        how: the provenance of the search.
    """
    top = Nearest(queries, vector.metric, k)
    for batch in pages:
        top.add(batch.vectors[name], objects(batch.ids), batch.missing.get(name))
    with np.errstate(over="ignore"):
        scores = top.scores.astype(np.float32)
    found = [
        [(key, score) for key, score in zip(ids, row, strict=True) if key is not None]
        for ids, row in zip(top.names.tolist(), scores.tolist(), strict=True)
    ]
    return Hits.from_rows(found, k, how)
