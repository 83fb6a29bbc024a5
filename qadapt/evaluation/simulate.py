"""Simulate: predict the recall of a setting from a sample of the user's own vectors.

Nothing is written to the database, and no setting is changed. A sample represents all rows: each
sampled row has the weight of the rows that it was drawn from, and the true neighbors of the
queries, which are known exactly, have weight 1. A prediction is therefore for the whole
collection.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qadapt.evaluation import overall_progress
from qadapt.evaluation.documents import Simulation, now
from qadapt.evaluation.exact_neighbors import GroundTruth
from qadapt.evaluation.ground_truth import Queries
from qadapt.evaluation.options import EvaluationOptions
from qadapt.evaluation.overall_progress import Meter
from qadapt.evaluation.partial import INTERRUPTED, Interrupted, SavedResults
from qadapt.evaluation.predictions import Population, SimulatedEngine, population, predict
from qadapt.evaluation.query_input import resolve_queries
from qadapt.evaluation.results import Result, Truth
from qadapt.evaluation.row_samples import SubsetSample
from qadapt.evaluation.sampling import present, whole_of
from qadapt.evaluation.settings import Setting, SettingLike
from qadapt.evaluation.streamed_ground_truth import exact_truth
from qadapt.evaluation.subsets import Subset
from qadapt.local import client_codes
from qadapt.model import Batch, CollectionInfo, Vector
from qadapt.stores.base import Progress, Store

Floats = npt.NDArray[np.float32]

# Rows of each query that are ranked themselves; the rows after them are represented by a sample.
# The rows that codes put before a true neighbor are mostly among them.
NEAR = 50
LEAST = 3  # the sample of other rows has at least 1 / LEAST of the rows

NO_GRAPH = "predictions assume that all codes are scanned; a graph or lists may miss more rows"
ONLY_MATCHING = "ranges and centroids are learned from the rows that match, not from all rows"


def simulate(
    store: Store,
    collection: str,
    name: str,
    settings: Sequence[SettingLike],
    options: EvaluationOptions,
    seen: Callable[[Sequence[Result]], None] | None = None,
) -> Simulation:
    """Predict recall@k of settings for a collection, which is only read.

    Args:
        name: name of the vector.
        settings: quantizations, their strings, or ``Setting``.
        seen: called with the results so far after each of them, if all rows are meant.

    Raises:
        InputError, NotFoundError
        Interrupted: Ctrl-C after at least one setting was simulated.
    """
    begun = time.monotonic()
    options.check_store(store)
    options.check_segments(store.name)
    info = store.info(collection)
    vector = info.vectors[name].vector
    engine = _engine(store, vector, options)
    wanted = [Setting.of(item) for item in settings]
    chosen = options.subsets(store, collection)
    seconds = {
        **overall_progress.of_reading(info.vectors[name], options),
        **overall_progress.of_simulation(info.vectors[name], wanted, options),
    }
    meter = Meter(options.progress, seconds).start(overall_progress.QUERIES)
    options = options.replace(progress=meter)
    separate = options.filter is not None or options.by is not None
    parts, partial = _all_simulated(
        store, info, name, engine, chosen.parts, wanted, options, None if separate else seen
    )
    parts.sort(key=lambda part: part.rank)
    results = tuple(result for part in parts for result in part.results)
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


def _engine(store: Store, vector: Vector, options: EvaluationOptions) -> SimulatedEngine:
    """The database's quantizers; with ``accept="client"``, also client-side codes."""
    if options.accept != "client":
        return SimulatedEngine(store.name, vector, lambda wanted: store.map(wanted, vector))
    return SimulatedEngine(
        store.name, vector, lambda wanted: client_codes.by_store(store, wanted, vector),
        client_codes.match,
    )  # fmt: skip


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
    seen: Callable[[Sequence[Result]], None] | None,
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
                if seen is not None:
                    seen(found)
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
    # One row more than is encoded: fewer rows are then known to be all rows.
    sample = SubsetSample(store, subset, name, options.sample_rows + 1, options.seed)
    queries = resolve_queries(store, collection, name, vector, options, subset.filter, sample)
    begin(overall_progress.TRUTH)
    known = exact_truth(
        store, collection, name, vector, queries, options.k, memory=options.memory,
        cached=not options.fresh, seed=options.seed, filter=subset.filter, keep=sample.keep,
        near=_depth(options, len(queries)), progress=options.progress,
    ).labelled(subset.label)  # fmt: skip
    begin(overall_progress.SAMPLE)
    represented, sampled = _population(store, subset, name, queries, known, sample, options)
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
    sample: SubsetSample,
    options: EvaluationOptions,
) -> tuple[Population, int]:
    """The true neighbors, and a sample that represents all other rows; the size of the sample."""
    collection = subset.collection
    if known.about.total_rows <= options.sample_rows:
        rows = sample.every_row()
        if rows is None:
            rows = whole_of(store, collection, name, filter=subset.filter)
        batch = present(rows, name, collection)
        return population(batch, name, queries, known), len(batch)
    near = list(dict.fromkeys(key for row in (*known.ids, *known.near) for key in row))
    own = sample.near(
        near, lambda done: options.progress(Progress("reading true neighbors", done, len(near)))
    )
    drawn = sample.rows(options.sample_rows)
    uniform = present(drawn, name, collection)
    # Rows without the vector do not count.
    count = round(known.about.total_rows * len(uniform) / len(drawn))
    true = set(own.ids)
    others = [at for at, key in enumerate(uniform.ids) if key not in true]
    learnt = np.ascontiguousarray(uniform.vectors[name])
    others = others[: max(options.sample_rows // LEAST, options.sample_rows - len(own))]
    rest = Batch([uniform.ids[at] for at in others], {name: uniform.vectors[name][others]})
    batch = Batch.concat([own, rest])
    found = population(batch, name, queries, known, count, len(own), learnt)
    return found, len(uniform)


def _depth(options: EvaluationOptions, queries: int) -> int:
    """Rows after the neighbors of each query that are ranked themselves."""
    most = max(NEAR, 2 * options.k)
    return max(0, min(most, 2 * options.sample_rows // max(1, queries)) - options.k)
