"""Verify: configured against seen, and recall against exact truth."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from qadapt.errors import over_limit
from qadapt.evaluation.exact_neighbors import GroundTruth
from qadapt.evaluation.ground_truth import Queries, exact_neighbors
from qadapt.evaluation.query_input import Encoder, resolve_queries
from qadapt.evaluation.reachability import Reachability, measure_reachability
from qadapt.evaluation.recall import Recall, interval, without_own
from qadapt.local import collection_info
from qadapt.local.settings import read_settings
from qadapt.model import (
    CollectionInfo,
    Kind,
    Rescore,
    Serializable,
    State,
    Status,
    VectorInfo,
)
from qadapt.search import search
from qadapt.stores.base import OnProgress, Progress, SearchRequest, Store, check_k, silent

PROBES = 64  # queries sent at once


@dataclass(frozen=True)
class Verification(Serializable):
    """What was found.

    Attributes:
        collection, vector: what was looked at.
        configured: the quantization as configured, in its string form.
        status: as seen, with evidence.
        matches_configuration: whether the engine was seen to do what is configured.
        recalls: one Recall for each way to search.
        source: where the queries came from.
        measure_reachability: whether sampled rows are found by their own vectors.
        notes: what a reader must know.
        ground_truth: the vectors that the exact scores were computed from.
    """

    collection: str
    vector: str
    configured: str
    status: Status
    matches_configuration: bool
    recalls: tuple[Recall, ...]
    source: str
    reachability: Reachability
    notes: tuple[str, ...] = ()
    ground_truth: str = ""

    @property
    def recall(self) -> Recall:
        """The recall of a search as it is now, without further words."""
        return next(item for item in self.recalls if item.label == AS_IS)


AS_IS = "as searches are now"


def verify(
    store: Store,
    collection: str,
    name: str,
    *,
    k: int = 10,
    queries: Any = 200,
    encoder: Encoder | None = None,
    seed: int = 0,
    progress: OnProgress = silent,
) -> Verification:
    """Compare configured with seen, and measure recall@k with and without rescoring.

    Args:
        k: 1 to 10,000.
        queries: see ``questions.resolve_queries``.
        encoder: turns a list of texts into float ``(n, d)``.
    """
    check_k(k, store.traits.max_k - 1)
    info = collection_info.info(store, collection)
    k, limited = _limit_k(store, collection, k)
    vector = info.vectors[name]
    asked = resolve_queries(
        store, collection, name, vector.vector, queries, encoder=encoder, seed=seed
    )
    truth = exact_neighbors(store, collection, name, vector.vector, asked, k, progress)
    recalls = tuple(
        measure(store, info, name, asked, truth, k, label, rescore, progress)
        for label, rescore in _search_modes(store, collection, vector)
    )
    reached = measure_reachability(store, info, name, progress, seed=seed)
    return Verification(
        collection=collection,
        vector=name,
        configured=str(vector.quantization),
        status=vector.status,
        matches_configuration=matches_configuration(vector),
        recalls=recalls,
        source=asked.source,
        reachability=reached,
        notes=(*limited, *_notes(vector, reached, truth)),
        ground_truth=truth.about.ground_truth,
    )


def matches_configuration(vector: VectorInfo) -> bool:
    """Whether what is configured was seen to be in force."""
    wanted = State.ABSENT if vector.quantization.kind is Kind.NONE else State.ACTIVE
    return vector.status.state is wanted


def _limit_k(store: Store, collection: str, k: int) -> tuple[int, tuple[str, ...]]:
    """``k``, less where limits of the collection allow no more, and a note on it."""
    most = store.max_results(collection) - 1  # a query that is a row finds itself too
    if k <= most:
        return k, ()
    if most < 1:
        raise over_limit(
            f"limits of {collection!r} allow {most + 1} results, too few to measure recall",
            hint="raise max_query_limit of its strict mode",
        )
    return most, (f"recall@{most} and not @{k}: limits of the collection allow {most + 1} results",)


def _search_modes(
    store: Store, collection: str, vector: VectorInfo
) -> list[tuple[str, Rescore | None]]:
    ways: list[tuple[str, Rescore | None]] = [(AS_IS, None)]
    if vector.quantization.kind is not Kind.NONE:
        set_to = vector.default_rescore
        factor = set_to.oversampling if set_to is not None and set_to.on else 1.0
        ways.append(("without rescoring", Rescore(source="off")))
        more = store.limit_rescore(collection, Rescore(max(factor, 4.0)))
        ways.append(("with rescoring", more))
    return ways


def _notes(vector: VectorInfo, reached: Reachability, truth: GroundTruth) -> tuple[str, ...]:
    notes = []
    if not matches_configuration(vector):
        seen_as = f"configured {vector.quantization}, seen {vector.status.state}"
        notes.append(f"{seen_as}: recall is of what is")
    if reached.words:
        notes.append(reached.words)
    if truth.about.proof.reason:
        notes.append(truth.about.proof.reason)
    return tuple(notes)


def measure(
    store: Store,
    info: CollectionInfo,
    name: str,
    queries: Queries,
    truth: GroundTruth,
    k: int,
    label: str,
    rescore: Rescore | None,
    progress: OnProgress,
) -> Recall:
    """Recall@k of one way to search."""
    settings = read_settings(store, info.name).of(name)
    vector = info.vectors[name].vector
    extra = 1 if any(own is not None for own in queries.own) else 0
    wanted = SearchRequest(k=k + extra, vector=name, rescore=rescore)
    values, spent = [], 0.0
    for start in range(0, len(queries), PROBES):
        block = slice(start, start + PROBES)
        begun = time.perf_counter()
        hits = search(store, info.name, queries.vectors[block], wanted, vector, settings)
        spent += time.perf_counter() - begun
        values.append(truth.recall(without_own(hits.ids, queries.own[block], k), start))
        done = min(start + PROBES, len(queries))
        progress(Progress(f"measuring recall {label}", done, len(queries), "queries"))
    per_query = np.concatenate(values)
    low, high = interval(per_query)
    return Recall(
        label=label,
        rescore=rescore,
        recall=float(per_query.mean()),
        low=low,
        high=high,
        k=k,
        queries=len(queries),
        latency_ms=1000 * spent / len(queries),
        ground_truth=truth.about.ground_truth,
        proof=truth.about.proof,
    )
