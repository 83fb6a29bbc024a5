"""Simulate: what recall a setting will have, worked out from a sample of the user's own vectors.

Nothing is written to the database, and no setting is changed. A sample of rows stands for all
rows: each counts for as many as it was drawn from, and the true neighbours of the queries, which
are known exactly, count for themselves. So a prediction is for the whole collection.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.engines.nearest import reaching
from qadapt.errors import InputError, UnsupportedError, refuse_pairs
from qadapt.evaluation import metrics
from qadapt.evaluation.exact_neighbors import MEMORY, GroundTruth, exact_truth
from qadapt.evaluation.ground_truth import Queries
from qadapt.evaluation.query_input import Encoder, resolve_queries
from qadapt.evaluation.recall import least_score
from qadapt.evaluation.results import Figure, Prediction, Result, Simulation, now
from qadapt.evaluation.sampling import present, whole_of
from qadapt.evaluation.settings import Setting, SettingLike
from qadapt.model import Batch, MatchLevel, Quantization, Rescore, Vector
from qadapt.quantizers.models import ModelMatch
from qadapt.simulation import registry
from qadapt.simulation.rank_recall import Ranks, ranks
from qadapt.simulation.registry import UNCHECKED
from qadapt.stores import registry as stores
from qadapt.stores.base import MappedQuantization, OnProgress, Progress, Store, check_k, silent

Floats = npt.NDArray[np.float32]

SAMPLE = 10_000
FETCHED = 1_000  # rows fetched at once

NO_GRAPH = "what a graph or lists leave out is not in it: codes are taken to be scanned"
NO_OPTIONS = "search options have no part in it: {}"
FAR = "this model was off by up to {:.3f} ({}): the interval is widened by that"
OFF = "checked against {}: off by {:.3f} at most, and the interval is widened by that"
SAMPLED = 0.02  # what standing for others adds: ranks of neighbours are then estimates
BY_SAMPLE = f"{{:,}} rows stood for {{:,}}: the interval is widened by {SAMPLED}"
ALONE = f"no engine was asked: the interval is widened by {UNCHECKED}"


@dataclass(frozen=True)
class Population:
    """Rows that stand for a collection.

    Attributes:
        rows: float32 ``(n, d)``.
        weight: float64 ``(n,)``, rows of the collection that each stands for; None for 1 each.
        queries: float32 ``(nq, d)``.
        truth: int64 ``(nq, k)``, numbers of the true neighbours among the rows, -1 for none.
        own: int64 ``(nq,)``, the row that a query is, -1 for none.
        right: of queries of which more rows are right than ``truth`` has, all those rows.
        count: rows of the collection.
        learnt: the rows that ranges and centroids are learnt from: those that were drawn evenly.
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
        """Whether rows stand for others too."""
        return self.weight is not None


Map = Callable[[Quantization], MappedQuantization]


def predict(
    engine: str,
    vector: Vector,
    query_population: Population,
    settings: Sequence[Setting],
    k: int,
    map_: Map,
    progress: OnProgress = silent,
    *,
    segments: int = 1,
) -> tuple[Result, ...]:
    """A predicted result for each setting; codes that several share are modelled once.

    Args:
        engine: the store whose models are asked.
        map_: a quantization in the store's own words.
        segments: segments of a collection, where each contributes its candidates.
    """
    known: dict[Quantization, tuple[ModelMatch, Ranks]] = {}
    results = []
    for at, setting in enumerate(settings):
        progress(Progress("simulating", at, len(settings), "settings"))
        quantization = setting.quantization
        if quantization is None:
            raise InputError(
                "live is no setting to simulate", hint="name its codes, such as binary"
            )
        mapped = map_(quantization)
        start = Result(
            setting.text, quantization, setting.rescore, dict(setting.options),
            match=mapped.match, where="simulated", state="unsupported",
        )  # fmt: skip
        if mapped.match.level is MatchLevel.UNSUPPORTED:
            notes = (*mapped.match.differences, *mapped.match.support)
            results.append(start.replace(notes=notes))
            continue
        try:
            if quantization not in known:
                known[quantization] = _ranked(engine, mapped, vector, query_population, segments)
        except UnsupportedError as error:
            results.append(start.replace(notes=(error.message, error.hint or "")))
            continue
        modelled, found = known[quantization]
        count, rescore = registry.candidates(engine, mapped, k, setting.rescore)
        figure = metrics.figure(found.recall(count, k))
        done = _predicted(start, modelled, figure, mapped, rescore, vector, query_population)
        results.append(done)
    progress(Progress("simulating", len(settings), len(settings), "settings"))
    return tuple(results)


def refuse_segments(segments: int, engine: str) -> None:
    """Refuse segments of a store whose segments contribute no candidates, or fewer than one.

    Raises:
        InputError, SpecError
    """
    each = stores.profile(engine).traits.segment_candidates
    if isinstance(segments, bool) or segments < 1:
        raise InputError(f"segments are a whole number from 1; got {segments!r}")
    refuse_pairs(
        (segments != 1 and not each, "segments (--segments)",
         f"with the store {engine}", "its segments contribute no candidates of their own"),
    )  # fmt: skip


def _ranked(
    engine: str,
    mapped: MappedQuantization,
    vector: Vector,
    query_population: Population,
    segments: int,
) -> tuple[ModelMatch, Ranks]:
    modelled = registry.model_of(engine, mapped, vector)
    model = modelled.model.fit(query_population.rows[query_population.learnt])
    found = ranks(
        model.rows(query_population.rows),
        model.queries(query_population.queries),
        query_population.truth,
        own=query_population.own,
        weight=query_population.weight,
        segments=segments,
        right=query_population.right,
    )
    return modelled, found


