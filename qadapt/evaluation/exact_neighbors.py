"""Exact nearest neighbors of a collection of any size: streamed, cached and resumable.

The collection is read once in pages. Memory holds one page, its scores with a block of queries, and
the best rows of each query. Progress is written to the cache folder every 30 seconds, so that an
interrupted computation can be resumed (with stores that can read from an id). A finished one is
reused until the collection changes.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.engines.exact import exact_row_scores, pair_scores, tolerance
from qadapt.engines.nearest import BLOCK, Nearest, objects
from qadapt.errors import InputError, UnsupportedError
from qadapt.evaluation.options import MEMORY
from qadapt.evaluation.recall import proof_of, recall_per_query, truth_of
from qadapt.evaluation.results import Truth
from qadapt.local.cache import cache_dir
from qadapt.local.state import write_state_file
from qadapt.model import Batch, Id, Metric, Vector
from qadapt.stores.base import OnProgress, Progress, Store

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Fetch = Callable[[Sequence[Id]], tuple[Sequence[Id], Floats]]

LARGEST_PAGE, SMALLEST_PAGE = 8_192, 64
SAVED_EVERY = 30.0  # seconds
PROBES = 64  # rows that are compared to detect a changed collection
FETCHED = 1_000  # rows per fetch request when hits are scored
SPARE = 2  # rows beyond k: the query itself, and the best row that is not a neighbor
FORMAT = "qadapt.truth/2"


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
    """

    ids: list[list[Id]]
    scores: list[list[float]]
    beyond: Doubles
    about: Truth
    queries: Floats
    vector: Vector
    fetch: Fetch
    sample: Batch | None = None

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


def exact_truth(
    store: Store,
    collection: str,
    name: str,
    vector: Vector,
    queries: Any,
    k: int,
    *,
    rows: int | None = None,
    memory: int = MEMORY,
    cached: bool = True,
    seed: int = 0,
    progress: OnProgress,
) -> GroundTruth:
    """Compute the ``k`` nearest rows of each query by exact scores.

    Args:
        queries: ``Queries``.
        rows: read a uniform sample of this many rows instead of all.
        memory: bytes for one page and its scores; more is slightly faster.
        cached: use and update the cache.

    Raises:
        InputError: ``memory`` is too small for a page.
    """
    count = store.count(collection)
    if rows is not None and rows < count:
        return _over_sample(store, collection, name, vector, queries, k, rows, count, seed)
    page = _page(vector.dim, len(queries), memory)
    place = _place(store, collection, name, vector, queries, k, count) if cached else None
    if place is not None:
        known = _cached(place, store, collection, name, vector, queries)
        if known is not None:
            return known
    begun = time.monotonic()
    best, done, before = _stream(
        store, collection, name, vector, queries, k, page, place, count, progress
    )
    seconds = before + time.monotonic() - begun
    fetch = stored_vectors(store, collection, name)
    known = _ground_truth(
        best, queries.vectors, queries.own, queries.source, k, vector, fetch, done, count, seconds
    )
    if place is not None:
        document = {
            "format": FORMAT,
            "about": known.about.to_dict(),
            "ids": known.ids,
            "scores": known.scores,
            "beyond": _finite(known.beyond.tolist()),
        }
        write_state_file(place / "truth.json", json.dumps(document))
        (place / "partial.json").unlink(missing_ok=True)
    return known


def _ground_truth(
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
) -> GroundTruth:
    """Ground truth from the best rows, without own rows.

    Args:
        rows, of: rows that were read, and rows of the collection.
        bound: meaning of a recall against a sample.
    """
    ids, scores, beyond = sorted_neighbors(best, own, k)
    unread = sample is not None and rows < of
    more = (np.isfinite(beyond) | (unread and of > k + 1)).tolist()
    about = Truth(
        rows, of, k, len(queries), source, seconds, exact=not unread, bound=bound,
        ground_truth=truth_of(vector), proof=proof_of(queries, k, more, of),
    )  # fmt: skip
    return GroundTruth(ids, scores, beyond, about, queries, vector, fetch, sample)


