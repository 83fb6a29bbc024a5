"""Verify: compare the configuration with the engine's status, and measure recall."""

from __future__ import annotations

import time
from collections.abc import Sequence

from qadapt.errors import over_limit
from qadapt.evaluation import measurement
from qadapt.evaluation.documents import Verification, now
from qadapt.evaluation.exact_neighbors import GroundTruth
from qadapt.evaluation.ground_truth import Queries, exact_neighbors
from qadapt.evaluation.measurement import Searcher, Workload
from qadapt.evaluation.memory import live_memory
from qadapt.evaluation.options import EvaluationOptions
from qadapt.evaluation.query_input import resolve_queries
from qadapt.evaluation.reachability import Reachability, measure_reachability
from qadapt.evaluation.results import Result
from qadapt.evaluation.settings import Setting
from qadapt.local import collection_info
from qadapt.local.client_params import client_params
from qadapt.model import CollectionInfo, Kind, Prices, Rescore, State, VectorInfo
from qadapt.stores.base import OnProgress, Store

CURRENT = Setting(None)


def verify(store: Store, collection: str, name: str, options: EvaluationOptions) -> Verification:
    """Compare the configuration with the status, and measure recall@k with and without rescoring.

    Args:
        name: name of the vector.

    Raises:
        InputError, NotFoundError, StoreError
    """
    begun = time.monotonic()
    options.check_store(store)
    info = collection_info.info(store, collection)
    k, limited = _limit_k(store, collection, options.k)
    vector = info.vectors[name]
    queries = resolve_queries(
        store, collection, name, vector.vector, options.queries,
        encoder=options.encoder, seed=options.seed,
    )  # fmt: skip
    truth = exact_neighbors(store, collection, name, vector.vector, queries, k, options.progress)
    settings = _settings(store, collection, vector)
    results = measure_live(store, info, name, settings, queries, truth, options.progress)
    reached = measure_reachability(store, info, name, options.progress, seed=options.seed)
    return Verification(
        store=str(store.address),
        server=info.server,
        collection=collection,
        vector=name,
        dim=vector.dim,
        metric=vector.metric,
        datatype=vector.datatype,
        count=vector.count,
        k=k,
        queries=len(queries),
        source=queries.source,
        truth=truth.about,
        results=results,
        notes=(*limited, *_notes(vector, reached, truth)),
        created=now(),
        command=options.command,
        seconds=time.monotonic() - begun,
        configured=str(vector.quantization),
        status=vector.status,
        matches_configuration=matches_configuration(vector),
        reachability=reached,
        client_params=client_params(store, collection, vector, k),
        memory=results[0].memory,
    )


def matches_configuration(vector: VectorInfo) -> bool:
    """Whether the configured quantization is verified active."""
    wanted = State.ABSENT if vector.quantization.kind is Kind.NONE else State.ACTIVE
    return vector.status.state is wanted


def live_result(
    store: str, info: VectorInfo, setting: Setting, prices: Prices | None = None
) -> Result:
    """The result of the live collection, before anything is measured."""
    differs = f"configured {info.quantization}, verified {info.status.state}: {info.status.reason}"
    return Result(
        setting.text,
        info.quantization,
        setting.rescore or info.default_rescore,
        dict(setting.options),
        str(info.quantization),
        notes=() if matches_configuration(info) else (differs,),
        memory=live_memory(store, info, prices),
    )


def measure_live(
    store: Store,
    info: CollectionInfo,
    name: str,
    settings: Sequence[Setting],
    queries: Queries,
    truth: GroundTruth,
    progress: OnProgress,
) -> tuple[Result, ...]:
    """Recall@k of the live collection, with the latency of batches, for each setting."""
    workload = Workload(queries, truth.about.k, concurrency=(), batches=True)
    vector = info.vectors[name]
    results: list[Result] = []
    for setting in settings:
        searcher = Searcher(
            store, info.name, name, vector.vector, workload, setting.rescore, setting.options
        )
        start = live_result(store.name, vector, setting)
        known = results[0].recall_no_params if results else None
        results.append(
            measurement.measure(searcher, vector, truth, start, progress, no_params=known)
        )
    return tuple(results)


def _limit_k(store: Store, collection: str, k: int) -> tuple[int, tuple[str, ...]]:
    """``k``, reduced to the limits of the collection, and a note if it was reduced."""
    most = store.max_results(collection) - 1  # a query that is a row also finds itself
    if k <= most:
        return k, ()
    if most < 1:
        raise over_limit(
            f"limits of {collection!r} allow {most + 1} results, too few to measure recall",
            hint="raise max_query_limit of its strict mode",
        )
    note = f"measured recall@{most} instead of @{k}: limits of the collection allow {most + 1} "
    return most, (f"{note}results",)


def _settings(store: Store, collection: str, vector: VectorInfo) -> list[Setting]:
    """The current setting; of a quantized vector, also without and with rescoring."""
    if vector.quantization.kind is Kind.NONE:
        return [CURRENT]
    current = vector.default_rescore
    factor = current.oversampling if current is not None and current.on else 1.0
    more = store.limit_rescore(collection, Rescore(max(factor, 4.0)))
    return [CURRENT, Setting(None, Rescore(source="off")), Setting(None, more)]


def _notes(vector: VectorInfo, reached: Reachability, truth: GroundTruth) -> tuple[str, ...]:
    notes = []
    if not matches_configuration(vector):
        status = f"configured {vector.quantization}, verified {vector.status.state}"
        notes.append(f"{status}: recall was measured with the verified status")
    if reached.words:
        notes.append(reached.words)
    if truth.about.proof.reason:
        notes.append(truth.about.proof.reason)
    return tuple(notes)
