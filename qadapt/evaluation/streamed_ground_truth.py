"""Exact nearest neighbors of a collection of any size: streamed, cached and resumable.

The collection is read once in pages. Memory holds one page, its scores with a block of queries, and
the best rows of each query. Progress is written to the cache folder every 30 seconds, so that an
interrupted computation can be resumed (with stores that can read from an id). A finished one is
reused until the collection changes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from qadapt.engines.exact import Doubles, exact_row_scores
from qadapt.engines.nearest import BLOCK, Nearest, Objects, objects
from qadapt.errors import InputError, UnsupportedError
from qadapt.evaluation.cache_keys import PROBES, cache_key, change_count
from qadapt.evaluation.exact_neighbors import (
    LARGEST_PAGE,
    SPARE,
    GroundTruth,
    ground_truth_of,
    nearest_in,
    stored_vectors,
)
from qadapt.evaluation.options import MEMORY
from qadapt.evaluation.results import Truth
from qadapt.evaluation.subsets import Subset, sample_rows
from qadapt.local.cache import cache_dir
from qadapt.local.state import write_state_file
from qadapt.model import Batch, Id, Vector
from qadapt.model.filters import is_common
from qadapt.stores.base import OnProgress, Progress, ReadRequest, Store

Keep = Callable[[Batch, Collection[Id]], None]

SMALLEST_PAGE = 64
SAVED_EVERY = 30.0  # seconds
FORMAT = "qadapt.truth/4"


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
    counted: bool = False,
    seed: int = 0,
    filter: Any = None,
    keep: Keep | None = None,
    near: int = 0,
    progress: OnProgress,
) -> GroundTruth:
    """Compute the ``k`` nearest rows of each query by exact scores.

    Args:
        queries: ``Queries``.
        rows: read a uniform sample of this many rows instead of all.
        memory: bytes for one page and its scores; more is slightly faster.
        cached: use and update the cache.
        counted: use the cache only if the engine counted no change since.
        filter: compute neighbors among the rows that match only.
        keep: called with each page of rows that is read, and the ids of the best rows so far: none
            if the result is cached, and only the rest if an interrupted computation is resumed.
        near: also find this many rows after the neighbors of each query.

    Raises:
        InputError: ``memory`` is too small for a page.
    """
    subset = Subset.of(collection, filter)
    count = store.count(collection, filter)
    if rows is not None and rows < count:
        return _over_sample(store, subset, name, vector, queries, k, rows, count, seed)
    # An object of a database client has no stable text.
    cached = cached and (filter is None or isinstance(filter, str) or is_common(filter))
    page = _page(vector.dim, len(queries), memory)
    changes = change_count(store, collection)
    place = None
    if cached and (changes is not None or not counted):
        label = [subset.label] if subset.label else []
        key = cache_key(store, collection, name, vector, queries, count, k, *label)
        place = cache_dir() / "truth" / key
        same = changes if counted else ""
        known = _cached(place, store, collection, name, vector, queries, same)
        if known is not None and (known.near or not near):
            return known
    begun = time.monotonic()
    best, done, before = _stream(
        store, subset, name, vector, queries, k + near, page,
        None if counted else place, count, keep, progress,
    )  # fmt: skip
    seconds = before + time.monotonic() - begun
    fetch = stored_vectors(store, collection, name)
    known = ground_truth_of(
        best,
        queries.vectors,
        queries.own,
        queries.source,
        k,
        vector,
        fetch,
        done,
        count,
        seconds,
        filter=subset.label,
    )
    if not near:
        known = replace(known, near=())
    if place is not None:
        document = {
            "format": FORMAT,
            "changes": changes,
            "about": known.about.to_dict(),
            "ids": known.ids,
            "scores": known.scores,
            "beyond": _finite(known.beyond.tolist()),
            "near": known.near,
        }
        write_state_file(place / "truth.json", json.dumps(document))
        (place / "partial.json").unlink(missing_ok=True)
    return known


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
    subset: Subset,
    name: str,
    vector: Vector,
    queries: Any,
    k: int,
    page: int,
    place: Path | None,
    count: int,
    keep: Keep | None,
    progress: OnProgress,
) -> tuple[Nearest, int, float]:
    """Read all rows; returns the best ones, the number read, and seconds of an earlier attempt."""
    best, done, after, before = _resume(place, queries, vector, k)
    pages = _pages(store, subset, name, page, after)
    if pages is None:  # the store cannot read from an id
        best, done, before = Nearest(queries.vectors, vector.metric, k + SPARE), 0, 0.0
        pages = store.read(subset.collection, _request(subset, name, page))
    begun = saved = time.monotonic()
    last = after
    state = (best.names.copy(), best.scores.copy())  # an interrupted `add` leaves a mixture
    try:
        for batch in pages:
            best.add(batch.vectors[name], objects(batch.ids), batch.missing.get(name))
            state = (best.names.copy(), best.scores.copy())
            done, last = done + len(batch), batch.ids[-1]
            if keep is not None:
                keep(batch, set(best.names.ravel().tolist()))
            progress(Progress("computing ground truth", done, count))
            if place is not None and time.monotonic() - saved > SAVED_EVERY:
                saved = time.monotonic()
                _save(place, state, done, last, before + saved - begun)
    except KeyboardInterrupt:
        if place is not None and last is not None:
            _save(place, state, done, last, before + time.monotonic() - begun)
        raise
    return best, done, before


def _request(subset: Subset, name: str, page: int, after: Id | None = None) -> ReadRequest:
    """A read of the rows of a subset: the only place where ground truth is restricted to rows."""
    return ReadRequest(vectors=[name], payload=False, page=page, after=after, filter=subset.filter)


def _pages(
    store: Store, subset: Subset, name: str, page: int, after: Id | None
) -> Iterator[Batch] | None:
    if after is None:
        return store.read(subset.collection, _request(subset, name, page))
    try:
        rest = store.read(subset.collection, _request(subset, name, page, after))
        first = next(rest, None)
    except UnsupportedError:
        return None

    def all_pages() -> Iterator[Batch]:
        if first is not None:
            yield first
            yield from rest

    return all_pages()


# -- cache ---------------------------------------------------------------------------------------


def _cached(
    place: Path, store: Store, collection: str, name: str, vector: Vector, queries: Any,
    changes: str | None,
) -> GroundTruth | None:  # fmt: skip
    """A cached ground truth, if its neighbors still exist and have the same scores.

    Args:
        changes: the engine's count of changes, which must be the same; empty for any.
    """
    document = _read(place / "truth.json")
    if document is None or len(document["ids"]) != len(queries):
        return None
    if changes and document.get("changes") != changes:
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
    return GroundTruth(
        ids, scores, beyond, about, queries.vectors, vector, fetch, near=document["near"]
    )


def _finite(scores: list[float]) -> list[float | None]:
    """Replace infinity, which JSON cannot represent, by null."""
    return [score if np.isfinite(score) else None for score in scores]


def _save(place: Path, state: tuple[Objects, Doubles], done: int, last: Id, seconds: float) -> None:
    names, scores = state
    document = {
        "format": FORMAT,
        "done": done,
        "after": last,
        "seconds": seconds,
        "ids": names.tolist(),
        "scores": [_finite(row) for row in scores.tolist()],
    }
    write_state_file(place / "partial.json", json.dumps(document))


def _resume(
    place: Path | None, queries: Any, vector: Vector, k: int
) -> tuple[Nearest, int, Id | None, float]:
    best = Nearest(queries.vectors, vector.metric, k + SPARE)
    document = None if place is None else _read(place / "partial.json")
    if document is None or [len(row) for row in document["ids"]] != [best.k] * len(queries):
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
    subset: Subset,
    name: str,
    vector: Vector,
    queries: Any,
    k: int,
    rows: int,
    count: int,
    seed: int,
) -> GroundTruth:
    begun = time.monotonic()
    batch = sample_rows(store, subset, rows, seed=seed, vectors=[name])
    best = nearest_in(batch, name, vector, queries.vectors, k)
    bound = (
        f"{len(batch):,} of {count:,} rows were read: recall is a lower bound, extrapolated from "
        "the rows of the sample that a search missed"
    )
    return ground_truth_of(
        best, queries.vectors, queries.own, queries.source, k, vector,
        stored_vectors(store, subset.collection, name), len(batch), count,
        time.monotonic() - begun, bound=bound, sample=batch, filter=subset.label,
    )  # fmt: skip
