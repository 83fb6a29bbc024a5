"""Exact search in Python for engines without one: reads and scores all rows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from qadapt.engines.exact import RunningTop, exact_scores
from qadapt.model import Batch, Hits, Id, SearchProvenance, Vector
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
    top = RunningTop(k)
    ids: dict[int, Id] = {}  # of the rows in the current top k
    for batch in pages:
        first = top.seen
        scores = exact_scores(queries, batch.vectors[name], vector.metric)
        if name in batch.missing:
            scores[:, batch.missing[name]] = -np.inf
        top.add(scores)
        ids = {
            row: batch.ids[row - first] if row >= first else ids[row]
            for row in np.unique(top.rows).tolist()
        }
    found: list[list[tuple[Id, float]]] = [[] for _ in queries]
    for at, (rows, values) in enumerate(zip(top.rows, top.scores, strict=False)):
        pairs = zip(rows.tolist(), values.tolist(), strict=True)
        found[at] = [(ids[row], score) for row, score in pairs if score > -np.inf]
    return Hits.from_rows(found, k, how)
