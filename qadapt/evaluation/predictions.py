"""Predictions: the recall of a setting from rows that represent a collection."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from qadapt.engines.nearest import reaching
from qadapt.errors import InputError, UnsupportedError
from qadapt.evaluation import metrics
from qadapt.evaluation.client_predictions import ClientCodes
from qadapt.evaluation.exact_neighbors import GroundTruth
from qadapt.evaluation.ground_truth import Queries
from qadapt.evaluation.options import EvaluationOptions
from qadapt.evaluation.partial import SavedResults
from qadapt.evaluation.recall import least_score
from qadapt.evaluation.results import Figure, Prediction, Result
from qadapt.evaluation.settings import Setting
from qadapt.local.client_codes import code_bytes, default_rescore
from qadapt.model import Batch, Kind, Match, MatchLevel, Metric, Quantization, Vector
from qadapt.model.leading_dims import leading
from qadapt.quantizers.base import Exact, Shared
from qadapt.quantizers.models import Check, ModelMatch
from qadapt.simulation import registry
from qadapt.simulation.rank_recall import Ranks, ranks, without_codes
from qadapt.simulation.registry import UNCHECKED
from qadapt.stores.base import MappedQuantization, Progress

Floats = npt.NDArray[np.float32]

NO_OPTIONS = "search options do not affect predictions: {}"
INACCURATE = "the model was off by up to {:.3f} ({}); the interval is widened by that"
VALIDATED = "compared with {}: off by {:.3f} at most; the interval is widened by that"
CLIENT_MODEL = "qadapt's client-side codes"
CLIENT_CHECK = "itself: the code index ran on the sample"
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
        learnt: float32 ``(m, d)``, rows drawn uniformly, from which ranges and centroids are
            learned; None for ``rows``.
    """

    rows: Floats
    weight: npt.NDArray[np.float64] | None
    queries: Floats
    truth: npt.NDArray[np.int64]
    own: npt.NDArray[np.int64]
    count: int
    learnt: Floats | None = None
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
        by_us: the match level of client-side codes, which stand in for quantizations that the
            database does not support; None if they are not accepted.
    """

    name: str
    vector: Vector
    map: Callable[[Quantization], MappedQuantization]
    by_us: Callable[[Quantization], Match] | None = None


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
    known = _Modelled(engine, represented, options.segments)
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
            ours = None if engine.by_us is None else engine.by_us(quantization)
            if ours is not None and ours.level is not MatchLevel.UNSUPPORTED:
                result = known.by_us(start.replace(match=ours), setting, options.k)
                yield result if saved is None else saved.add(result)
                continue
            notes = (*mapped.match.differences, *mapped.match.support)
            yield start.replace(notes=notes)
            continue
        try:
            modelled, found = known.of(mapped)
        except UnsupportedError as error:
            yield start.replace(notes=(error.message, error.hint or ""))
            continue
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
        if quantization.dims is not None and not registry.rescores_all_dims(engine.name):
            # Rescoring reaches no better order than the stored dimensions without codes.
            _, narrow = known.of(engine.map(Quantization(Kind.NONE, dims=quantization.dims)))
            shares = np.minimum(shares, narrow.recall(options.k, options.k))
        result = _predicted(start, modelled, metrics.figure(shares), represented)
        yield result if saved is None else saved.add(result)
    options.progress(Progress("simulating", len(settings), len(settings), "settings"))


class _Modelled:
    """The ranks of the correct rows; codes that several settings share are modeled once."""

    def __init__(self, engine: SimulatedEngine, represented: Population, segments: int) -> None:
        self._engine = engine
        self._represented = represented
        self._segments = segments
        self._known: dict[tuple[Quantization, str], tuple[ModelMatch, Ranks]] = {}
        self._arrays: dict[int, _Arrays] = {}

    def of(self, mapped: MappedQuantization) -> tuple[ModelMatch, Ranks]:
        """The model of a setting as the store applies it, and its ranks.

        Raises:
            UnsupportedError: the store has no model of these codes.
        """
        native = json.dumps(mapped.native or {}, sort_keys=True, default=str)
        key = (mapped.target.replace(rescore=None), native)
        if key not in self._known:
            self._known[key] = self._ranked(mapped)
        return self._known[key]

    def by_us(self, start: Result, setting: Setting, k: int) -> Result:
        """The prediction of a setting with client-side codes."""
        quantization, vector = start.quantization, self._engine.vector
        represented, arrays = self._represented, self._of_dims(vector.dim)
        codes = ClientCodes(
            vector, quantization, arrays.rows, arrays.learnt, arrays.queries, represented.truth,
            represented.own, represented.weight,
        )  # fmt: skip
        rescore = setting.rescore or default_rescore(quantization)
        start = start.replace(
            state="predicted", target=str(quantization), rescore=rescore,
            bytes_per_vector=float(sum(code_bytes(1, vector.dim, quantization))),
        )  # fmt: skip
        modelled = ModelMatch(Exact(vector.metric), CLIENT_MODEL, Check(0.0, CLIENT_CHECK))
        return _predicted(start, modelled, metrics.figure(codes.recall(rescore, k)), represented)

    def _of_dims(self, dim: int) -> _Arrays:
        if dim not in self._arrays:
            self._arrays[dim] = _Arrays.of(self._represented, dim, self._engine.vector.metric)
        return self._arrays[dim]

    def _ranked(self, mapped: MappedQuantization) -> tuple[ModelMatch, Ranks]:
        represented = self._represented
        dim = mapped.target.kept_dims(self._engine.vector.dim)
        modelled = registry.model_of(
            self._engine.name, mapped, self._engine.vector.replace(dim=dim)
        )
        if mapped.target.kind is Kind.NONE and dim == self._engine.vector.dim:
            return modelled, without_codes(represented.truth)
        arrays = self._of_dims(dim)
        model = modelled.model.fit(arrays.learnt, arrays.shared)
        found = ranks(
            model.rows(arrays.rows),
            model.queries(arrays.queries),
            represented.truth,
            own=represented.own,
            weight=represented.weight,
            segments=self._segments,
            right=represented.right,
        )
        return modelled, found


@dataclass(frozen=True)
class _Arrays:
    """The arrays that all models of vectors with the same dimensions are given.

    Attributes:
        rows, queries: float32 ``(n, d)`` and ``(nq, d)``.
        learnt: the rows from which ranges and centroids are learned.
        shared: what models compute alike from these arrays.
    """

    rows: Floats
    queries: Floats
    learnt: Floats
    shared: Shared

    @classmethod
    def of(cls, represented: Population, dim: int, metric: Metric) -> _Arrays:
        """The first ``dim`` dimensions."""
        rows = leading(represented.rows, dim, metric)
        queries = leading(represented.queries, dim, metric)
        given = represented.learnt
        learnt = rows if given is None else leading(given, dim, metric)
        return cls(rows, queries, learnt, Shared())


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


def population(
    batch: Batch,
    name: str,
    queries: Queries,
    known: GroundTruth,
    count: int | None = None,
    themselves: int | None = None,
    learnt: Floats | None = None,
) -> Population:
    """Rows that represent a collection.

    Args:
        count: rows of the collection; None if ``batch`` holds all of them.
        themselves: number of rows at the start of ``batch`` with weight 1, while the others
            represent the rest of the collection; None if ``batch`` holds all rows.
        learnt: float32 ``(m, d)``, rows to learn from; None for those of ``batch``.
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
