"""Simulate: predict the recall of a setting from a sample of the user's own vectors.

Nothing is written to the database, and no setting is changed. A sample represents all rows: each
sampled row has the weight of the rows that it was drawn from, and the true neighbors of the
queries, which are known exactly, have weight 1. A prediction is therefore for the whole
collection.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from qadapt.engines.nearest import reaching
from qadapt.errors import InputError, UnsupportedError
from qadapt.evaluation import metrics, overall_progress
from qadapt.evaluation.documents import Simulation, now
from qadapt.evaluation.exact_neighbors import GroundTruth
from qadapt.evaluation.ground_truth import Queries
from qadapt.evaluation.options import EvaluationOptions
from qadapt.evaluation.overall_progress import Meter
from qadapt.evaluation.partial import INTERRUPTED, Interrupted, SavedResults
from qadapt.evaluation.query_input import resolve_queries
from qadapt.evaluation.recall import least_score
from qadapt.evaluation.results import Figure, Prediction, Result, Truth
from qadapt.evaluation.sampling import present, whole_of
from qadapt.evaluation.settings import Setting, SettingLike
from qadapt.evaluation.streamed_ground_truth import exact_truth
from qadapt.evaluation.subsets import Subset, sample_rows
from qadapt.model import Batch, CollectionInfo, Kind, MatchLevel, Quantization, Vector
from qadapt.model.leading_dims import leading
from qadapt.quantizers.models import ModelMatch
from qadapt.simulation import registry
from qadapt.simulation.rank_recall import Ranks, ranks
from qadapt.simulation.registry import UNCHECKED
from qadapt.stores.base import MappedQuantization, Progress, Store

Floats = npt.NDArray[np.float32]

FETCHED = 1_000  # rows per fetch request

NO_GRAPH = "predictions assume that all codes are scanned; a graph or lists may miss more rows"
ONLY_MATCHING = "ranges and centroids are learned from the rows that match, not from all rows"
NO_OPTIONS = "search options do not affect predictions: {}"
INACCURATE = "the model was off by up to {:.3f} ({}); the interval is widened by that"
VALIDATED = "compared with {}: off by {:.3f} at most; the interval is widened by that"
SAMPLED = 0.02  # additional error of a sample, in which the ranks of neighbors are estimates
BY_SAMPLE = f"{{:,}} rows represent {{:,}}; the interval is widened by {SAMPLED}"
NOT_COMPARED = f"the model was not compared with an engine; the interval is widened by {UNCHECKED}"


@dataclass(frozen=True)
class Population:
    """Rows that represent a collection.

    Attributes:
        rows: float32 ``(n, d)``.
        weight: float64 ``(n,)``, the number of rows that each row represents; None for 1 each.
        queries: float32 ``(nq, d)``.
        truth: int64 ``(nq, k)``, row numbers of the true neighbors, -1 for none.
        own: int64 ``(nq,)``, row number of each query, -1 if it is not a row.
        right: for queries with more correct rows than ``truth`` has: all correct rows.
        count: rows of the collection.
        learnt: the rows from which ranges and centroids are learned: those drawn uniformly.
    """

    rows: Floats
    weight: npt.NDArray[np.float64] | None
    queries: Floats
    truth: npt.NDArray[np.int64]
    own: npt.NDArray[np.int64]
    count: int
    learnt: slice = field(default_factory=lambda: slice(None))
    right: Mapping[int, npt.NDArray[np.int64]] = field(default_factory=dict)

    @property
    def sampled(self) -> bool:
        """Whether rows represent other rows."""
        return self.weight is not None


@dataclass(frozen=True)
class SimulatedEngine:
    """The engine whose quantizers are simulated.

    Attributes:
        name: name of the database.
        vector: dimensions, metric and datatype of the vector.
        map: maps a quantization to the database's own configuration.
    """

    name: str
    vector: Vector
    map: Callable[[Quantization], MappedQuantization]


def predict(
    engine: SimulatedEngine,
    represented: Population,
    settings: Sequence[Setting],
    options: EvaluationOptions,
    saved: SavedResults | None = None,
) -> Iterator[Result]:
    """Predict a result for each setting. Codes that several settings share are modeled once.

    Args:
        saved: results of an interrupted call; None for none.

    Raises:
        InputError: a setting without a quantization.
    """
    known: dict[Quantization, tuple[ModelMatch, Ranks]] = {}
    for at, setting in enumerate(settings):
        options.progress(Progress("simulating", at, len(settings), "settings"))
        quantization = setting.quantization
        if quantization is None:
            raise InputError(
                "cannot simulate the live setting", hint="pass a quantization, such as binary"
            )
        earlier = None if saved is None else saved.find(setting.text, "simulated")
        if earlier is not None:
            yield earlier
            continue
        mapped = engine.map(quantization)
        start = Result(
            setting.text, quantization, setting.rescore, dict(setting.options),
            match=mapped.match, where="simulated", state="unsupported",
        )  # fmt: skip
        if mapped.match.level is MatchLevel.UNSUPPORTED:
            notes = (*mapped.match.differences, *mapped.match.support)
            yield start.replace(notes=notes)
            continue
        try:
            if quantization not in known:
                known[quantization] = _ranked(engine, mapped, represented, options.segments)
        except UnsupportedError as error:
            yield start.replace(notes=(error.message, error.hint or ""))
            continue
        modelled, found = known[quantization]
        count, rescore = registry.candidates(engine.name, mapped, options.k, setting.rescore)
        start = start.replace(
            state="predicted",
            target=str(mapped.target),
            rescore=rescore,
            bytes_per_vector=float(
                mapped.target.code_bytes(engine.vector.dim)
                or 4 * mapped.target.kept_dims(engine.vector.dim)
            ),
        )
        shares = found.recall(count, options.k)
        if quantization.dims is not None:
            narrow = _narrow_ranks(engine, quantization.dims, represented, options, known)
            shares = np.minimum(shares, narrow.recall(options.k, options.k))
        result = _predicted(start, modelled, metrics.figure(shares), represented)
        yield result if saved is None else saved.add(result)
    options.progress(Progress("simulating", len(settings), len(settings), "settings"))


def _ranked(
    engine: SimulatedEngine, mapped: MappedQuantization, represented: Population, segments: int
) -> tuple[ModelMatch, Ranks]:
    dim, metric = mapped.target.kept_dims(engine.vector.dim), engine.vector.metric
    modelled = registry.model_of(engine.name, mapped, engine.vector.replace(dim=dim))
    rows = leading(represented.rows, dim, metric)
    model = modelled.model.fit(rows[represented.learnt])
    found = ranks(
        model.rows(rows),
        model.queries(leading(represented.queries, dim, metric)),
        represented.truth,
        own=represented.own,
        weight=represented.weight,
        segments=segments,
        right=represented.right,
    )
    return modelled, found


def _narrow_ranks(
    engine: SimulatedEngine,
    dims: int,
    represented: Population,
    options: EvaluationOptions,
    known: dict[Quantization, tuple[ModelMatch, Ranks]],
) -> Ranks:
    """Ranks by the stored dimensions without codes: rescoring reaches no better order."""
    floats = Quantization(Kind.NONE, dims=dims)
    if floats not in known:
        known[floats] = _ranked(engine, engine.map(floats), represented, options.segments)
    return known[floats][1]


def _predicted(
    start: Result, modelled: ModelMatch, figure: Figure, represented: Population
) -> Result:
    """``start`` with the prediction, its interval widened by the known errors."""
    check = modelled.check
    slack = UNCHECKED if check is None else check.off
    if check is None:
        notes: tuple[str, ...] = (NOT_COMPARED,)
    elif check.validated:
        notes = (VALIDATED.format(check.against, check.off),)
    else:
        notes = (INACCURATE.format(check.off, check.against),)
    if represented.sampled:
        slack += SAMPLED
        notes = (*notes, BY_SAMPLE.format(len(represented.rows), represented.count))
    wide = Figure(figure.value, max(0.0, figure.low - slack), min(1.0, figure.high + slack))
    prediction = Prediction(wide, modelled.name, check is not None and check.validated, notes)
    ignored = (NO_OPTIONS.format(", ".join(start.options)),) if start.options else ()
    return start.replace(recall=wide, predicted=prediction, notes=ignored)


# -- from a store --------------------------------------------------------------------------------


def simulate(
    store: Store,
    collection: str,
    name: str,
    settings: Sequence[SettingLike],
    options: EvaluationOptions,
) -> Simulation:
    """Predict recall@k of settings for a collection, which is only read.

    Args:
        name: name of the vector.
        settings: quantizations, their strings, or ``Setting``.

    Raises:
        InputError, NotFoundError
        Interrupted: Ctrl-C after at least one setting was simulated.
    """
    begun = time.monotonic()
    options.check_store(store)
    options.check_segments(store.name)
    info = store.info(collection)
    vector = info.vectors[name].vector
    engine = SimulatedEngine(store.name, vector, lambda wanted: store.map(wanted, vector))
    wanted = [Setting.of(item) for item in settings]
    chosen = options.subsets(store, collection)
    seconds = {
        **overall_progress.of_reading(info.vectors[name], options),
        **overall_progress.of_simulation(info.vectors[name], wanted, options),
    }
    meter = Meter(options.progress, seconds).start(overall_progress.QUERIES)
    options = options.replace(progress=meter)
    parts, partial = _all_simulated(store, info, name, engine, chosen.parts, wanted, options)
    parts.sort(key=lambda part: part.rank)
    results = tuple(result for part in parts for result in part.results)
    separate = options.filter is not None or options.by is not None
    interrupted = (
        (INTERRUPTED.format(len(results), len(wanted) * len(chosen.parts), "simulated"),)
        if partial
        else ()
    )
    document = Simulation(
        store=str(store.address),
        server=info.server,
        collection=collection,
        vector=name,
        dim=vector.dim,
        metric=vector.metric,
        datatype=vector.datatype,
        count=info.count,
        k=options.k,
        queries=len(parts[0].queries),
        source=parts[0].queries.source,
        truth=parts[0].truth,
        results=results,
        sample_rows=parts[0].sampled,
        notes=(NO_GRAPH, *((ONLY_MATCHING,) if separate else ()), *interrupted, *chosen.notes),
        partial=partial,
        truths=tuple(part.truth for part in parts) if separate else (),
        by=options.by or "",
        by_limit=options.by_limit if options.by else None,
        created=now(),
        command=options.command,
        seconds=time.monotonic() - begun,
    )
    if partial:
        raise Interrupted(document)
    return document


@dataclass(frozen=True)
class _Simulated:
    """The predictions for some rows; ``sampled`` is the number of rows that represent them."""

    queries: Queries
    truth: Truth
    results: tuple[Result, ...]
    sampled: int

    @property
    def rank(self) -> tuple[bool, float]:
        """The lowest recall first; rows that prove nothing last."""
        lowest = min((each.lowest for each in self.results), default=math.inf)
        return self.truth.proof.level == "none", lowest


def _all_simulated(
    store: Store,
    info: CollectionInfo,
    name: str,
    engine: SimulatedEngine,
    subsets: Sequence[Subset],
    settings: Sequence[Setting],
    options: EvaluationOptions,
) -> tuple[list[_Simulated], bool]:
    """The predictions for each subset, and whether Ctrl-C ended them early."""
    parts: list[_Simulated] = []
    for subset in subsets:
        try:
            known = _known(store, info, name, engine, subset, options, first=not parts)
        except KeyboardInterrupt:
            if not parts:
                raise
            return parts, True
        found: list[Result] = []
        partial = False
        try:
            for result in predict(engine, known.represented, settings, options, known.saved):
                found.append(result.replace(filter=subset.label))
        except KeyboardInterrupt:
            if not parts and not found:
                raise
            partial = True
        if found:
            parts.append(_Simulated(known.queries, known.truth, tuple(found), known.sampled))
        if partial:
            return parts, True
    return parts, False


@dataclass(frozen=True)
class _Known:
    """What the predictions for some rows need, and the size of the sample that represents them."""

    queries: Queries
    truth: Truth
    represented: Population
    sampled: int
    saved: SavedResults


def _known(
    store: Store,
    info: CollectionInfo,
    name: str,
    engine: SimulatedEngine,
    subset: Subset,
    options: EvaluationOptions,
    *,
    first: bool,
) -> _Known:
    """Queries, ground truth and a sample of a subset; the first one reports the progress."""
    begin = options.progress.begin if first and isinstance(options.progress, Meter) else _ignored
    collection, vector = subset.collection, engine.vector
    queries = resolve_queries(store, collection, name, vector, options, subset.filter)
    begin(overall_progress.TRUTH)
    known = exact_truth(
        store, collection, name, vector, queries, options.k, memory=options.memory,
        cached=not options.fresh, seed=options.seed, filter=subset.filter,
        progress=options.progress,
    ).labelled(subset.label)  # fmt: skip
    begin(overall_progress.SAMPLE)
    represented, sampled = _population(store, subset, name, queries, known, options)
    saved = SavedResults.of(store, info, name, queries, options, verb="simulate", rows=subset.label)
    begin(overall_progress.SIMULATION)
    return _Known(queries, known.about, represented, sampled, saved)


def _ignored(part: str) -> None:
    return


def _population(
    store: Store,
    subset: Subset,
    name: str,
    queries: Queries,
    known: GroundTruth,
    options: EvaluationOptions,
) -> tuple[Population, int]:
    """The true neighbors, and a sample that represents all other rows; the size of the sample."""
    collection = subset.collection
    if known.about.total_rows <= options.sample_rows:
        rows = whole_of(store, collection, name, filter=subset.filter)
        batch = present(rows, name, collection)
        return population(batch, name, queries, known), len(batch)
    near = list(dict.fromkeys(key for row in known.ids for key in row))
    parts = []
    for start in range(0, len(near), FETCHED):
        part = store.fetch(collection, near[start : start + FETCHED], vectors=[name], payload=False)
        parts.append(part)
        options.progress(Progress("reading true neighbors", start + len(part), len(near)))
    drawn = sample_rows(store, subset, options.sample_rows, seed=options.seed, vectors=[name])
    sample = present(drawn, name, collection)
    # Rows without the vector do not count.
    count = round(known.about.total_rows * len(sample) / len(drawn))
    true = set(near)
    others = [at for at, key in enumerate(sample.ids) if key not in true]
    parts.append(Batch([sample.ids[at] for at in others], {name: sample.vectors[name][others]}))
    batch = Batch.concat(parts)
    return population(batch, name, queries, known, count, len(near)), len(sample)


def population(
    batch: Batch,
    name: str,
    queries: Queries,
    known: GroundTruth,
    count: int | None = None,
    themselves: int | None = None,
) -> Population:
    """Rows that represent a collection.

    Args:
        count: rows of the collection; None if ``batch`` holds all of them.
        themselves: number of rows at the start of ``batch`` with weight 1, while the others
            represent the rest of the collection; None if ``batch`` holds all rows.
    """
    rows = np.ascontiguousarray(batch.vectors[name])
    k, total = known.about.k, len(rows) if count is None else count
    places = {key: at for at, key in enumerate(batch.ids)}
    spots = np.full((len(queries), k), -1, dtype=np.int64)
    for at, row in enumerate(known.ids):
        found = [places[key] for key in row[:k] if key in places]
        spots[at, : len(found)] = found
    own = np.asarray([places.get(key, -1) if key is not None else -1 for key in queries.own])
    weight = None
    if themselves is not None and len(rows) > themselves:
        weight = np.ones(len(rows))
        weight[themselves:] = (total - themselves) / (len(rows) - themselves)
    learnt = slice(None) if weight is None else slice(themselves, None)
    own = own.astype(np.int64)
    right = _right(rows, queries, known, own)
    return Population(rows, weight, queries.vectors, spots, own, total, learnt, right)


def _right(
    rows: Floats, asked: Queries, known: GroundTruth, own: npt.NDArray[np.int64]
) -> dict[int, npt.NDArray[np.int64]]:
    """All correct rows of the queries whose last neighbor ties with rows beyond it."""
    tied = np.flatnonzero(known.tied)
    if not len(tied):
        return {}
    least = least_score(known.last[tied], known.vector.dim)
    at, of = reaching(asked.vectors[tied], rows, known.vector.metric, least)
    ends = np.searchsorted(at, np.arange(len(tied) + 1))
    found = {}
    for place, query in enumerate(tied.tolist()):
        mine = of[ends[place] : ends[place + 1]]
        mine = mine[mine != own[query]]
        if len(mine):
            found[query] = mine.astype(np.int64)
    return found
