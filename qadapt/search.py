"""Searching: by the store where it can, by us where it cannot, and the answer says who did what.

native search with the engine's own rescoring       where it can do what was asked
native search, over-fetched, rescored by us         where it can only search
our code index, originals fetched from the store    where the codes are ours
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.engines.exact import exact_row_scores
from qadapt.errors import IntegrityError, NotFoundError
from qadapt.local import codes
from qadapt.local.state import VectorSettings
from qadapt.model import Hits, How, Id, Metric, Rescore, Vector
from qadapt.model.queries import scaled
from qadapt.stores.base import Search, Store

Floats = npt.NDArray[np.float32]


def search(
    store: Store,
    collection: str,
    queries: Floats,
    wanted: Search,
    vector: Vector,
    settings: VectorSettings,
) -> Hits:
    """Search a batch of checked queries.

    Args:
        queries: float32 ``(nq, d)``, as ``check_queries`` accepts them.
        wanted: what the call asked for; ``wanted.rescore`` None means that it did not say.
        vector: dimensions, metric and datatype of ``wanted.vector``.
        settings: what is remembered of that vector.

    Returns:
        Hits of shape ``(nq, k)``. Exact cosines are from -1 to 1, whatever the store reports.
        Scores of vectors that are stored in fewer bits than float32 are approximate.
    """
    hits = _searched(store, collection, scaled(queries, vector), wanted, vector, settings)
    return _told(hits, vector)


def _told(hits: Hits, vector: Vector) -> Hits:
    """Hits whose scores are what ``how`` says they are."""
    how, scores = hits.how, hits.scores
    if how.scores != "exact":
        return hits
    if vector.metric is Metric.COSINE:
        scores = np.clip(scores, -1, 1)
    if vector.datatype != "float32":
        note = f"scores are of the vectors as stored ({vector.datatype}), not of the originals"
        how = how.replace(scores="approximate", notes=(*how.notes, note))
    return Hits(hits.ids, scores, how, hits.payloads)


def _searched(
    store: Store,
    collection: str,
    queries: Floats,
    wanted: Search,
    vector: Vector,
    settings: VectorSettings,
) -> Hits:
    """Who searches, by what the store can do and what is remembered."""
    chosen_by = "call" if wanted.rescore is not None else "collection"
    rescore = wanted.rescore if wanted.rescore is not None else settings.rescore
    if wanted.exact:
        return store.search(collection, queries, wanted)
    if settings.client is not None:
        if rescore is None:
            chosen_by, rescore = "store default", codes.default_rescore(settings.client)
        hits = _by_our_codes(store, collection, queries, wanted, rescore, vector)
        return _with_how(hits, rescore_from=chosen_by)
    can = store.capabilities()
    if not can.native("native-quantization"):
        options = {**wanted.options, "ignore_quantization": True}
        return store.search(collection, queries, _changed(wanted, rescore=None, options=options))
    if rescore is None and not can.native("native-rescore"):
        chosen_by = "store default"
        rescore = store.default_rescore(collection, wanted.vector)
    if rescore is None or not rescore.on or _native(store, collection, wanted, rescore):
        hits = store.search(collection, queries, _changed(wanted, rescore=rescore))
        return _with_how(hits, rescore_from="store default" if rescore is None else chosen_by)
    hits = _rescored_by_us(store, collection, queries, wanted, rescore, vector)
    return _with_how(hits, rescore_from=chosen_by)


def _native(store: Store, collection: str, wanted: Search, rescore: Rescore) -> bool:
    """Whether the store does this rescoring itself (a source it lacks is its own error)."""
    return rescore.source != "originals" or store.rescores_itself(collection, wanted.vector)


def _changed(search: Search, **changes: Any) -> Search:
    import dataclasses

    return dataclasses.replace(search, **changes)


def _with_how(hits: Hits, **changes: Any) -> Hits:
    return Hits(hits.ids, hits.scores, hits.how.replace(**changes), hits.payloads)


def _rescored_by_us(
    store: Store,
    collection: str,
    queries: Floats,
    wanted: Search,
    rescore: Rescore,
    vector: Vector,
) -> Hits:
    count = rescore.candidates(wanted.k)
    notes: tuple[str, ...] = ()
    if count > store.max_k:
        notes = (
            f"{store.name} returns at most {store.max_k:,}: so many candidates, not {count:,}",
        )
        count = store.max_k
    off = _changed(wanted, k=count, rescore=Rescore(source="off"), with_payload=False)
    found = store.search(collection, queries, off)
    originals = _originals(store, collection, wanted.vector, found.ids)
    ids = np.full((len(queries), wanted.k), None, dtype=object)
    scores = np.full((len(queries), wanted.k), np.nan, dtype=np.float32)
    for at, query in enumerate(queries):
        row = [key for key in found.ids[at] if key is not None]
        if not row:
            continue
        exact = exact_row_scores(query, np.stack([originals[key] for key in row]), vector.metric)
        best = np.argsort(-exact, kind="stable")[: wanted.k]
        ids[at, : len(best)] = [row[place] for place in best]
        scores[at, : len(best)] = exact[best]
    how = How(
        searcher="store",
        rescorer="qadapt",
        oversampling=rescore.oversampling,
        candidates=count,
        rescored_on="originals",
        scores="exact",
        notes=(*found.how.notes, *notes),
    )
    return Hits(ids, scores, how, _payloads(store, collection, ids, wanted))


def _originals(
    store: Store, collection: str, name: str, ids: npt.NDArray[np.object_]
) -> dict[Id, Floats]:
    """The stored floats of all ids that occur, fetched once."""
    unique = list(dict.fromkeys(key for key in ids.ravel().tolist() if key is not None))
    batch = store.fetch(collection, unique, vectors=[name], payload=False)
    if len(batch) != len(unique):
        gone = sorted(set(map(str, unique)) - set(map(str, batch.ids)))
        raise NotFoundError(
            f"{len(gone)} rows went away between search and rescoring: {', '.join(gone[:5])}",
            hint="search again",
        )
    return dict(zip(batch.ids, batch.vectors[name], strict=True))


def _by_our_codes(
    store: Store,
    collection: str,
    queries: Floats,
    wanted: Search,
    rescore: Rescore,
    vector: Vector,
) -> Hits:
    allowed = None
    if wanted.filter is not None:
        pages = store.read(collection, vectors=(), payload=False, filter=wanted.filter)
        allowed = [key for page in pages for key in page.ids]
    with codes.open_index(store, collection, wanted.vector) as index:
        rows, expected = len(index), store.count(collection)
        if rows != expected:
            raise IntegrityError(
                f"qadapt's codes of {collection!r} hold {rows:,} rows, the collection "
                f"{expected:,}: somebody else wrote to it",
                hint="build the codes again with `qadapt apply`, or search with the store alone: "
                "`qadapt undo`",
            )

        def fetch(ids: list[Id]) -> dict[Id, Floats]:
            array = np.empty(len(ids), dtype=object)
            array[:] = ids
            return _originals(store, collection, wanted.vector, array)

        found = index.search(
            queries,
            wanted.k,
            rescore=rescore.oversampling,
            source=rescore.source,
            fetch=fetch if rescore.source == "originals" else None,
            ids=allowed,
        )
    rescored = found.rescored_on != "nothing"
    how = How(
        searcher="qadapt",
        rescorer="qadapt" if rescored else "none",
        oversampling=rescore.oversampling,
        candidates=found.candidates if rescored else 0,
        rescored_on={"nothing": "none"}.get(found.rescored_on, found.rescored_on),
        scores="exact" if found.scores_kind == "exact" else "approximate",
        notes=(f"first stage: {found.searcher}", *_without_effect(wanted)),
    )
    return Hits(found.ids, found.scores, how, _payloads(store, collection, found.ids, wanted))


def _without_effect(wanted: Search) -> tuple[str, ...]:
    if not wanted.options:
        return ()
    named = ", ".join(wanted.options)
    return (f"the store's search options have no effect on qadapt's own codes: {named}",)


def _payloads(
    store: Store, collection: str, ids: npt.NDArray[np.object_], wanted: Search
) -> list[list[dict[str, Any] | None]] | None:
    if not wanted.with_payload:
        return None
    unique = list(dict.fromkeys(key for key in ids.ravel().tolist() if key is not None))
    batch = store.fetch(collection, unique, vectors=(), payload=True)
    known = dict(zip(batch.ids, batch.payloads or ({},) * len(batch), strict=True))
    return [
        [None if key is None else dict(known.get(key, {})) for key in row] for row in ids.tolist()
    ]
