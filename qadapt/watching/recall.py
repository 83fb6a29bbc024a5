"""Recall on a sample of queries whose exact results are kept for a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qadapt.api.collection import Collection
from qadapt.errors import SpecError
from qadapt.evaluation.options import EvaluationOptions
from qadapt.evaluation.query_input import resolve_queries
from qadapt.evaluation.recall import least_score
from qadapt.local.client_params import client_params
from qadapt.model import Hits, Vector, VectorInfo
from qadapt.model.leading_dims import leading
from qadapt.model.plan import Clients
from qadapt.search import search_without_params
from qadapt.stores.base import SearchRequest
from qadapt.watching.pacing import Pace

MOST_QUERIES = 1_000


@dataclass(frozen=True)
class Truth:
    """Queries with their exact results.

    Attributes:
        vectors: float32 ``(nq, d)``.
        own: id of the row that each query is, which does not count; None if it is not a row.
        ids: exact results of each query.
        least: lowest score of a correct result, for each query.
        rows: number of rows when it was computed.
        made: time when it was computed.
    """

    vectors: Any
    own: Sequence[Any]
    ids: Sequence[frozenset[Any]]
    least: Any
    rows: int
    made: float


def exact_results(
    collection: Collection,
    name: str,
    vector: Vector,
    k: int,
    queries: Any,
    *,
    seed: int,
    pace: Pace,
    now: float,
) -> Truth:
    """Draw or read queries, and search each of them exactly.

    Raises:
        SpecError: too many queries.
        InputError, StoreError
    """
    options = EvaluationOptions(k=k, queries=queries, seed=seed)
    found = resolve_queries(collection._store, collection.name, name, vector, options)
    if len(found) > MOST_QUERIES:
        raise SpecError(
            f"{len(found):,} queries are too many for repeated checks",
            hint=f"use at most {MOST_QUERIES:,}",
        )
    ids, last = [], []
    for query, own in zip(found.vectors, found.own, strict=True):
        pace.wait()
        hits = collection.search(query, k + (own is not None), vector=name, exact=True)
        kept = [(key, score) for key, score in _pairs(hits) if key != own][:k]
        ids.append(frozenset(key for key, _ in kept))
        last.append(kept[-1][1] if kept else np.inf)
    rows = collection.count()
    return Truth(found.vectors, found.own, ids, least_score(last, vector.dim), rows, now)


@dataclass(frozen=True)
class Recall:
    """Recall@k of one check.

    Attributes:
        value: with the parameters of the setting.
        no_params: of a client that sends no search parameters.
    """

    value: float
    no_params: float

    def judged(self, clients: Clients) -> float:
        """The recall that a gate judges, as a guard does (``Guard.clients``)."""
        return self.value if clients == "configured" else min(self.value, self.no_params)


def measure(collection: Collection, about: VectorInfo, k: int, truth: Truth, pace: Pace) -> Recall:
    """Recall@k of searches with the parameters of the collection's setting, and without any.

    A result is correct if it is one of the exact ones, or if its exact score is at least as high as
    the lowest exact result, so rows that were added later do not count as wrong.
    """
    store, name = collection._store, about.name

    def configured(query: Any, wanted: int) -> Hits:
        return collection.search(query, wanted, vector=name)

    def bare(query: Any, wanted: int) -> Hits:
        vectors = leading(np.asarray(query)[None], about.dim, about.vector.metric)
        request = SearchRequest(k=wanted, vector=name)
        return search_without_params(store, collection.name, vectors, request, about.vector)

    value = _recall(configured, k, truth, pace)
    sent = client_params(store, collection.name, about, k)
    if not sent.needed and sent.reachable:
        return Recall(value, value)
    return Recall(value, _recall(bare, k, truth, pace))


def _recall(search: Callable[[Any, int], Hits], k: int, truth: Truth, pace: Pace) -> float:
    """Recall@k of the truth's queries, each sent alone."""
    shares = []
    for at, (query, own) in enumerate(zip(truth.vectors, truth.own, strict=True)):
        pace.wait()
        hits = search(query, k + (own is not None))
        exact = hits.how.scores == "exact"
        kept = [(key, score) for key, score in _pairs(hits) if key != own][:k]
        correct = sum(
            key in truth.ids[at] or (exact and score >= truth.least[at]) for key, score in kept
        )
        wanted = len(truth.ids[at])
        shares.append(min(1.0, correct / wanted) if wanted else 1.0)
    return float(np.mean(shares)) if shares else 1.0


def _pairs(hits: Hits) -> list[tuple[Any, float]]:
    """Ids and scores of one query, without places that have no result."""
    ids, scores = hits.ids.tolist()[0], hits.scores[0].tolist()
    return [(key, score) for key, score in zip(ids, scores, strict=True) if key is not None]
