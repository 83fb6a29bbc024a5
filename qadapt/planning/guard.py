"""The guard of a change: recall before and after it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qadapt.errors import GuardMissedError
from qadapt.evaluation.ground_truth import exact_neighbors, queries_of
from qadapt.evaluation.recall import Proof, Recall
from qadapt.evaluation.verify import AS_IS, measure
from qadapt.local import collection_info
from qadapt.model import Guard, Plan
from qadapt.planning.journal import ChangeRecord
from qadapt.stores.base import OnProgress, Store


@dataclass(frozen=True)
class GuardResult:
    """What a guard measured once, before or after a change.

    Attributes:
        recall: recall@k.
        ground_truth: the vectors that the exact scores were computed from.
        proof: how much the recall proves.
    """

    recall: float
    ground_truth: str
    proof: Proof

    @classmethod
    def of(cls, reported: Mapping[str, Any] | None) -> GuardResult | None:
        """What the journal keeps of it; None for nothing."""
        if reported is None:
            return None
        proof = Proof(reported.get("proof", "sufficient"), reported.get("reason", ""))
        return cls(float(reported["recall"]), reported.get("ground_truth", ""), proof)


def measure_guard(
    store: Store, record: ChangeRecord, when: str, progress: OnProgress
) -> GuardResult | None:
    """Recall as the guard measures it, once: a resumed change keeps what was measured before.

    Raises:
        GuardMissedError: measured before anything is changed, it would prove nothing.
    """
    plan = record.plan
    if plan.guard is None:
        return None
    known = GuardResult.of(record.last(f"recall {when}"))
    if known is not None:
        return known
    name = plan.vector if when == "before" else plan.changed_vector
    found = guard_recall(store, plan.collection, name, plan.guard, progress)
    measured = GuardResult(found.recall, found.ground_truth, found.proof)
    if when == "before" and measured.proof.level == "none" and not record.started_steps():
        raise GuardMissedError(
            f"the guard {plan.guard} cannot be judged: {measured.proof.reason}; nothing was "
            "changed",
            hint="give a guard with a smaller k, or apply without a guard",
        )
    record.add(
        f"recall {when}", recall=found.recall, ground_truth=found.ground_truth,
        proof=found.proof.level, reason=found.proof.reason,
    )  # fmt: skip
    return measured


def guard_recall(
    store: Store, collection: str, name: str, guard: Guard, progress: OnProgress
) -> Recall:
    """Recall@k of searches as they are now, on the guard's queries."""
    info = collection_info.info(store, collection)
    vector = info.vectors[name].vector
    queries = queries_of(store, collection, name, vector, guard.queries, seed=guard.seed)
    truth = exact_neighbors(store, collection, name, vector, queries, guard.k, progress)
    return measure(store, info, name, queries, truth, guard.k, AS_IS, None, progress)


def missed(plan: Plan, before: GuardResult | None, after: GuardResult | None) -> str:
    """Why the guard does not hold; empty where it holds, or there is none."""
    if plan.guard is None or after is None:
        return ""
    if after.proof.level == "none":
        return f"the guard {plan.guard} cannot be judged: {after.proof.reason}"
    if after.recall >= plan.guard.recall:
        return ""
    was = "" if before is None else f" (it was {before.recall:.4f} before)"
    weak = f"; {after.proof.reason}" if after.proof.reason else ""
    return (
        f"recall@{plan.guard.k} is {after.recall:.4f} with {plan.target}, under the guard of "
        f"{plan.guard.recall:g}{was}; ground truth: {ground_truths(before, after)}{weak}"
    )


def ground_truths(before: GuardResult | None, after: GuardResult | None) -> str:
    """The ground truth of both measurements."""
    found = {each.ground_truth: None for each in (before, after) if each is not None}
    if len(found) < 2:
        return next(iter(found), "")
    first, second = found
    return f"{first} before, {second} after"
