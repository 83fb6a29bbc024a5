"""Ground truth from vectors that the database does not hold, such as those of the model.

A database that keeps fewer dimensions, or vectors of a few bits, has lost the vectors that its
recall should be measured against.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from qadapt.errors import InputError
from qadapt.evaluation.exact_neighbors import GroundTruth, over_rows
from qadapt.evaluation.ground_truth import Queries
from qadapt.evaluation.options import EvaluationOptions
from qadapt.evaluation.query_input import resolve_queries
from qadapt.model import Batch, Vector, VectorInfo
from qadapt.model.query_checks import usable_queries
from qadapt.stores.base import Store

SOUGHT = 100  # ids that are looked up in the collection
FILE_TRUTH = "{}: {:,} vectors of {:,} dimensions"
OTHER_COUNT = "{} has {:,} rows, and the collection {:,}: recall counts rows that only one has"


@dataclass(frozen=True)
class OutsideVectors:
    """Vectors with the ids of their rows.

    Attributes:
        rows: one vector per row, named ``""``; ids as in the collection.
        source: where they are from, for reports.
    """

    rows: Batch
    source: str


def outside_truth(
    store: Store,
    collection: str,
    vector: VectorInfo,
    given: OutsideVectors,
    k: int,
    options: EvaluationOptions,
) -> tuple[Queries, GroundTruth, tuple[str, ...]]:
    """Queries, their exact neighbors among the given vectors, and notes.

    Raises:
        InputError: the vectors have other dimensions than the collection and its model, the
            collection has none of the first ids, or the queries are invalid.
    """
    whole = _vector(vector, given)
    ids = list(given.rows.ids[:SOUGHT])
    if not len(store.fetch(collection, ids, vectors=(), payload=False)):
        raise InputError(
            f"{collection!r} has none of the first {len(ids)} ids of {given.source}, such as "
            f"{', '.join(map(repr, ids[:3]))}",
            hint="the ids must be those of the collection: a column `id`, or FILE.npy.ids",
        )
    queries = _queries(store, collection, vector, whole, given, options)
    truth = over_rows(given.rows, "", whole, queries, k)
    source = FILE_TRUTH.format(given.source, len(given.rows), whole.dim)
    truth = dataclasses.replace(truth, about=truth.about.replace(ground_truth=source))
    notes: tuple[str, ...] = ()
    if len(given.rows) != vector.count:
        notes = (OTHER_COUNT.format(given.source, len(given.rows), vector.count),)
    return queries, truth, notes


def _vector(vector: VectorInfo, given: OutsideVectors) -> Vector:
    dim = given.rows.vectors[""].shape[1]
    cut = vector.quantization.dims is not None and dim > vector.dim
    if dim != vector.dim and not cut:
        raise InputError(
            f"the vectors of {given.source} have {dim:,} dimensions, and those of the collection "
            f"{vector.dim:,}",
            hint="pass the vectors that were written to the collection",
        )
    return Vector(dim, vector.metric)


def _queries(
    store: Store,
    collection: str,
    vector: VectorInfo,
    whole: Vector,
    given: OutsideVectors,
    options: EvaluationOptions,
) -> Queries:
    wanted: Any = options.queries
    if not isinstance(wanted, int) or isinstance(wanted, bool):
        return resolve_queries(store, collection, vector.name, whole, options, None)
    array = given.rows.vectors[""]
    drawn = np.random.default_rng(options.seed).permutation(len(array))[:wanted]
    rows = np.ascontiguousarray(array[drawn])
    good = usable_queries(rows, whole)
    own = tuple(given.rows.ids[at] for at in drawn[good].tolist())
    if not own:
        raise InputError(
            f"{given.source} has no vector that can be used as a query",
            hint="pass a file with vectors",
        )
    return Queries(rows[good], own, f"{len(own)} of its vectors, self-matches excluded")
