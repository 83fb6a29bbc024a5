"""Recall@k by exact scores, what it was measured against, and how much it proves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from qadapt.engines.exact import tolerance
from qadapt.model import Rescore, Serializable, Vector

Doubles = npt.NDArray[np.float64]

BOOTSTRAP = 1000
FEW = 50  # distinct queries under which a recall is weak evidence


@dataclass(frozen=True)
class Proof(Serializable):
    """How much a recall proves.

    Attributes:
        level: ``none``: any search would have this recall; ``weak``: too few distinct queries;
            ``sufficient``: neither.
        reason: why, in words; empty where it is sufficient.
    """

    level: Literal["none", "weak", "sufficient"] = "sufficient"
    reason: str = ""


@dataclass(frozen=True)
class Recall(Serializable):
    """How much of the exact truth a search found.

    Attributes:
        label: which search, in words.
        rescore: how it rescored; None for the store's own default.
        recall: mean recall@k over the queries, 0 to 1.
        low, high: 95 % interval of that mean, by bootstrap over the queries.
        k, queries: of how many results, over how many queries.
        latency_ms: mean time of one query in a batch, milliseconds, the way to the store included.
        ground_truth: the vectors that the exact scores were computed from.
        proof: how much the figure proves.
    """

    label: str
    rescore: Rescore | None
    recall: float
    low: float
    high: float
    k: int
    queries: int
    latency_ms: float
    ground_truth: str = ""
    proof: Proof = field(default_factory=Proof)


def without_own(ids: npt.NDArray[np.object_], own: Sequence[Any], k: int) -> list[list[Any]]:
    """The first ``k`` hits of each query, padding and the query's own row left out.

    Args:
        ids: object ``(nq, >=k)``; one column more where queries are rows of the collection.
        own: the row that each query was taken from; None for none.
    """
    pairs = zip(ids.tolist(), own, strict=True)
    return [[key for key in row if key is not None and key != mine][:k] for row, mine in pairs]


def truth_of(vector: Vector) -> str:
    """What exact scores are computed from when a store's vectors are read back, in words."""
    if vector.datatype == "float32":
        return "original vectors (float32)"
    return (
        f"vectors as stored ({vector.datatype}): what the datatype loses is not part of the recall"
    )


def proof_of(queries: npt.NDArray[Any], k: int, more: Sequence[bool], rows: int) -> Proof:
    """How much a recall proves.

    Args:
        queries: float32 ``(nq, d)``.
        more: for each query, whether there is a row beyond its ``k`` best that it could find.
        rows: that were searched, for the message.
    """
    left = {query.tobytes() for query, there in zip(queries, more, strict=True) if there}
    if not left:
        return Proof(
            "none",
            f"recall@{k} proves nothing here: k covers every row that a query can find ({rows:,}"
            " in all), so any search that returns them has recall 1; use a smaller k",
        )
    if len(left) >= FEW:
        return Proof()
    but = "" if all(more) else f" with more than {k:,} rows to choose from"
    noun = "query" if len(left) == 1 else "queries"
    return Proof(
        "weak",
        f"only {len(left)} distinct {noun}{but}: by itself this recall proves nothing; measure "
        f"with {FEW} or more",
    )


def weakest_proof(proofs: Iterable[Proof]) -> Proof:
    """The one that proves least; sufficient where there is none."""
    order = ("none", "weak", "sufficient")
    return min(proofs, key=lambda each: order.index(each.level), default=Proof())


def least_score(last: npt.ArrayLike, dim: int) -> Doubles:
    """The exact score that a right hit has at least.

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
    """Which hits are right, bool ``(nq, w)``: existing rows, named for the first time in their
    row, whose exact score is at least ``least``.

    Args:
        found: ids of each query's hits, at most ``w``.
        scores: exact scores ``(nq, w)``, NaN for a row that does not exist, or is none of the best.
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
    """Recall@k of each query, float64 ``(nq,)``: right hits in ``wanted``.

    Args:
        found: ids of each query's first k hits, its own row left out.
        scores: their exact scores ``(nq, k)``, NaN where ``is_correct`` says.
        last: exact score of each query's last wanted row.
        wanted: ``(nq,)``, k, or how many rows there are where they are fewer; 1 where it is 0.
        dim: dimensions of the vectors.
    """
    count = is_correct(found, scores, least_score(last, dim)).sum(axis=1)
    rows = np.asarray(wanted)
    shares: Doubles = np.where(rows > 0, np.minimum(count, rows) / np.maximum(rows, 1), 1.0)
    return shares


def interval(values: npt.NDArray[np.float64], *, seed: int = 0) -> tuple[float, float]:
    """The 95 % interval of the mean, by bootstrap.

    A sample without any spread tells nothing to the bootstrap; there the rule of three bounds
    the share of queries that could still be otherwise.
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
