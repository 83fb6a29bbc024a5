"""Exact nearest neighbours of a collection of any size: streamed, kept, and taken up again.

The collection is read once in pages; memory holds a page, its scores with a block of queries,
and the best rows of each query. Every half minute what was found is written to the cache folder,
so that a computation that was cut off goes on where it was (with stores that can read on from an
id), and one that was finished is not done twice while the collection stays as it is.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.engines.exact import RunningTop, exact_row_scores, exact_scores
from qadapt.errors import InputError, UnsupportedError
from qadapt.evaluation.results import Truth
from qadapt.local.cache import cache_dir
from qadapt.local.state import write_whole
from qadapt.model import Batch, Id, Vector
from qadapt.stores.base import OnProgress, Progress, Store

Floats = npt.NDArray[np.float32]
Objects = npt.NDArray[np.object_]

MEMORY = 512 * 2**20  # bytes that a page and its scores may take
QUERY_BLOCK = 256
LARGEST_PAGE, SMALLEST_PAGE = 8_192, 64
SAVED_EVERY = 30.0  # seconds
PROBES = 64  # rows that tell whether a collection is still what it was
FORMAT = "qadapt.truth/1"


@dataclass(frozen=True)
class Known:
    """Exact neighbours.

    Attributes:
        ids, scores: of each query, best first, own row left out; fewer than k in a small
            collection.
        about: over what, and how it was done.
        sample: the rows that were read, where they are a sample.
    """

    ids: list[list[Id]]
    scores: list[list[float]]
    about: Truth
    sample: Batch | None = None


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
) -> Known:
    """The ``k`` rows of a collection that score best by float32 originals, for each query.

    Args:
        queries: ``Queries``.
        rows: read only so many, drawn evenly, instead of all.
        memory: bytes for a page and its scores; more makes it a little faster.
        cached: use what an earlier call found, and keep what this one finds.

    Raises:
        InputError: a memory that holds no page.
    """
    count = store.count(collection)
    if rows is not None and rows < count:
        return _over_sample(store, collection, name, vector, queries, k, rows, count, seed)
    page = _page(vector.dim, len(queries), memory)
    place = _place(store, collection, name, vector, queries, k, count) if cached else None
    if place is not None:
        known = _kept(place, store, collection, name, vector, queries)
        if known is not None:
            return known
    begun = time.monotonic()
    best, done, before = _stream(
        store, collection, name, vector, queries, k, page, place, count, progress
    )
    ids, scores = best.listed(queries.own, k)
    seconds = before + time.monotonic() - begun
    about = Truth(done, count, k, len(queries), queries.source, seconds)
    known = Known(ids, scores, about)
    if place is not None:
        document = {"format": FORMAT, "about": about.to_dict(), "ids": ids, "scores": scores}
        write_whole(place / "truth.json", json.dumps(document))
        (place / "partial.json").unlink(missing_ok=True)
    return known


def _page(dim: int, queries: int, memory: int) -> int:
    each = 4 * (3 * dim + 6 * min(queries, QUERY_BLOCK))
    page = memory // each
    if page < SMALLEST_PAGE:
        raise InputError(
            f"{memory:,} bytes do not hold {SMALLEST_PAGE} rows and their scores",
            hint=f"give at least {SMALLEST_PAGE * each:,}",
        )
    return int(min(page, LARGEST_PAGE))


class _Best:
    """The best rows of each query so far, by id."""

    def __init__(self, queries: int, width: int) -> None:
        self.width = width
        self.ids: Objects = np.empty((queries, 0), dtype=object)
        self.scores: Floats = np.empty((queries, 0), dtype=np.float32)

    def add(self, queries: Floats, rows: Floats, ids: Objects, vector: Vector, gone: Any) -> None:
        """Take in a page; rows marked in ``gone`` have no such vector."""
        tops = []
        for start in range(0, len(queries), QUERY_BLOCK):
            scores = exact_scores(queries[start : start + QUERY_BLOCK], rows, vector.metric)
            if gone is not None:
                scores[:, gone] = -np.inf
            top = RunningTop(self.width)
            top.add(scores)
            tops.append(top)
        scores = np.concatenate([self.scores, *[np.concatenate([t.scores for t in tops])]], axis=1)
        names = np.concatenate([self.ids, ids[np.concatenate([t.rows for t in tops])]], axis=1)
        order = np.argsort(-scores, axis=1, kind="stable")[:, : self.width]
        self.scores = np.take_along_axis(scores, order, axis=1)
        self.ids = np.take_along_axis(names, order, axis=1)

    def listed(self, own: Any, k: int) -> tuple[list[list[Id]], list[list[float]]]:
        """Ids and scores of each query without its own row and without what is no vector."""
        ids, scores = [], []
        rows = zip(own, self.ids.tolist(), self.scores.tolist(), strict=True)
        for self_id, names, values in rows:
            pairs = zip(names, values, strict=True)
            kept = [pair for pair in pairs if pair[1] > -np.inf and pair[0] != self_id][:k]
            ids.append([key for key, _ in kept])
            scores.append([score for _, score in kept])
        return ids, scores


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
) -> tuple[_Best, int, float]:
    """Read all rows; returns the best, how many were read, and seconds of an earlier attempt."""
    best, done, after, before = _taken_up(place, len(queries), k + 1)
    pages = _pages(store, collection, name, page, after)
    if pages is None:  # a store that cannot read on from an id
        best, done, before = _Best(len(queries), k + 1), 0, 0.0
        pages = store.read(collection, vectors=[name], payload=False, page=page)
    begun = saved = time.monotonic()
    for batch in pages:
        best.add(
            queries.vectors, batch.vectors[name], _objects(batch.ids), vector,
            batch.missing.get(name),
        )  # fmt: skip
        done += len(batch)
        progress(Progress("computing the exact truth", done, count))
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


def _objects(ids: Any) -> Objects:
    found = np.empty(len(ids), dtype=object)
    found[:] = ids
    return found


# -- kept ----------------------------------------------------------------------------------------


def _place(
    store: Store, collection: str, name: str, vector: Vector, queries: Any, k: int, count: int
) -> Path:
    """The cache folder of one truth: another one as soon as anything that it rests on differs."""
    digest = hashlib.sha256()
    about = [store.address.identity, collection, name, vector.to_dict(), count, k]
    digest.update(json.dumps([*about, list(queries.own)], default=str).encode())
    digest.update(np.ascontiguousarray(queries.vectors).tobytes())
    head = next(store.read(collection, vectors=[name], payload=False, page=PROBES), None)
    if head is not None:
        digest.update(json.dumps(list(head.ids)).encode())
        digest.update(np.ascontiguousarray(head.vectors[name]).tobytes())
    return cache_dir() / "truth" / digest.hexdigest()[:32]


def _kept(
    place: Path, store: Store, collection: str, name: str, vector: Vector, queries: Any
) -> Known | None:
    """A truth of an earlier call, if its neighbours are still there and score the same."""
    document = _read(place / "truth.json")
    if document is None or len(document["ids"]) != len(queries):
        return None
    ids, scores = document["ids"], document["scores"]
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
    return Known(ids, scores, about)


def _save(place: Path, best: _Best, done: int, last: Id, seconds: float) -> None:
    there = best.scores > -np.inf
    document = {
        "format": FORMAT,
        "done": done,
        "after": last,
        "seconds": seconds,
        "ids": best.ids.tolist(),
        "scores": np.where(there, best.scores, np.float32(-3e38)).tolist(),
    }
    write_whole(place / "partial.json", json.dumps(document))


def _taken_up(place: Path | None, queries: int, width: int) -> tuple[_Best, int, Id | None, float]:
    best = _Best(queries, width)
    document = None if place is None else _read(place / "partial.json")
    if document is None or len(document["ids"]) != queries:
        return best, 0, None, 0.0
    best.ids = np.empty((queries, len(document["ids"][0])), dtype=object)
    for at, row in enumerate(document["ids"]):
        best.ids[at] = row
    scores = np.asarray(document["scores"], dtype=np.float32)
    best.scores = np.where(scores <= np.float32(-3e38), -np.inf, scores).astype(np.float32)
    return best, int(document["done"]), document["after"], float(document["seconds"])


def _read(path: Path) -> dict[str, Any] | None:
    """A file of ours; None where it is not there, or not whole (a cache may be made again)."""
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
) -> Known:
    begun = time.monotonic()
    batch = store.sample(collection, rows, seed=seed, vectors=[name])
    known = over_rows(batch, name, vector, queries, k)
    about = Truth(
        len(batch), count, k, len(queries), queries.source, time.monotonic() - begun,
        exact=len(batch) >= count,
        bound=f"{len(batch):,} of {count:,} rows were read: rows that a search missed are counted "
        f"among these and scaled up, which bounds recall from below",
    )  # fmt: skip
    return Known(known.ids, known.scores, about, batch)


def over_rows(batch: Batch, name: str, vector: Vector, queries: Any, k: int) -> Known:
    """Exact neighbours among rows that are at hand."""
    begun = time.monotonic()
    best = _Best(len(queries), k + 1)
    ids, gone = _objects(batch.ids), batch.missing.get(name)
    for start in range(0, len(batch), LARGEST_PAGE):
        page = slice(start, start + LARGEST_PAGE)
        missing = None if gone is None else gone[page]
        best.add(queries.vectors, batch.vectors[name][page], ids[page], vector, missing)
    found, scores = best.listed(queries.own, k)
    seconds = time.monotonic() - begun
    about = Truth(len(batch), len(batch), k, len(queries), queries.source, seconds)
    return Known(found, scores, about)
