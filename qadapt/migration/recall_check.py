"""Recall of a copy compared with its source, by exact scores of the source's vectors.

Quantization always loses results. If a side is quantized, both sides are therefore also compared by
exact search. Their own searches are compared only where the target is not quantized, or is
quantized like the source. A gate applies to the target's own search.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qadapt.evaluation.exact_neighbors import sorted_neighbors
from qadapt.evaluation.recall import interval, proof_of, recall_per_query, truth_of
from qadapt.local.settings import read_settings
from qadapt.migration.endpoint import Endpoint
from qadapt.migration.plan import VectorPlan
from qadapt.migration.recall_queries import QuerySet
from qadapt.migration.report import SLACK, RecallCheck
from qadapt.migration.vectors import LOSSY
from qadapt.model import Guard, Kind, Quantization, Vector

# -- which searches are comparable ---------------------------------------------------------------


@dataclass(frozen=True)
class QuantizationPair:
    """The current quantization of both sides, qadapt's own codes included, without rescoring."""

    source: Quantization
    target: Quantization

    @classmethod
    def of(cls, source: Endpoint, target: Endpoint, name: str) -> QuantizationPair:
        """The quantization of one vector."""
        return cls(_quantization(source, name), _quantization(target, name))

    @property
    def any(self) -> bool:
        """Whether a side is quantized, so that only exact search can verify the copy."""
        return _quantized(self.source) or _quantized(self.target)

    @property
    def comparable(self) -> bool:
        """Whether the target's own search should find what the source's own search finds."""
        return not _quantized(self.target) or self.source == self.target


def _quantization(end: Endpoint, name: str) -> Quantization:
    collection = end.store.collection_of(end.name)
    ours = read_settings(end.store, end.name).of(name).client
    if ours is None:
        info = end.store.info(collection).vectors.get(name)  # None if no row has the vector
        ours = Quantization(Kind.NONE) if info is None else info.quantization
    return ours.replace(rescore=None)


def _quantized(quantization: Quantization) -> bool:
    return quantization.kind not in (Kind.NONE, Kind.FLOAT16)


# -- recall --------------------------------------------------------------------------------------


def measure_recall(
    plan: VectorPlan,
    queries: Sequence[QuerySet],
    k: int,
    gate: Guard | None,
    quantization: QuantizationPair,
) -> RecallCheck:
    """Recall of both sides for one vector, and whether it meets the requirement.

    Args:
        queries: at least one set, of the same vector.
    """
    recall_of, more, most = _recall_per_side(queries, k)
    values, source_recall = recall_of["target"], float(recall_of["source"].mean())
    proof = proof_of(np.concatenate([each.vectors for each in queries]), k, more, most)
    low, high = interval(values)
    recall = float(values.mean())
    requirements: list[str] = []
    passed = True
    exact = source_exact = least = None
    if gate is not None:
        requirements.append(f"recall@{k} >= {gate.recall:.3f}")
        passed, least = recall >= gate.recall and proof.level != "none", gate.recall
    elif _loses(plan):
        requirements.append(f"none: the target keeps {_kept(plan.target)} (see --gate)")
    elif quantization.any and "exact target" in recall_of:
        precise = recall_of["exact target"]
        exact, source_exact = float(precise.mean()), float(recall_of["exact source"].mean())
        requirement, passed = _near(interval(precise)[1], source_exact, "exact search")
        requirements.append(requirement)
    if gate is None and not _loses(plan) and (not requirements or quantization.comparable):
        requirement, near = _near(high, source_recall, f"recall@{k}")
        requirements.append(requirement)
        passed, least = passed and near, source_recall - SLACK
    return RecallCheck(
        vector=queries[0].name,
        recall=recall,
        low=low,
        high=high,
        source_recall=source_recall,
        requirement="; ".join(requirements),
        k=k,
        queries=len(values),
        passed=passed,
        exact_recall=exact,
        source_exact_recall=source_exact,
        ground_truth=truth_of(plan.source),
        proof=proof,
        least=least,
    )


def _loses(plan: VectorPlan) -> bool:
    """Whether the target was asked to keep less than the vectors of the source."""
    lossy = plan.target.datatype in LOSSY and plan.source.datatype != plan.target.datatype
    return lossy or plan.target.dim < plan.source.dim


def _kept(vector: Vector) -> str:
    words = f"{vector.dim} dimensions"
    return f"{words} of {vector.datatype}" if vector.datatype in LOSSY else words


def _recall_per_side(
    queries: Sequence[QuerySet], k: int
) -> tuple[dict[str, npt.NDArray[np.float64]], list[bool], int]:
    """Recall of each query by side, whether each query has more than k neighbors, and the most
    neighbors of a query up to k.

    Exact searches are included only if all sets have them.
    """
    found: dict[str, list[npt.NDArray[np.float64]]] = {}
    more: list[bool] = []
    most = 0
    with_exact = all(each.exact is not None for each in queries)
    for each in queries:
        ids, scores, beyond, _ = sorted_neighbors(each.best, each.own, k)
        more += np.isfinite(beyond).tolist()
        counts = [len(row) for row in ids]
        most = max(most, *counts)
        last = np.asarray([row[-1] if row else np.nan for row in scores])
        hits = {"source": each.source, "target": each.target}
        if with_exact and each.exact is not None:
            hits["exact source"], hits["exact target"] = each.exact
        for side, mine in hits.items():
            found.setdefault(side, []).append(
                recall_per_query(mine.ids, mine.scores, last, counts, each.vector.dim)
            )
    return {side: np.concatenate(values) for side, values in found.items()}, more, most


def _near(high: float, source_recall: float, what: str) -> tuple[str, bool]:
    """The requirement that the interval reaches the source's recall less a slack; if it does."""
    least = source_recall - SLACK
    return (
        f"upper bound of {what} >= {least:.3f} (source {source_recall:.3f} - {SLACK:g})",
        high >= least,
    )