def sorted_neighbors(
    best: Nearest, own: Any, k: int
) -> tuple[list[list[Id]], list[list[float]], Doubles]:
    """Distinct ids and scores of each query without its own row, and the best score beyond them."""
    ids, scores, beyond = [], [], np.full(len(best.names), -np.inf)
    rows = zip(own, best.names.tolist(), best.scores.tolist(), strict=True)
    for at, (self_id, names, values) in enumerate(rows):
        kept: dict[Id, float] = {}
        for key, value in zip(names, values, strict=True):
            if key is not None and key != self_id:
                kept.setdefault(key, value)
        left = list(kept.items())
        ids.append([key for key, _ in left[:k]])
        scores.append([score for _, score in left[:k]])
        if len(left) > k:
            beyond[at] = left[k][1]
    return ids, scores, beyond


def _page(dim: int, queries: int, memory: int) -> int:
    each = 4 * (4 * dim + 6 * min(queries, BLOCK))
    page = memory // each
    if page < SMALLEST_PAGE:
        raise InputError(
            f"memory of {memory:,} bytes is too small for {SMALLEST_PAGE} rows and their scores",
            hint=f"pass at least {SMALLEST_PAGE * each:,} bytes: memory=, --memory",
        )
    return int(min(page, LARGEST_PAGE))


def _stream(
    store: Store,
    collection: str,
    name: str,
    vector: Vector,
    queries: Any,
    k: int,
    page: int,
    place: Path | None,
    count: int,
    progress: OnProgress,
) -> tuple[Nearest, int, float]:
    """Read all rows; returns the best ones, the number read, and seconds of an earlier attempt."""
    best, done, after, before = _resume(place, queries, vector, k)
    pages = _pages(store, collection, name, page, after)
    if pages is None:  # the store cannot read from an id
        best, done, before = Nearest(queries.vectors, vector.metric, k + SPARE), 0, 0.0
        pages = store.read(collection, vectors=[name], payload=False, page=page)
    begun = saved = time.monotonic()
    for batch in pages:
        best.add(batch.vectors[name], objects(batch.ids), batch.missing.get(name))
        done += len(batch)
        progress(Progress("computing ground truth", done, count))
        if place is not None and time.monotonic() - saved > SAVED_EVERY:
            saved = time.monotonic()
            _save(place, best, done, batch.ids[-1], before + saved - begun)
    return best, done, before


def _pages(
    store: Store, collection: str, name: str, page: int, after: Id | None
) -> Iterator[Batch] | None:
    if after is None:
        return store.read(collection, vectors=[name], payload=False, page=page)
    try:
        rest = store.read(collection, vectors=[name], payload=False, page=page, after=after)
        first = next(rest, None)
    except UnsupportedError:
        return None

    def all_pages() -> Iterator[Batch]:
        if first is not None:
            yield first
            yield from rest

    return all_pages()


# -- cache ---------------------------------------------------------------------------------------


def _place(
    store: Store, collection: str, name: str, vector: Vector, queries: Any, k: int, count: int
) -> Path:
    """The cache folder of a ground truth; its name is a digest of all inputs."""
    digest = hashlib.sha256()
    about = [store.address.identity, collection, name, vector.to_dict(), count, k]
    digest.update(json.dumps([*about, list(queries.own)], default=str).encode())
    digest.update(np.ascontiguousarray(queries.vectors).tobytes())
    head = next(store.read(collection, vectors=[name], payload=False, page=PROBES), None)
    if head is not None:
        digest.update(json.dumps(list(head.ids)).encode())
        digest.update(np.ascontiguousarray(head.vectors[name]).tobytes())
    return cache_dir() / "truth" / digest.hexdigest()[:32]


