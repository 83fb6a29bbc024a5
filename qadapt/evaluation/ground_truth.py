"""Queries for measurements, and exact nearest neighbors computed from the stored vectors."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.errors import InputError
from qadapt.evaluation.exact_neighbors import GroundTruth
from qadapt.evaluation.row_samples import SubsetSample
from qadapt.evaluation.streamed_ground_truth import Keep, exact_truth
from qadapt.evaluation.subsets import Subset
from qadapt.local.settings import read_settings
from qadapt.model import Id, Vector, as_vectors, check_queries
from qadapt.model.embedding_kinds import decoded, unclear_bytes
from qadapt.model.leading_dims import as_stored
from qadapt.model.npy import open_npy
from qadapt.model.query_checks import usable_queries
from qadapt.stores.base import OnProgress, Store

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Queries:
    """Queries for a measurement.

    Attributes:
        vectors: float32 ``(nq, d)``.
        own: for each query, the id of the row that it was drawn from, which is excluded from
            ground truth and hits; None if it was not drawn from the collection.
        source: description of the origin, for reports.
        ids: ids of the queries, if they have any.
    """

    vectors: Floats
    own: tuple[Id | None, ...]
    source: str
    ids: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.vectors)


def queries_of(
    store: Store,
    collection: str,
    name: str,
    vector: Vector,
    given: Any,
    *,
    seed: int = 0,
    filter: Any = None,
    sample: SubsetSample | None = None,
    kind: str | None = None,
) -> Queries:
    """Load queries from an array, the path of a ``.npy`` file, or a number of rows to draw.

    Args:
        kind: form of the queries, see ``EmbeddingKind``; None for floats.
        filter: draw from the rows that match only.
        sample: draw from this sample of these rows.

    Raises:
        InputError: the file does not exist or holds no array, or the collection is empty.
        DimensionError, NonFiniteError, ZeroVectorError: invalid queries.
    """
    if isinstance(given, int) and not isinstance(given, bool):
        subset = Subset.of(collection, filter)
        if sample is None:
            sample = SubsetSample(store, subset, name, given, seed)
        batch = sample.rows(given)
        there = ~batch.missing.get(name, np.zeros(len(batch), dtype=np.bool_))
        there &= usable_queries(batch.vectors[name], vector)
        own = [key for key, present in zip(batch.ids, there, strict=True) if present]
        if not own:
            what = "has no vector that can be used as a query" if len(batch) else "is empty"
            if subset.filter is not None:
                raise InputError(
                    f"no row of {subset.collection!r} that can be used as a query matches "
                    f"{subset.label}, so nothing can be measured",
                    hint="check the filter: `qadapt search URL COLLECTION --filter ...`",
                )
            raise InputError(
                f"the collection {subset.collection!r} {what}, so nothing can be measured",
                hint="write vectors first",
            )
        among = "" if subset.filter is None else " that match the filter"
        source = f"{len(own)} of its vectors{among}, self-matches excluded"
        return Queries(batch.vectors[name][there], tuple(own), source)
    from_file = isinstance(given, (str, os.PathLike))
    full_dim = read_settings(store, collection).of(name).full_dim
    if kind is not None:
        codes = open_npy(given, what="the queries") if from_file else given
        array = decoded(codes, kind, what="queries", dim=full_dim or vector.dim)
    elif from_file:
        array = load_queries(given, whole=vector.datatype in ("int8", "uint8"))
    else:
        array = as_vectors(given, what="queries")
    array = as_stored(array, vector, full_dim)
    check_queries(array, vector)
    if not len(array):
        raise InputError("there are no queries to measure with", hint="pass at least one query")
    source = f"{len(array)} queries" + (f" from {os.fspath(given)}" if from_file else "")
    return Queries(array, (None,) * len(array), source)


def load_queries(path: Any, *, whole: bool = True) -> Floats:
    """Load queries from a ``.npy`` file, float32 ``(nq, d)``.

    Args:
        whole: accept int8 and uint8 as numbers; otherwise refuse them, because they may be packed
            bits or codes.

    Raises:
        InputError: the file is not an array of numbers, or has bytes.
    """
    array = open_npy(path, what="the queries")
    if not whole:
        refuse_bytes(path, array)
    return as_vectors(array, what="queries")


def refuse_bytes(path: Any, array: npt.NDArray[Any]) -> None:
    """Refuse int8 and uint8 of a ``.npy`` file, which may be packed bits or codes.

    Raises:
        InputError
    """
    if array.ndim and array.dtype.kind in "iu" and array.dtype.itemsize == 1:
        what = f"{os.fspath(path)} has {array.dtype} {array.shape}"
        raise unclear_bytes(what, str(array.dtype), array.shape[-1])


def exact_neighbors(
    store: Store,
    collection: str,
    name: str,
    vector: Vector,
    queries: Queries,
    k: int,
    progress: OnProgress,
    *,
    cached: bool = False,
    filter: Any = None,
    keep: Keep | None = None,
) -> GroundTruth:
    """Compute the ``k`` nearest rows of each query from the stored vectors.

    Args:
        cached: use and update the cache if the engine counts changes of the collection.
        filter: among the rows that match only.
        keep: called with each page of rows that is read, and the ids of the best rows so far.
    """
    return exact_truth(
        store,
        collection,
        name,
        vector,
        queries,
        k,
        cached=cached,
        counted=True,
        filter=filter,
        keep=keep,
        progress=progress,
    )
