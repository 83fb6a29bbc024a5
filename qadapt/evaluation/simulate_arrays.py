"""Simulate on vectors at hand: no database at all."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.errors import InputError
from qadapt.evaluation.exact_neighbors import over_rows
from qadapt.evaluation.ground_truth import Queries
from qadapt.evaluation.results import Simulation, now
from qadapt.evaluation.settings import Setting, SettingLike
from qadapt.evaluation.simulate import NO_GRAPH, population, predict, refuse_segments
from qadapt.model import Batch, Metric, Vector, as_vectors, check_queries, check_vectors
from qadapt.simulation import registry
from qadapt.stores import registry as stores
from qadapt.stores.base import OnProgress, check_k, silent

Floats = npt.NDArray[np.float32]


def simulate(
    rows: Any,
    settings: Sequence[SettingLike],
    *,
    queries: Any = 200,
    store: str = stores.DEFAULT,
    metric: Metric | str = Metric.COSINE,
    k: int = 10,
    segments: int = 1,
    seed: int = 0,
    progress: OnProgress | None = None,
) -> Simulation:
    """Predict recall@k of a store's settings on vectors at hand; no database at all.

    Args:
        rows: float ``(n, d)``, any array-like.
        settings: quantizations, their strings, or ``Setting``.
        queries: float ``(nq, d)``, or how many of the rows to ask with, each left out of its own
            results.
        store: whose codes, at its newest version; a name that `qadapt stores` lists.
        segments: segments of the collection, where each contributes its candidates.

    Raises:
        InputError, DimensionError, NonFiniteError, ZeroVectorError, SpecError
    """
    begun = time.monotonic()
    refuse_segments(segments, store)
    array = as_vectors(rows, what="rows")
    if not len(array):
        raise InputError("there are no rows to simulate with", hint="give at least one")
    vector = Vector(array.shape[1], Metric.of(metric))
    check_vectors(array, vector, what="rows")
    batch = Batch(range(len(array)), {"": array})
    asked = _queries(array, queries, vector, seed)
    known = over_rows(batch, "", vector, asked, check_k(k))
    query_population = population(batch, "", asked, known, k, len(array))
    results = predict(
        store, vector, query_population, [Setting.of(item) for item in settings], k,
        lambda quantization: registry.mapped_to(store, quantization, vector),
        progress or silent, segments=segments,
    )  # fmt: skip
    return Simulation(
        "", store, "", "", vector.dim, vector.metric, vector.datatype, len(array), k, len(asked),
        asked.source, known.about, results, len(array), now(), "", time.monotonic() - begun,
        (NO_GRAPH,),
    )  # fmt: skip


def _queries(array: Floats, given: Any, vector: Vector, seed: int) -> Queries:
    if isinstance(given, int) and not isinstance(given, bool):
        drawn = np.random.default_rng(seed).permutation(len(array))[:given]
        source = f"{len(drawn)} of the rows, each left out of its own results"
        return Queries(array[drawn], tuple(drawn.tolist()), source)
    found = as_vectors(given, what="queries")
    check_queries(found, vector)
    if not len(found):
        raise InputError("there are no queries to simulate with", hint="give at least one")
    return Queries(found, (None,) * len(found), f"{len(found)} queries")