def _cached(
    place: Path, store: Store, collection: str, name: str, vector: Vector, queries: Any
) -> GroundTruth | None:
    """A cached ground truth, if its neighbors still exist and have the same scores."""
    document = _read(place / "truth.json")
    if document is None or len(document["ids"]) != len(queries):
        return None
    ids, scores = document["ids"], document["scores"]
    beyond = np.asarray([-np.inf if each is None else each for each in document["beyond"]])
    about = Truth.from_dict(document["about"]).replace(cached=True, source=queries.source)
    filled = [at for at, row in enumerate(ids) if row]
    drawn = np.random.default_rng(0).choice(len(filled), min(PROBES, len(filled)), replace=False)
    asked = {filled[at]: ids[filled[at]][-1] for at in drawn.tolist()}
    wanted = list(dict.fromkeys(asked.values()))
    batch = store.fetch(collection, wanted, vectors=[name], payload=False)
    rows = dict(zip(batch.ids, batch.vectors[name], strict=True))
    for at, key in asked.items():
        if key not in rows:
            return None
        score = exact_row_scores(queries.vectors[at], rows[key][None, :], vector.metric)[0]
        if not np.isclose(score, scores[at][-1], rtol=1e-3, atol=1e-4):
            return None
    fetch = stored_vectors(store, collection, name)
    return GroundTruth(ids, scores, beyond, about, queries.vectors, vector, fetch)


def _finite(scores: list[float]) -> list[float | None]:
    """Replace infinity, which JSON cannot represent, by null."""
    return [score if np.isfinite(score) else None for score in scores]


def _save(place: Path, best: Nearest, done: int, last: Id, seconds: float) -> None:
    document = {
        "format": FORMAT,
        "done": done,
        "after": last,
        "seconds": seconds,
        "ids": best.names.tolist(),
        "scores": [_finite(row) for row in best.scores.tolist()],
    }
    write_state_file(place / "partial.json", json.dumps(document))


def _resume(
    place: Path | None, queries: Any, vector: Vector, k: int
) -> tuple[Nearest, int, Id | None, float]:
    best = Nearest(queries.vectors, vector.metric, k + SPARE)
    document = None if place is None else _read(place / "partial.json")
    if document is None or len(document["ids"]) != len(queries):
        return best, 0, None, 0.0
    for at, (names, scores) in enumerate(zip(document["ids"], document["scores"], strict=True)):
        best.names[at] = names
        best.scores[at] = [-np.inf if each is None else each for each in scores]
    return best, int(document["done"]), document["after"], float(document["seconds"])


def _read(path: Path) -> dict[str, Any] | None:
    """Read a cache file; None if it is missing or damaged (it is then computed again)."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) and document.get("format") == FORMAT else None


# -- over a sample -------------------------------------------------------------------------------


def _over_sample(
    store: Store,
    collection: str,
    name: str,
    vector: Vector,
    queries: Any,
    k: int,
    rows: int,
    count: int,
    seed: int,
) -> GroundTruth:
    begun = time.monotonic()
    batch = store.sample(collection, rows, seed=seed, vectors=[name])
    best = _over(batch, name, vector, queries.vectors, k)
    bound = (
        f"{len(batch):,} of {count:,} rows were read: recall is a lower bound, extrapolated from "
        "the rows of the sample that a search missed"
    )
    return _ground_truth(
        best, queries.vectors, queries.own, queries.source, k, vector,
        stored_vectors(store, collection, name), len(batch), count, time.monotonic() - begun,
        bound=bound, sample=batch,
    )  # fmt: skip


def _over(batch: Batch, name: str, vector: Vector, queries: Floats, k: int) -> Nearest:
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
    best = _over(batch, "", vector, queries, k)
    asked = [None] * len(queries) if own is None else np.asarray(own).tolist()
    known = _ground_truth(
        best, queries, asked, "", k, vector, batch_vectors(batch, ""), len(rows), len(rows), 0.0
    )  # fmt: skip
    return known.recall([list(row[:k]) for row in found])


def over_rows(batch: Batch, name: str, vector: Vector, queries: Any, k: int) -> GroundTruth:
    """Compute exact neighbors among rows in memory."""
    begun = time.monotonic()
    best = _over(batch, name, vector, queries.vectors, k)
    seconds, rows = time.monotonic() - begun, len(batch)
    return _ground_truth(
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
    )
