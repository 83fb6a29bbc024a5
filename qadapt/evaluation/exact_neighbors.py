"""Exact neighbors, and the comparison of hits with them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.engines.exact import pair_scores, tolerance
from qadapt.engines.nearest import Nearest, objects
from qadapt.evaluation.recall import proof_of, recall_per_query, truth_of
from qadapt.evaluation.results import Truth
from qadapt.model import Batch, Id, Metric, Vector
from qadapt.stores.base import Store

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Fetch = Callable[[Sequence[Id]], tuple[Sequence[Id], Floats]]

LARGEST_PAGE = 8_192  # rows scored at once
FETCHED = 1_000  # rows per fetch request when hits are scored
SPARE = 2  # rows beyond k: the query itself, and the best row that is not a neighbor


@dataclass(frozen=True)
class GroundTruth:
    """Exact neighbors, with which hits of a search are compared.

    Attributes:
        ids, scores: neighbors of each query, best first, without its own row; fewer than k in a
            small collection. Scores are exact (float64).
        beyond: exact score of the best row that is not a neighbor; -inf for none.
        about: how it was computed.
        queries: float32 ``(nq, d)``.
        vector: dimensions, metric and datatype of the vectors that scores are computed from.
        fetch: returns these vectors: the ids that exist, and float32 ``(n, d)``.
        sample: the rows that were read, if they are a sample.
        near: ids of the next best rows of each query after its neighbors, best first; empty if
            they were not asked for.
    """

    ids: list[list[Id]]
    scores: list[list[float]]
    beyond: Doubles
    about: Truth
    queries: Floats
    vector: Vector
    fetch: Fetch
    sample: Batch | None = None
    near: Sequence[Sequence[Id]] = ()

    def labelled(self, filter: str) -> GroundTruth:
        """The same ground truth, described as that of a filter or partition."""
        return replace(self, about=self.about.replace(filter=filter))

    @property
    def wanted(self) -> npt.NDArray[np.intp]:
        """Number of neighbors of each query, at most k; ``(nq,)``."""
        return np.asarray([len(row) for row in self.ids], dtype=np.intp)

    @property
    def last(self) -> Doubles:
        """Exact score of the last neighbor of each query, ``(nq,)``; NaN for none."""
        return np.asarray([row[-1] if row else np.nan for row in self.scores])

    @property
    def tied(self) -> npt.NDArray[np.bool_]:
        """Queries for which the last neighbor ties with a row beyond the neighbors."""
        last = self.last
        found: npt.NDArray[np.bool_] = self.beyond >= last - tolerance(last, self.vector.dim)
        return found

    def recall(self, found: Sequence[Sequence[Id]], first: int = 0) -> Doubles:
        """Recall@k of each query, float64 ``(n,)``.

        Args:
            found: ids of the hits of consecutive queries, at most k, without own rows.
            first: number of the first of these queries.
        """
        part = slice(first, first + len(found))
        scores = self.exact(found, first)
        dim = self.vector.dim
        return recall_per_query(found, scores, self.last[part], self.wanted[part], dim)

    def exact(
        self, found: Sequence[Sequence[Id]], first: int = 0, *, every: bool = False
    ) -> Doubles:
        """Exact scores of hits, float64 ``(n, k)``.

        NaN for a row that does not exist. Unless ``every`` is set, also NaN for a row that cannot
        be correct: without ties only neighbors are correct, and nothing has to be fetched.

        Args:
            found, first: as for ``recall``.
        """
        width = max([self.about.k, *map(len, found)])
        scores = np.full((len(found), width), np.nan)
        tied = self.tied
        open_: list[tuple[int, int, Id]] = []
        for at, row in enumerate(found):
            known = dict(zip(self.ids[first + at], self.scores[first + at], strict=True))
            for place, key in enumerate(row):
                if key in known:
                    scores[at, place] = known[key]
                elif every or tied[first + at]:
                    open_.append((at, place, key))
        for start in range(0, len(open_), FETCHED):
            self._score(open_[start : start + FETCHED], scores, first)
        return scores

    def _score(self, places: list[tuple[int, int, Id]], scores: Doubles, first: int) -> None:
        ids, rows = self.fetch(list(dict.fromkeys(key for _, _, key in places)))
        where = {key: at for at, key in enumerate(ids)}
        there = [(at, place, where[key]) for at, place, key in places if key in where]
        if there:
            at, place, of = np.asarray(there, dtype=np.intp).T
            values = pair_scores(self.queries, rows, at + first, of, self.vector.metric)
            scores[at, place] = values


def stored_vectors(store: Store, collection: str, name: str) -> Fetch:
    """A function that fetches stored vectors."""

    def fetch(ids: Sequence[Id]) -> tuple[Sequence[Id], Floats]:
        batch = store.fetch(collection, list(ids), vectors=[name], payload=False)
        gone = batch.missing.get(name)
        if gone is None:
            return batch.ids, batch.vectors[name]
        there = np.flatnonzero(~gone)
        return [batch.ids[at] for at in there.tolist()], batch.vectors[name][there]

    return fetch


def batch_vectors(batch: Batch, name: str) -> Fetch:
    """A function that returns vectors of rows in memory."""
    where = {key: at for at, key in enumerate(batch.ids)}
    if name in batch.missing:
        gone = batch.missing[name]
        where = {key: at for key, at in where.items() if not gone[at]}

    def fetch(ids: Sequence[Id]) -> tuple[Sequence[Id], Floats]:
        there = [key for key in ids if key in where]
        return there, batch.vectors[name][[where[key] for key in there]]

    return fetch


def ground_truth_of(
    best: Nearest,
    queries: Floats,
    own: Sequence[Id | None],
    source: str,
    k: int,
    vector: Vector,
    fetch: Fetch,
    rows: int,
    of: int,
    seconds: float,
    *,
    bound: str = "",
    sample: Batch | None = None,
    filter: str = "",
) -> GroundTruth:
    """Ground truth from the best rows, without own rows.

    Args:
        rows, of: rows that were read, and rows of the collection.
        bound: meaning of a recall against a sample.
        filter: the filter of the rows, as text.
    """
    ids, scores, beyond, near = sorted_neighbors(best, own, k)
    unread = sample is not None and rows < of
    more = (np.isfinite(beyond) | (unread and of > k + 1)).tolist()
    most = max(map(len, ids), default=0)
    about = Truth(
        rows, of, k, len(queries), source, seconds, exact=not unread, bound=bound,
        ground_truth=truth_of(vector), proof=proof_of(queries, k, more, most),
        filter=filter,
    )  # fmt: skip
    return GroundTruth(ids, scores, beyond, about, queries, vector, fetch, sample, near)


def sorted_neighbors(
    best: Nearest, own: Any, k: int
) -> tuple[list[list[Id]], list[list[float]], Doubles, list[list[Id]]]:
    """Distinct ids and scores of each query without its own row, the best score beyond them, and
    the ids of the rows of ``best`` that follow."""
    ids, scores, beyond, near = [], [], np.full(len(best.names), -np.inf), []
    rows = zip(own, best.names.tolist(), best.scores.tolist(), strict=True)
    for at, (self_id, names, values) in enumerate(rows):
        kept: dict[Id, float] = {}
        for key, value in zip(names, values, strict=True):
            if key is not None and key != self_id:
                kept.setdefault(key, value)
        left = list(kept.items())
        ids.append([key for key, _ in left[:k]])
        scores.append([score for _, score in left[:k]])
        near.append([key for key, _ in left[k:]])
        if len(left) > k:
            beyond[at] = left[k][1]
    return ids, scores, beyond, near


def nearest_in(batch: Batch, name: str, vector: Vector, queries: Floats, k: int) -> Nearest:
    """The nearest rows of each query in memory, ``k + SPARE`` of them."""
    best = Nearest(queries, vector.metric, k + SPARE)
    ids, gone = objects(batch.ids), batch.missing.get(name)
    for start in range(0, len(batch), LARGEST_PAGE):
        page = slice(start, start + LARGEST_PAGE)
        missing = None if gone is None else gone[page]
        best.add(batch.vectors[name][page], ids[page], missing)
    return best


def recall_in(
    rows: Floats,
    queries: Floats,
    metric: Metric,
    found: Sequence[Sequence[Any]],
    k: int,
    *,
    own: npt.ArrayLike | None = None,
) -> Doubles:
    """Recall@k of each query among rows in memory, float64 ``(nq,)``.

    Args:
        rows: float32 ``(n, d)``.
        queries: float32 ``(nq, d)``.
        found: row numbers of the hits of each query; other values do not count.
        own: row number of each query, which does not count; None if queries are not rows.
    """
    batch, vector = Batch(range(len(rows)), {"": rows}), Vector(rows.shape[1], metric)
    best = nearest_in(batch, "", vector, queries, k)
    asked = [None] * len(queries) if own is None else np.asarray(own).tolist()
    known = ground_truth_of(
        best, queries, asked, "", k, vector, batch_vectors(batch, ""), len(rows), len(rows), 0.0
    )  # fmt: skip
    return known.recall([list(row[:k]) for row in found])


def over_rows(
    batch: Batch, name: str, vector: Vector, queries: Any, k: int, *, filter: str = ""
) -> GroundTruth:
    """Compute exact neighbors among rows in memory.

    Args:
        filter: the filter that these rows match, as text.
    """
    begun = time.monotonic()
    best = nearest_in(batch, name, vector, queries.vectors, k)
    seconds, rows = time.monotonic() - begun, len(batch)
    return ground_truth_of(
        best,
        queries.vectors,
        queries.own,
        queries.source,
        k,
        vector,
        batch_vectors(batch, name),
        rows,
        rows,
        seconds,
        filter=filter,
    )
