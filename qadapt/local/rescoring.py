"""Rescoring by qadapt: candidates of the database, scored again with their original vectors."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qadapt.engines.exact import best_candidates
from qadapt.local.client_search import payloads_of
from qadapt.local.state import VectorSettings
from qadapt.model import Hits, Rescore, SearchProvenance, Vector
from qadapt.model.query_checks import scaled_queries
from qadapt.stores.base import SearchRequest, Store

Floats = npt.NDArray[np.float32]

BY_ALL = "candidates by the vector {!r} ({:,} dimensions), rescored with all {:,} dimensions"


@dataclass(frozen=True)
class FullVector:
    """The vector that holds all dimensions of a vector with the first of them.

    Attributes:
        name: of the vector.
        vector: its definition.
        queries: float32 ``(nq, d)`` with all dimensions.
    """

    name: str
    vector: Vector
    queries: Floats


def full_vector(
    saved: VectorSettings, vectors: Mapping[str, Vector], queries: Floats
) -> FullVector | None:
    """The vector with all dimensions; None if it does not exist, or the queries lack dimensions.

    Args:
        saved: settings of the vector with the first dimensions.
        vectors: definitions of the vectors of the collection.
        queries: float32 ``(nq, d)``, before they are cut.
    """
    about = None if saved.full_vector is None else vectors.get(saved.full_vector)
    if about is None or saved.full_vector is None or queries.shape[1] != about.dim:
        return None
    return FullVector(saved.full_vector, about, scaled_queries(queries, about))


def rescored(
    store: Store,
    collection: str,
    queries: Floats,
    wanted: SearchRequest,
    rescore: Rescore,
    vector: Vector,
    *,
    asked: bool = True,
    full: FullVector | None = None,
) -> Hits:
    """Search more rows by their codes, fetch their original vectors, and keep the best.

    Args:
        queries: float32 ``(nq, d)``, for ``wanted.vector``.
        asked: whether the call requests rescoring; if not, exact results are returned unchanged.
        full: queries and vector for the exact scores; None for those of the search.
    """
    count = rescore.count(wanted.k)
    notes: tuple[str, ...] = ()
    if count > store.traits.max_k:
        notes = (
            f"{store.name} returns at most {store.traits.max_k:,} rows, which limits candidates, "
            f"not {count:,}",
        )
        count = store.traits.max_k
    # A database that always rescores its codes does so with the first dimensions, too.
    first = Rescore(source="off") if full is None else None
    off = dataclasses.replace(wanted, k=count, rescore=first, with_payload=False)
    found = store.search(collection, queries, off)
    if (
        not asked and found.how.scores == "exact"
    ):  # the database compared original vectors, so there is nothing to rescore
        ids, scores = found.ids[:, : wanted.k], found.scores[:, : wanted.k]
        return Hits(ids, scores, found.how, payloads_of(store, collection, ids, wanted))
    if full is None:
        full = FullVector(wanted.vector, vector, queries)
    else:
        notes = (*notes, BY_ALL.format(wanted.vector, vector.dim, full.vector.dim))
    places, originals, gone = _originals(store, collection, full.name, found.ids)
    ids = np.full((len(queries), wanted.k), None, dtype=object)
    scores = np.full((len(queries), wanted.k), np.nan, dtype=np.float32)
    best, points = best_candidates(full.queries, originals, places, wanted.k, full.vector.metric)
    width = best.shape[1]
    scores[:, :width] = points
    ids[:, :width] = np.take_along_axis(found.ids, np.maximum(best, 0), axis=1)
    ids[:, :width][best < 0] = None
    if gone:
        notes += (f"{gone:,} candidates were deleted during the search and omitted",)
    how = SearchProvenance(
        searcher="store",
        rescorer="qadapt",
        oversampling=rescore.factor(wanted.k),
        candidates=count,
        rescored_on="originals",
        scores="exact",
        notes=(*found.how.notes, *notes),
    )
    return Hits(ids, scores, how, payloads_of(store, collection, ids, wanted))


def _originals(
    store: Store, collection: str, name: str, ids: npt.NDArray[np.object_]
) -> tuple[npt.NDArray[np.int64], Floats, int]:
    """Fetch the original vectors of all candidates once.

    Returns:
        Position of each candidate in the vectors, -1 for deleted rows; the vectors; and the number
        of deleted rows.
    """
    unique = list(dict.fromkeys(key for key in ids.ravel().tolist() if key is not None))
    batch = store.fetch(collection, unique, vectors=[name], payload=False)
    row_of = {key: row for row, key in enumerate(batch.ids)}
    found = (row_of.get(key, -1) for key in ids.ravel().tolist())
    places = np.fromiter(found, dtype=np.int64, count=ids.size).reshape(ids.shape)
    vectors = batch.vectors[name] if len(batch) else np.empty((0, 0), dtype=np.float32)
    return places, vectors, len(unique) - len(row_of)
