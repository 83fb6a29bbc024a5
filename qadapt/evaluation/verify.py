"""Verify: compare the configuration with the engine's status, and measure recall."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from qadapt.errors import InputError, over_limit
from qadapt.evaluation import measurement, overall_progress
from qadapt.evaluation.documents import Verification, now
from qadapt.evaluation.exact_neighbors import GroundTruth
from qadapt.evaluation.ground_truth import Queries, exact_neighbors
from qadapt.evaluation.memory import live_memory
from qadapt.evaluation.options import EvaluationOptions
from qadapt.evaluation.outside_truth import outside_truth
from qadapt.evaluation.overall_progress import Meter, Steps
from qadapt.evaluation.partial import Interrupted
from qadapt.evaluation.query_input import resolve_queries
from qadapt.evaluation.reachability import SAMPLE, Reachability, measure_reachability
from qadapt.evaluation.results import Figure, Result
from qadapt.evaluation.row_samples import RowSamples
from qadapt.evaluation.searcher import Searcher, Workload
from qadapt.evaluation.settings import Setting
from qadapt.evaluation.subsets import Subset
from qadapt.evaluation.truth_vectors import described, truth_notes, vector_of_truth
from qadapt.local import collection_info
from qadapt.local.client_params import client_params
from qadapt.model import CollectionInfo, Prices, Rescore, State, VectorInfo
from qadapt.stores.base import OnProgress, Store

CURRENT = Setting(None)
INTERRUPTED = "interrupted: {} of {} settings were measured, and unreachable rows were not counted"


def verify(store: Store, collection: str, name: str, options: EvaluationOptions) -> Verification:
    """Compare the configuration with the status, and measure recall@k with and without rescoring.

    Args:
        name: name of the vector.

    Raises:
        InputError, NotFoundError, StoreError
        Interrupted: Ctrl-C after the current setting was measured.
    """
    begun = time.monotonic()
    options.check_store(store)
    info = collection_info.info(store, collection)
    k, limited = _limit_k(store, collection, options.k)
    vector = info.vectors[name]
    settings = _settings(store, collection, vector, k)
    _refuse_outside_truth_of_parts(options)
    chosen = options.subsets(store, collection)
    seconds = {
        **overall_progress.of_reading(vector, options, len(chosen.parts)),
        **overall_progress.for_subsets(
            overall_progress.SETTINGS,
            overall_progress.SEARCHED * len(settings),
            len(chosen.parts),
        ),
        overall_progress.REACHED: 2 * overall_progress.SEARCHED,
    }
    meter = Meter(options.progress, seconds).start(overall_progress.QUERIES)
    options = options.replace(k=k, progress=meter)
    most = max(SAMPLE, options.queries if isinstance(options.queries, int) else 0)
    whole = vector_of_truth(store, info, name)
    samples = RowSamples(store, whole.name, most, options.seed)
    parts, stopped = _measured_parts(
        store, info, name, whole, settings, chosen.parts, options, samples, meter
    )
    reached = Reachability(0)
    if not stopped:
        meter.begin(overall_progress.REACHED)
        try:
            shared = samples if whole.name == name else None
            reached = _reachability(store, info, name, parts, options, shared)
        except KeyboardInterrupt:
            stopped = True
    parts = worst_first(parts)
    limited += tuple(note for part in parts for note in part.notes)
    results = tuple(result for part in parts for result in part.results)
    total = len(settings) * len(chosen.parts)
    interrupted = (INTERRUPTED.format(len(results), total),) if stopped else ()
    queries, truth = parts[0].queries, parts[0].truth
    document = Verification(
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
        **filtered(parts, options),
        notes=(*interrupted, *limited, *_notes(vector, whole, reached, parts), *chosen.notes),
        partial=stopped,
        created=now(),
        command=options.command,
        seconds=time.monotonic() - begun,
        configured=str(vector.quantization),
        status=vector.status,
        matches_configuration=matches_configuration(vector),
        reachability=reached,
        client_params=client_params(store, collection, vector, k),
        memory=results[0].memory,
        engine_memory=store.engine_memory(),
    )
    if stopped:
        raise Interrupted(document)
    return document


def _reachability(
    store: Store,
    info: CollectionInfo,
    name: str,
    parts: Sequence[MeasuredSubset],
    options: EvaluationOptions,
    samples: RowSamples | None,
) -> Reachability:
    """Rows that searches do not find by their own vectors, of all measured partitions."""
    places = list(dict.fromkeys(part.subset.collection for part in parts))
    found = [
        measure_reachability(
            store, info.replace(name=place), name, options.progress,
            sample=max(1, SAMPLE // len(places)), samples=samples,
        )
        for place in places
    ]  # fmt: skip
    unreachable = tuple(key for each in found for key in each.unreachable)
    return Reachability(sum(each.sampled for each in found), unreachable)


def matches_configuration(vector: VectorInfo) -> bool:
    """Whether the configured quantization is verified active."""
    wanted = State.ABSENT if vector.is_plain else State.ACTIVE
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


@dataclass(frozen=True)
class MeasuredSubset:
    """Rows that were measured together: queries, ground truth, results, and notes about them."""

    subset: Subset
    queries: Queries
    truth: GroundTruth
    results: tuple[Result, ...]
    notes: tuple[str, ...] = ()

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


def _measured_parts(
    store: Store,
    info: CollectionInfo,
    name: str,
    whole: VectorInfo,
    settings: Sequence[Setting],
    subsets: Sequence[Subset],
    options: EvaluationOptions,
    samples: RowSamples,
    meter: Meter,
) -> tuple[list[MeasuredSubset], bool]:
    """What was measured of each subset, and whether Ctrl-C ended the measurement early."""
    parts: list[MeasuredSubset] = []
    for number, subset in enumerate(subsets):
        found: list[Result] = []
        try:
            queries, truth, notes = _truth_of(
                store, info.vectors[name], whole, subset, options, samples, meter,
                overall_progress.numbered(overall_progress.TRUTH, number),
            )  # fmt: skip
            meter.begin(overall_progress.numbered(overall_progress.SETTINGS, number))
            steps = Steps(meter, overall_progress.of_searches(settings))
            for result in measure_live(store, info, name, settings, queries, truth, steps, subset):
                found.append(result)
        except KeyboardInterrupt:
            if not parts and not found:
                raise
            if found:
                parts.append(MeasuredSubset(subset, queries, truth, tuple(found), notes))
            return parts, True
        parts.append(MeasuredSubset(subset, queries, truth, tuple(found), notes))
    return parts, False


def _truth_of(
    store: Store,
    vector: VectorInfo,
    whole: VectorInfo,
    subset: Subset,
    options: EvaluationOptions,
    samples: RowSamples,
    meter: Meter,
    part: str,
) -> tuple[Queries, GroundTruth, tuple[str, ...]]:
    """Queries and ground truth of a subset, and notes about them.

    Args:
        whole: the vector that ground truth is computed from, without that of a file.
        part: of the progress.
    """
    if options.truth is not None:
        meter.begin(part)
        return outside_truth(store, subset.collection, vector, options.truth, options.k, options)
    name, about, sample = whole.name, whole.vector, samples.of(subset)
    queries = resolve_queries(store, subset.collection, name, about, options, subset.filter, sample)
    meter.begin(part)
    truth = exact_neighbors(
        store, subset.collection, name, about, queries, options.k, meter, cached=True,
        filter=subset.filter, keep=sample.keep,
    ).labelled(subset.label)  # fmt: skip
    return queries, described(truth, whole, vector.name), ()


def _refuse_outside_truth_of_parts(options: EvaluationOptions) -> None:
    """Vectors of a file have no payload, which a filter would need.

    Raises:
        InputError
    """
    if options.truth is not None and (options.filter is not None or options.by is not None):
        raise InputError(
            "ground truth of a file covers all rows, so it cannot be combined with a filter",
            hint="omit filter= and by= (--filter, --by), or truth= (--truth)",
        )


def measure_subset(
    store: Store,
    info: CollectionInfo,
    name: str,
    settings: Sequence[Setting],
    subset: Subset,
    options: EvaluationOptions,
) -> MeasuredSubset:
    """Measure the live collection with searches of some rows, as ``measure_live`` does."""
    whole = vector_of_truth(store, info, name)
    place, about = subset.collection, whole.vector
    queries = resolve_queries(store, place, whole.name, about, options, subset.filter)
    truth = exact_neighbors(
        store, place, whole.name, about, queries, options.k, options.progress,
        filter=subset.filter,
    ).labelled(subset.label)  # fmt: skip
    truth = described(truth, whole, name)
    results = measure_live(store, info, name, settings, queries, truth, options.progress, subset)
    return MeasuredSubset(subset, queries, truth, tuple(results))


def measure_live(
    store: Store,
    info: CollectionInfo,
    name: str,
    settings: Sequence[Setting],
    queries: Queries,
    truth: GroundTruth,
    progress: OnProgress,
    subset: Subset | None = None,
) -> Iterator[Result]:
    """Recall@k of the live collection, with the latency of batches, for each setting.

    Args:
        subset: restrict searches to these rows.
    """
    workload = Workload(queries, truth.about.k, concurrency=(), batches=True, subset=subset)
    place = info.name if subset is None else subset.collection
    vector = info.vectors[name]
    known: Figure | None = None  # parameters have no effect on a client that sends none
    for setting in settings:
        if isinstance(progress, Steps):
            progress.begin(setting.text)
        searcher = Searcher(
            store, place, name, vector.vector, workload, setting.rescore, setting.options
        )
        start = live_result(store.name, vector, setting)
        found = measurement.measure(searcher, vector, truth, start, progress, no_params=known)
        known = known or found.recall_no_params
        yield found


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


def _settings(store: Store, collection: str, vector: VectorInfo, k: int) -> list[Setting]:
    """The current setting; of a quantized vector, also without and with rescoring."""
    if vector.is_plain:
        return [CURRENT]
    current = vector.default_rescore
    factor = current.factor(k) if current is not None and current.on else 1.0
    more = store.limit_rescore(collection, Rescore(max(factor, 4.0)), k)
    return [CURRENT, Setting(None, Rescore(source="off")), Setting(None, more)]


def _notes(
    vector: VectorInfo,
    whole: VectorInfo,
    reached: Reachability,
    parts: Sequence[MeasuredSubset],
) -> tuple[str, ...]:
    notes = truth_notes(vector, parts[0].truth.vector, whole)
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
