"""Verify: compare the configuration with the engine's status, and measure recall."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from qadapt.errors import over_limit
from qadapt.evaluation import measurement
from qadapt.evaluation.documents import Verification, now
from qadapt.evaluation.exact_neighbors import GroundTruth
from qadapt.evaluation.ground_truth import Queries, exact_neighbors
from qadapt.evaluation.measurement import Searcher, Workload
from qadapt.evaluation.options import EvaluationOptions
from qadapt.evaluation.query_input import resolve_queries
from qadapt.evaluation.reachability import SAMPLE, Reachability, measure_reachability
from qadapt.evaluation.results import Result
from qadapt.evaluation.settings import Setting
from qadapt.evaluation.subsets import Subset
from qadapt.local import collection_info
from qadapt.local.client_params import client_params
from qadapt.model import CollectionInfo, Kind, Rescore, State, VectorInfo
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
    settings = _settings(store, collection, vector)
    chosen = options.subsets(store, collection)
    options = options.replace(k=k)
    parts = worst_first(
        [measure_subset(store, info, name, settings, part, options) for part in chosen.parts]
    )
    queries, truth = parts[0].queries, parts[0].truth
    reached = _reachability(store, info, name, parts, options)
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
        results=tuple(result for part in parts for result in part.results),
        **filtered(parts, options),
        notes=(*limited, *_notes(vector, reached, parts), *chosen.notes),
        created=now(),
        command=options.command,
        seconds=time.monotonic() - begun,
        configured=str(vector.quantization),
        status=vector.status,
        matches_configuration=matches_configuration(vector),
        reachability=reached,
        client_params=client_params(store, collection, vector, k),
    )


def _reachability(
    store: Store,
    info: CollectionInfo,
    name: str,
    parts: Sequence[MeasuredSubset],
    options: EvaluationOptions,
) -> Reachability:
    """Rows that searches do not find by their own vectors, of all measured partitions."""
    places = list(dict.fromkeys(part.subset.collection for part in parts))
    found = [
        measure_reachability(
            store, info.replace(name=place), name, options.progress,
            sample=max(1, SAMPLE // len(places)), seed=options.seed,
        )
        for place in places
    ]  # fmt: skip
    unreachable = tuple(key for each in found for key in each.unreachable)
    return Reachability(sum(each.sampled for each in found), unreachable)


def matches_configuration(vector: VectorInfo) -> bool:
    """Whether the configured quantization is verified active."""
    wanted = State.ABSENT if vector.quantization.kind is Kind.NONE else State.ACTIVE
    return vector.status.state is wanted


def live_result(info: VectorInfo, setting: Setting) -> Result:
    """The result of the live collection, before anything is measured."""
    differs = f"configured {info.quantization}, verified {info.status.state}: {info.status.reason}"
    return Result(
        setting.text,
        info.quantization,
        setting.rescore or info.default_rescore,
        dict(setting.options),
        str(info.quantization),
        notes=() if matches_configuration(info) else (differs,),
    )


@dataclass(frozen=True)
class MeasuredSubset:
    """Rows that were measured together: queries, ground truth and results."""

    subset: Subset
    queries: Queries
    truth: GroundTruth
    results: tuple[Result, ...]

    @property
    def proves(self) -> bool:
        """Whether the recall proves anything."""
        return self.truth.about.proof.level != "none"

    @property
    def lowest(self) -> float:
        """The lowest recall of all results, with and without search parameters."""
        return min((each.lowest for each in self.results), default=math.inf)


def worst_first(parts: Sequence[MeasuredSubset]) -> list[MeasuredSubset]:
    """Order by the lowest recall; parts that prove nothing come last."""
    return sorted(parts, key=lambda part: (not part.proves, part.lowest))


def filtered(parts: Sequence[MeasuredSubset], options: EvaluationOptions) -> dict[str, Any]:
    """The fields of a document about filters."""
    if options.filter is None and options.by is None:
        return {}
    return {
        "truths": tuple(part.truth.about for part in parts),
        "by": options.by or "",
        "by_limit": options.by_limit if options.by else None,
    }


def measure_subset(
    store: Store,
    info: CollectionInfo,
    name: str,
    settings: Sequence[Setting],
    subset: Subset,
    options: EvaluationOptions,
) -> MeasuredSubset:
    """Measure the live collection with searches of some rows, as ``measure_live`` does."""
    vector = info.vectors[name].vector
    queries = resolve_queries(store, subset.collection, name, vector, options, subset.filter)
    truth = exact_neighbors(
        store, subset.collection, name, vector, queries, options.k, options.progress,
        filter=subset.filter,
    )  # fmt: skip
    truth = truth.labelled(subset.label)
    results = measure_live(store, info, name, settings, queries, truth, options.progress, subset)
    return MeasuredSubset(subset, queries, truth, results)


def measure_live(
    store: Store,
    info: CollectionInfo,
    name: str,
    settings: Sequence[Setting],
    queries: Queries,
    truth: GroundTruth,
    progress: OnProgress,
    subset: Subset | None = None,
) -> tuple[Result, ...]:
    """Recall@k of the live collection, with the latency of batches, for each setting.

    Args:
        subset: restrict searches to these rows.
    """
    workload = Workload(queries, truth.about.k, concurrency=(), batches=True, subset=subset)
    place = info.name if subset is None else subset.collection
    vector = info.vectors[name]
    results: list[Result] = []
    for setting in settings:
        searcher = Searcher(
            store, place, name, vector.vector, workload, setting.rescore, setting.options
        )
        start = live_result(vector, setting)
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


def _notes(
    vector: VectorInfo, reached: Reachability, parts: Sequence[MeasuredSubset]
) -> tuple[str, ...]:
    notes = []
    if not matches_configuration(vector):
        status = f"configured {vector.quantization}, verified {vector.status.state}"
        notes.append(f"{status}: recall was measured with the verified status")
    if reached.words:
        notes.append(reached.words)
    return (*notes, *proof_notes(parts))


def proof_notes(parts: Sequence[MeasuredSubset]) -> tuple[str, ...]:
    """Why the recall of some rows proves little or nothing."""
    notes = []
    for part in parts:
        reason = part.truth.about.proof.reason
        if reason:
            notes.append(f"{part.subset.label}: {reason}" if part.subset.label else reason)
    return tuple(notes)
