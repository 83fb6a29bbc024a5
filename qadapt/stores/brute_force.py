"""An exact search where the engine has none: all rows read, and scored here."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from qadapt.engines.exact import RunningTop, exact_scores
from qadapt.model import Batch, Hits, Id, SearchProvenance, Vector
from qadapt.model.data import Floats


def exact_search(
    pages: Iterator[Batch], name: str, vector: Vector, queries: Floats, k: int, note: str
) -> Hits:
    """The best rows of all, by the floats that were read, in a search that qadapt made.

    Args:
        pages, name, vector, queries, k: as ``best``.
        note: why it was done so, for ``SearchProvenance``.
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
    """The best rows of all, by the vectors that were read; memory is flat in rows.

    Args:
        pages: all rows, with the vector ``name``; rows without it are found by no query.
        queries: float32 (nq, d).
        how: who searched, by what.
    """
    top = RunningTop(k)
    ids: dict[int, Id] = {}  # of the rows that are among the best so far
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
