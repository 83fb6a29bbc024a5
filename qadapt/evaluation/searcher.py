"""Run the searches of a measurement: one setting of one vector."""

from __future__ import annotations

import copy
import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qadapt.evaluation import latency
from qadapt.evaluation.ground_truth import Queries
from qadapt.evaluation.options import CONCURRENCY, SECONDS
from qadapt.evaluation.results import Latency
from qadapt.evaluation.subsets import Subset
from qadapt.local.client_params import client_params
from qadapt.local.rescoring import full_vector
from qadapt.local.settings import read_settings
from qadapt.model import Hits, Id, Rescore, SearchProvenance, Vector, VectorInfo
from qadapt.model.arrays import Floats
from qadapt.model.leading_dims import leading
from qadapt.model.query_checks import plain_queries
from qadapt.search import Prepared, prepare, search, search_without_params
from qadapt.stores.base import OnProgress, Progress, SearchRequest, Store

PROBES = 64  # queries per batch


class RelevanceLabels:
    """Relevance labels, and the document ids of rows.

    Args:
        qrels: ``{query id: {document id: gain}}``.
        field: payload field with the document id; None for the row id.
        store, collection: the collection from which payloads are read.
    """

    def __init__(
        self,
        qrels: Mapping[str, Mapping[str, float]],
        field: str | None,
        store: Store,
        collection: str,
    ) -> None:
        self.qrels, self._field = qrels, field
        self._store, self._collection = store, collection
        self._names: dict[Id, str] = {}

    def names(self, rows: Sequence[Sequence[Id]]) -> list[list[str]]:
        """The document ids of hits."""
        if self._field is None:
            return [[str(key) for key in row] for row in rows]
        unknown = dict.fromkeys(key for row in rows for key in row if key not in self._names)
        if unknown:
            batch = self._store.fetch(self._collection, list(unknown), vectors=(), payload=True)
            payloads = batch.payloads or ({},) * len(batch)
            for key, payload in zip(batch.ids, payloads, strict=True):
                self._names[key] = str(payload.get(self._field))
        return [[self._names.get(key, "") for key in row] for row in rows]


@dataclass(frozen=True)
class Workload:
    """The queries and timings that all settings share.

    Attributes:
        labels: relevance labels; None for none.
        subset: the rows that searches are restricted to; None for all.
        concurrency: numbers of concurrent queries to time; empty disables timing.
        seconds: duration of each timing.
        batches: also time the batches from which recall is computed.
    """

    queries: Queries
    k: int
    labels: RelevanceLabels | None = None
    concurrency: tuple[int, ...] = CONCURRENCY
    seconds: float = SECONDS
    batches: bool = False
    subset: Subset | None = None

    @property
    def filter(self) -> Any:
        """The filter of the searches; None for none."""
        return None if self.subset is None else self.subset.filter

    @property
    def label(self) -> str:
        """The filter as text, for results."""
        return "" if self.subset is None else self.subset.label

    @property
    def extra(self) -> int:
        """1 if queries are rows of the collection: their own row is an extra hit."""
        return 1 if any(own is not None for own in self.queries.own) else 0


class Searcher:
    """Searches one vector with one setting."""

    def __init__(
        self,
        store: Store,
        collection: str,
        name: str,
        vector: Vector,
        asked: Workload,
        rescore: Rescore | None,
        options: Mapping[str, Any],
    ) -> None:
        self.store, self.collection, self.name, self.vector = store, collection, name, vector
        self.asked = asked
        self._wanted = SearchRequest(
            k=asked.k + asked.extra,
            vector=name,
            rescore=rescore,
            options=options,
            filter=asked.filter,
        )
        self._settings = read_settings(store, collection).of(name)
        self._others: Mapping[str, Vector] | None = None
        self._prepared: Prepared | None = None
        self._preparable = True

    def without_params(self) -> Searcher:
        """The same searches by a client that sends no search parameters."""
        other = copy.copy(self)
        other._wanted = dataclasses.replace(self._wanted, rescore=None, options={}, no_params=True)
        return other

    def sends_params(self, info: VectorInfo) -> bool:
        """Whether these searches differ from those of a client that sends no parameters."""
        if self._wanted.rescore is not None or self._wanted.options:
            return True
        sent = client_params(self.store, self.collection, info, self._wanted.k)
        return sent.needed or not sent.reachable

    def block(self, block: slice) -> Hits:
        """Search for some queries in one request."""
        whole = self.asked.queries.vectors[block]
        vectors = leading(whole, self.vector.dim, self.vector.metric)
        if self._wanted.no_params:
            return search_without_params(
                self.store, self.collection, vectors, self._wanted, self.vector
            )
        full = full_vector(self._settings, self._all_vectors(), whole)
        return search(
            self.store, self.collection, vectors, self._wanted, self.vector, self._settings, full
        )

    def _all_vectors(self) -> Mapping[str, Vector]:
        """Definitions of the vectors; empty if no search needs those of another vector."""
        if self._settings.full_vector is None:
            return {}
        if self._others is None:
            found = self.store.info(self.collection).vectors
            self._others = {name: each.vector for name, each in found.items()}
        return self._others

    def one(self, at: int) -> Hits:
        """Search for one query as ``Collection.search`` does, and read the results."""
        block = slice(at, at + 1)
        hits = self._repeated(self.asked.queries.vectors[block])
        hits = self.block(block) if hits is None else hits
        hits.ids  # noqa: B018  # converted when it is first read
        return hits

    def _repeated(self, query: Floats) -> Hits | None:
        """Search with the search that was resolved before; None if there is none."""
        array = plain_queries(query, self.vector)
        if array is None or self._wanted.no_params or not self._preparable:
            return None
        prepared = self._prepared
        if prepared is None:
            prepared = self._prepared = prepare(
                self.store, self.collection, self._wanted, self.vector, self._settings
            )
            self._preparable = prepared is not None
        hits = None if prepared is None else prepared(array)
        if hits is None:
            self._prepared = None  # outdated
        return hits


@dataclass(frozen=True)
class SearchResults:
    """Hits of all queries, without their own rows.

    Attributes:
        ids, scores: best first, at most k.
        how: what searched and rescored.
        batches: latency of the batches.
    """

    ids: list[list[Id]]
    scores: list[list[float]]
    how: SearchProvenance
    batches: Latency


def search_all(searcher: Searcher, label: str, progress: OnProgress) -> SearchResults:
    """Search for all queries."""
    asked = searcher.asked
    queries, k = asked.queries, asked.k
    ids: list[list[Id]] = []
    scores: list[list[float]] = []
    how: SearchProvenance | None = None
    sizes: list[int] = []
    seconds: list[float] = []
    for start in range(0, len(queries), PROBES):
        block = slice(start, start + PROBES)
        begun = time.perf_counter()
        hits = searcher.block(block)
        sizes.append(len(hits.ids))  # the results are converted when they are first read
        seconds.append(time.perf_counter() - begun)
        how = hits.how
        for row, own in enumerate(queries.own[block]):
            names = hits.ids[row].tolist()
            kept = [at for at, key in enumerate(names) if key is not None and key != own][:k]
            ids.append([names[at] for at in kept])
            scores.append(hits.scores[row, kept].tolist())
        done = min(start + PROBES, len(queries))
        progress(Progress(f"searching with {label}", done, len(queries), "queries"))
    assert how is not None  # there is at least one query
    return SearchResults(ids, scores, how, latency.batched(sizes, seconds))
