"""Exact nearest neighbours, computed by us from what the store holds."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.errors import InputError
from qadapt.evaluation.exact_neighbors import GroundTruth, exact_truth
from qadapt.model import Id, Vector, as_vectors, check_queries
from qadapt.model.npy import open_npy
from qadapt.model.query_checks import usable_queries
from qadapt.stores.base import OnProgress, Store

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Queries:
    """Queries to measure with.

    Attributes:
        vectors: float32 ``(nq, d)``.
        own: for each query the id of the row that it was taken from, which is left out of truth
            and hits; None where a query is nobody's.
        source: in words, for the report.
        ids: names of the queries, where they have any.
    """

    vectors: Floats
    own: tuple[Id | None, ...]
    source: str
    ids: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.vectors)


def queries_of(
    store: Store, collection: str, name: str, vector: Vector, given: Any, *, seed: int = 0
) -> Queries:
    """Queries from what a user may give: an array, the path of a ``.npy``, or a number of rows.

    Raises:
        InputError: no such file, not an array, or an empty collection.
        DimensionError, NonFiniteError, ZeroVectorError, InputError: unfit queries.
    """
    if isinstance(given, int) and not isinstance(given, bool):
        batch = store.sample(collection, given, seed=seed, vectors=[name])
        there = ~batch.missing.get(name, np.zeros(len(batch), dtype=np.bool_))
        there &= usable_queries(batch.vectors[name], vector)
        own = [key for key, present in zip(batch.ids, there, strict=True) if present]
        if not own:
            what = "has no vector that can be searched for" if len(batch) else "is empty"
            raise InputError(
                f"the collection {collection!r} {what}: there is nothing to measure with",
                hint="write vectors first",
            )
        source = f"{len(own)} of its own vectors, each left out of its own results"
        return Queries(batch.vectors[name][there], tuple(own), source)
    from_file = isinstance(given, (str, os.PathLike))
    array = load_queries(given) if from_file else as_vectors(given, what="queries")
    check_queries(array, vector)
    if not len(array):
        raise InputError("there are no queries to measure with", hint="give at least one")
    source = f"{len(array)} queries" + (f" from {os.fspath(given)}" if from_file else "")
    return Queries(array, (None,) * len(array), source)


def load_queries(path: Any) -> Floats:
    """Queries from a ``.npy`` file, float32 ``(nq, d)``.

    Raises:
        InputError: it cannot be read as an array of numbers.
    """
    array = open_npy(path, what="the queries")
    return as_vectors(array, what="queries")


def exact_neighbors(
    store: Store,
    collection: str,
    name: str,
    vector: Vector,
    queries: Queries,
    k: int,
    progress: OnProgress,
) -> GroundTruth:
    """The ``k`` rows that score best by the vectors that the store holds, for each query; nothing
    is kept, and all rows are read."""
    return exact_truth(store, collection, name, vector, queries, k, cached=False, progress=progress)
