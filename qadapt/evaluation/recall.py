"""Recall@k by exact scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.engines.exact import tolerance
from qadapt.evaluation.proof import Proof
from qadapt.model import Vector

Doubles = npt.NDArray[np.float64]

ORIGINALS = "original vectors (float32)"  # ground truth without loss

BOOTSTRAP = 1000
FEW = 50  # with fewer distinct queries, a recall is weak evidence


def without_own(ids: npt.NDArray[np.object_], own: Sequence[Any], k: int) -> list[list[Any]]:
    """The first ``k`` hits of each query, without padding and without the query's own row.

    Args:
        ids: object ``(nq, >=k)``; one more column if queries are rows of the collection.
        own: the id of the row that each query was drawn from; None for none.
    """
    pairs = zip(ids.tolist(), own, strict=True)
    return [[key for key in row if key is not None and key != mine][:k] for row, mine in pairs]


def truth_of(vector: Vector) -> str:
    """Describe the vectors that exact scores are computed from."""
    if vector.datatype == "float32":
        return ORIGINALS
    return (
        f"vectors as stored ({vector.datatype}): recall does not include the loss of the datatype"
    )


def proof_of(queries: npt.NDArray[Any], k: int, more: Sequence[bool], most: int) -> Proof:
    """How much a recall proves.

    Args:
        queries: float32 ``(nq, d)``.
        more: for each query, whether there are rows beyond its ``k`` best.
        most: the largest number of rows that one of the queries can find, if there are no more.
    """
    left = {query.tobytes() for query, there in zip(queries, more, strict=True) if there}
    if not left:
        rows = "1 row" if most == 1 else f"{most:,} rows"
        return Proof(
            "none",
            f"recall@{k} proves nothing here: k covers all rows that a query can find ({rows} at "
            "most), so every search has recall 1; use a smaller k",
        )
    if len(left) >= FEW:
        return Proof()
    but = "" if all(more) else f" that can find more than {k:,} rows"
    noun = "query" if len(left) == 1 else "queries"
    return Proof(
        "weak",
        f"only {len(left)} distinct {noun}{but}: this recall is weak evidence; measure with at "
        f"least {FEW}",
    )


def least_score(last: npt.ArrayLike, dim: int) -> Doubles:
    """The minimum exact score of a correct hit.

    Args:
        last: exact score of the k-th best row of each query.
        dim: dimensions of the vectors.
    """
    scores = np.asarray(last, dtype=np.float64)
    found: Doubles = scores - tolerance(scores, dim)
    return found


def is_correct(
    found: Sequence[Sequence[Any]], scores: Doubles, least: Doubles
) -> npt.NDArray[np.bool_]:
    """Which hits are correct, bool ``(nq, w)``.

    A hit is correct if the row exists, is not repeated, and its exact score is at least ``least``.

    Args:
        found: ids of the hits of each query, at most ``w``.
        scores: exact scores ``(nq, w)``; NaN for rows that do not exist or cannot be correct.
        least: ``(nq,)``, see ``least_score``.
    """
    with np.errstate(invalid="ignore"):
        good: npt.NDArray[np.bool_] = scores >= least[:, None]
    for at, row in enumerate(found):
        if len(set(row)) == len(row):
            continue
        seen: set[Any] = set()
        for place, key in enumerate(row):
            good[at, place] &= key not in seen
            seen.add(key)
    return good


def recall_per_query(
    found: Sequence[Sequence[Any]], scores: Doubles, last: Doubles, wanted: npt.ArrayLike, dim: int
) -> Doubles:
    """Recall@k of each query, float64 ``(nq,)``: correct hits divided by ``wanted``.

    Args:
        found: ids of the first k hits of each query, without its own row.
        scores: their exact scores ``(nq, k)``, see ``is_correct``.
        last: exact score of the last exact neighbor of each query.
        wanted: ``(nq,)``, number of exact neighbors, at most k; recall is 1 if it is 0.
        dim: dimensions of the vectors.
    """
    count = is_correct(found, scores, least_score(last, dim)).sum(axis=1)
    rows = np.asarray(wanted)
    shares: Doubles = np.where(rows > 0, np.minimum(count, rows) / np.maximum(rows, 1), 1.0)
    return shares


def interval(values: npt.NDArray[np.float64], *, seed: int = 0) -> tuple[float, float]:
    """The 95 % confidence interval of the mean, by bootstrap.

    The bootstrap cannot estimate the interval of equal values; the rule of three is used for them.
    """
    if len(values) < 2:
        return 0.0, 1.0
    if values.min() == values.max():
        mean, slack = float(values[0]), min(1.0, 3 / len(values))
        return max(0.0, mean - slack), min(1.0, mean + slack)
    drawn = np.random.default_rng(seed).integers(0, len(values), (BOOTSTRAP, len(values)))
    means = values[drawn].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
