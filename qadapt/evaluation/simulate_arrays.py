"""Simulate settings on arrays, without a database."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.errors import InputError
from qadapt.evaluation.documents import Simulation, now
from qadapt.evaluation.exact_neighbors import over_rows
from qadapt.evaluation.ground_truth import Queries
from qadapt.evaluation.options import QUERIES, EvaluationOptions
from qadapt.evaluation.predictions import SimulatedEngine, population, predict
from qadapt.evaluation.settings import Setting, SettingLike
from qadapt.evaluation.simulate import NO_GRAPH
from qadapt.model import Batch, Metric, Server, Vector, as_vectors, check_queries, check_vectors
from qadapt.simulation import registry
from qadapt.stores import registry as stores
from qadapt.stores.base import OnProgress, check_k, silent

Floats = npt.NDArray[np.float32]


def simulate(
    rows: Any,
    settings: Sequence[SettingLike],
    *,
    queries: Any = QUERIES,
    store: str = stores.DEFAULT,
    metric: Metric | str = Metric.COSINE,
    k: int = 10,
    segments: int = 1,
    seed: int = 0,
    progress: OnProgress | None = None,
) -> Simulation:
    """Predict recall@k of settings on arrays, without a database.

    Args:
        rows: float ``(n, d)``, any array-like.
        settings: quantizations, their strings, or ``Setting``.
        queries: float ``(nq, d)``, or a number of rows to draw as queries, self-matches excluded.
        store: the database whose quantizers are simulated, at its newest version; `qadapt stores`
            lists the names.
        metric: ``cosine``, ``dot`` or ``euclidean``.
        k: number of results.
        segments: number of segments of the collection, each of which contributes candidates.
        seed: random seed of the drawn queries.

    Raises:
        InputError, DimensionError, NonFiniteError, ZeroVectorError, SpecError
    """
    begun = time.monotonic()
    options = EvaluationOptions(
        k=k, queries=queries, segments=segments, seed=seed, progress=progress or silent
    )
    options.check_segments(store)
    array = as_vectors(rows, what="rows")
    if not len(array):
        raise InputError("there are no rows to simulate with", hint="pass at least one row")
    vector = Vector(array.shape[1], Metric.of(metric))
    check_vectors(array, vector, what="rows")
    batch = Batch(range(len(array)), {"": array})
    asked = _queries(array, queries, vector, seed)
    known = over_rows(batch, "", vector, asked, check_k(k))
    engine = SimulatedEngine(
        store, vector, lambda wanted: registry.mapped_to(store, wanted, vector)
    )
    wanted = [Setting.of(item) for item in settings]
    results = tuple(predict(engine, population(batch, "", asked, known), wanted, options))
    return Simulation(
        store="",
        server=Server(store, deployment=""),
        collection="",
        vector="",
        dim=vector.dim,
        metric=vector.metric,
        datatype=vector.datatype,
        count=len(array),
        k=k,
        queries=len(asked),
        source=asked.source,
        truth=known.about,
        results=results,
        sample_rows=len(array),
        notes=(NO_GRAPH,),
        created=now(),
        seconds=time.monotonic() - begun,
    )


def _queries(array: Floats, given: Any, vector: Vector, seed: int) -> Queries:
    if isinstance(given, int) and not isinstance(given, bool):
        drawn = np.random.default_rng(seed).permutation(len(array))[:given]
        source = f"{len(drawn)} of the rows, self-matches excluded"
        return Queries(array[drawn], tuple(drawn.tolist()), source)
    found = as_vectors(given, what="queries")
    check_queries(found, vector)
    if not len(found):
        raise InputError("there are no queries to simulate with", hint="pass at least one query")
    return Queries(found, (None,) * len(found), f"{len(found)} queries")
