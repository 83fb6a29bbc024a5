"""Exact nearest neighbours, computed by us from what the store holds."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.engines.exact import RunningTop, exact_scores
from qadapt.errors import InputError
from qadapt.model import Id, Vector, as_vectors, check_vectors
from qadapt.stores.base import OnProgress, Progress, Store

Floats = npt.NDArray[np.float32]
QUERY_BLOCK = 256


@dataclass(frozen=True)
class Queries:
    """Queries to measure with.

    Attributes:
        vectors: float32 ``(nq, d)``.
        own: for each query the id of the row that it was taken from, which is left out of truth
            and hits; None where a query is nobody's.
        source: in words, for the report.
    """

    vectors: Floats
    own: tuple[Id | None, ...]
    source: str

    def __len__(self) -> int:
        return len(self.vectors)


def queries_of(
    store: Store, collection: str, name: str, vector: Vector, given: Any, *, seed: int = 0
) -> Queries:
    """Queries from what a user may give: an array, the path of a ``.npy``, or a number of rows.

    Raises:
        InputError: no such file, not an array, or an empty collection.
        DimensionError, NonFiniteError, ZeroVectorError: unfit queries.
    """
    if isinstance(given, int) and not isinstance(given, bool):
        batch = store.sample(collection, given, seed=seed, vectors=[name])
        there = ~batch.missing.get(name, np.zeros(len(batch), dtype=np.bool_))
        own = [key for key, present in zip(batch.ids, there, strict=True) if present]
        if not own:
            raise InputError(
                f"the collection {collection!r} is empty: there is nothing to measure with",
                hint="write vectors first",
            )
        source = f"{len(own)} of its own vectors, each left out of its own results"
        return Queries(batch.vectors[name][there], tuple(own), source)
    from_file = isinstance(given, (str, os.PathLike))
    array = load_queries(given) if from_file else as_vectors(given, what="queries")
    check_vectors(array, vector, what="queries")
    if not len(array):
        raise InputError("there are no queries to measure with", hint="give at least one")
    source = f"{len(array)} queries" + (f" from {os.fspath(given)}" if from_file else "")
    return Queries(array, (None,) * len(array), source)


def load_queries(path: Any) -> Floats:
    """Queries from a ``.npy`` file, float32 ``(nq, d)``.

    Raises:
        InputError: it cannot be read as an array of numbers.
    """
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(
            f"cannot read queries from {path}: {error}",
            hint="give a .npy file of an array (nq, d), as numpy.save writes it",
        ) from error
    if not isinstance(array, np.ndarray):
        array.close()
        raise InputError(f"{path} holds several arrays", hint="give a .npy file, not a .npz")
    return as_vectors(array, what="queries")


def exact_neighbours(
    store: Store,
    collection: str,
    name: str,
    vector: Vector,
    queries: Queries,
    k: int,
    progress: OnProgress,
) -> list[list[Id]]:
    """The ids of the ``k`` rows that score best by float32 originals, for each query.

    The whole collection is read once, in pages; memory holds a page and ``k`` rows a query.
    """
    blocks = [slice(start, start + QUERY_BLOCK) for start in range(0, len(queries), QUERY_BLOCK)]
    # One more than k, so that a query's own row can be left out.
    tops = [RunningTop(k + 1) for _ in blocks]
    ids: list[Id] = []
    total = store.count(collection)
    for batch in store.read(collection, vectors=[name], payload=False):
        rows = batch.vectors[name]
        missing = batch.missing.get(name)
        for block, top in zip(blocks, tops, strict=True):
            scores = exact_scores(queries.vectors[block], rows, vector.metric)
            if missing is not None:
                scores[:, missing] = -np.inf
            top.add(scores)
        ids.extend(batch.ids)
        progress(Progress("computing the exact truth", len(ids), total))
    found: list[list[Id]] = []
    for block, top in zip(blocks, tops, strict=True):
        for own, row, scores in zip(queries.own[block], top.rows, top.scores, strict=True):
            there = row[scores > -np.inf].tolist()
            found.append([ids[at] for at in there if ids[at] != own][:k])
    return found