def _predicted(
    start: Result,
    modelled: ModelMatch,
    figure: Figure,
    mapped: MappedQuantization,
    rescore: Rescore | None,
    vector: Vector,
    query_population: Population,
) -> Result:
    check = modelled.check
    slack = UNCHECKED if check is None else check.off
    if check is None:
        notes: tuple[str, ...] = (ALONE,)
    elif check.validated:
        notes = (OFF.format(check.against, check.off),)
    else:
        notes = (FAR.format(check.off, check.against),)
    if query_population.sampled:
        slack += SAMPLED
        notes = (*notes, BY_SAMPLE.format(len(query_population.rows), query_population.count))
    wide = Figure(figure.value, max(0.0, figure.low - slack), min(1.0, figure.high + slack))
    prediction = Prediction(wide, modelled.name, check is not None and check.validated, notes)
    reported = (NO_OPTIONS.format(", ".join(start.options)),) if start.options else ()
    return start.replace(
        state="predicted",
        target=str(mapped.target),
        rescore=rescore,
        recall=wide,
        predicted=prediction,
        bytes_per_vector=float(mapped.target.code_bytes(vector.dim) or 4 * vector.dim),
        notes=reported,
    )


# -- from a store --------------------------------------------------------------------------------


def simulate(
    store: Store,
    collection: str,
    name: str,
    settings: Sequence[SettingLike],
    *,
    k: int = 10,
    queries: Any = 200,
    encoder: Encoder | None = None,
    sample_rows: int = SAMPLE,
    segments: int = 1,
    memory: int = MEMORY,
    fresh: bool = False,
    seed: int = 0,
    progress: OnProgress = silent,
    command: str = "",
) -> Simulation:
    """Predict recall@k of settings for a collection, which is only read.

    Args:
        settings: quantizations, their strings, or ``Setting``.
        queries: see ``questions.resolve_queries``.
        sample_rows: rows that stand for all others; their codes are made here.
        segments: segments of the collection, where each contributes its candidates.

    Raises:
        InputError, NotFoundError
    """
    begun = time.monotonic()
    check_k(k, store.traits.max_k - 1)
    refuse_segments(segments, store.name)
    info = store.info(collection)
    vector = info.vectors[name].vector
    asked = resolve_queries(store, collection, name, vector, queries, encoder=encoder, seed=seed)
    known = exact_truth(
        store, collection, name, vector, asked, k,
        memory=memory, cached=not fresh, seed=seed, progress=progress,
    )  # fmt: skip
    query_population, sampled = _population(
        store, collection, name, asked, known, k, sample_rows, seed, progress
    )
    results = predict(
        store.name, vector, query_population, [Setting.of(item) for item in settings], k,
        lambda quantization: store.map(quantization, vector), progress, segments=segments,
    )  # fmt: skip
    return Simulation(
        str(store.address), store.name, collection, name, vector.dim, vector.metric,
        vector.datatype, info.count, k, len(asked), asked.source, known.about, results, sampled,
        now(), command, time.monotonic() - begun, (NO_GRAPH,),
    )  # fmt: skip


def _population(
    store: Store,
    collection: str,
    name: str,
    asked: Queries,
    known: GroundTruth,
    k: int,
    rows: int,
    seed: int,
    progress: OnProgress,
) -> tuple[Population, int]:
    """True neighbours as themselves, and a sample of all others."""
    if known.about.total_rows <= rows:
        batch = present(whole_of(store, collection, name), name, collection)
        return population(batch, name, asked, known, k, len(batch)), len(batch)
    near = list(dict.fromkeys(key for row in known.ids for key in row))
    parts = []
    for start in range(0, len(near), FETCHED):
        part = store.fetch(collection, near[start : start + FETCHED], vectors=[name], payload=False)
        parts.append(part)
        progress(Progress("reading true neighbours", start + len(part), len(near)))
    drawn = store.sample(collection, rows, seed=seed, vectors=[name])
    sample = present(drawn, name, collection)
    # Rows without the vector are none of its own.
    count = round(known.about.total_rows * len(sample) / len(drawn))
    true = set(near)
    others = [at for at, key in enumerate(sample.ids) if key not in true]
    parts.append(Batch([sample.ids[at] for at in others], {name: sample.vectors[name][others]}))
    batch = Batch.concat(parts)
    return population(batch, name, asked, known, k, count, len(near)), len(sample)


def population(
    batch: Batch,
    name: str,
    asked: Queries,
    known: GroundTruth,
    k: int,
    count: int,
    themselves: int | None = None,
) -> Population:
    """Rows that stand for a collection of ``count`` rows.

    Args:
        themselves: so many rows at the start stand for themselves, and the others for what is
            left; None when all are there.
    """
    rows = np.ascontiguousarray(batch.vectors[name])
    places = {key: at for at, key in enumerate(batch.ids)}
    spots = np.full((len(asked), k), -1, dtype=np.int64)
    for at, row in enumerate(known.ids):
        found = [places[key] for key in row[:k] if key in places]
        spots[at, : len(found)] = found
    own = np.asarray([places.get(key, -1) if key is not None else -1 for key in asked.own])
    weight = None
    if themselves is not None and len(rows) > themselves:
        weight = np.ones(len(rows))
        weight[themselves:] = (count - themselves) / (len(rows) - themselves)
    learnt = slice(None) if weight is None else slice(themselves, None)
    own = own.astype(np.int64)
    right = _right(rows, asked, known, own)
    return Population(rows, weight, asked.vectors, spots, own, count, learnt, right)


def _right(
    rows: Floats, asked: Queries, known: GroundTruth, own: npt.NDArray[np.int64]
) -> dict[int, npt.NDArray[np.int64]]:
    """All right rows of the queries of which rows beyond the neighbours are right too."""
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
