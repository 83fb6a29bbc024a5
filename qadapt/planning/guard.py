"""Guards of changes: recall before and after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qadapt.errors import GuardMissedError
from qadapt.evaluation.ground_truth import exact_neighbors, queries_of
from qadapt.evaluation.recall import Proof
from qadapt.evaluation.verify import CURRENT, measure_live
from qadapt.local import collection_info
from qadapt.model import Guard, Plan
from qadapt.planning.journal import ChangeRecord
from qadapt.stores.base import OnProgress, Store


@dataclass(frozen=True)
class GuardResult:
    """Recall measured by a guard before or after a change.

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
        """Parse a journal entry; None if there is none."""
        if reported is None:
            return None
        proof = Proof(reported.get("proof", "sufficient"), reported.get("reason", ""))
        return cls(float(reported["recall"]), reported.get("ground_truth", ""), proof)


def measure_guard(
    store: Store, record: ChangeRecord, when: str, progress: OnProgress
) -> GuardResult | None:
    """Measure the recall of a guard once; a resumed change reuses an earlier measurement.

    Raises:
        GuardMissedError: before the change, the measurement proves nothing.
    """
    plan = record.plan
    if plan.guard is None:
        return None
    known = GuardResult.of(record.last(f"recall {when}"))
    if known is not None:
        return known
    name = plan.vector if when == "before" else plan.changed_vector
    measured = guard_recall(store, plan.collection, name, plan.guard, progress)
    if when == "before" and measured.proof.level == "none" and not record.started_steps():
        raise GuardMissedError(
            f"the guard {plan.guard} cannot be evaluated: {measured.proof.reason}; nothing was "
            "changed",
            hint="use a guard with a smaller k, or apply without a guard",
        )
    record.add(
        f"recall {when}", recall=measured.recall, ground_truth=measured.ground_truth,
        proof=measured.proof.level, reason=measured.proof.reason,
    )  # fmt: skip
    return measured


def guard_recall(
    store: Store, collection: str, name: str, guard: Guard, progress: OnProgress
) -> GuardResult:
    """The current recall@k on the guard's queries."""
    info = collection_info.info(store, collection)
    vector = info.vectors[name].vector
    queries = queries_of(store, collection, name, vector, guard.queries, seed=guard.seed)
    truth = exact_neighbors(store, collection, name, vector, queries, guard.k, progress)
    (found,) = measure_live(store, info, name, [CURRENT], queries, truth, progress)
    assert found.recall is not None  # the live collection is always measured
    return GuardResult(found.recall.value, truth.about.ground_truth, truth.about.proof)


def missed(plan: Plan, before: GuardResult | None, after: GuardResult | None) -> str:
    """Why the guard is missed; empty if it is met or there is none."""
    if plan.guard is None or after is None:
        return ""
    if after.proof.level == "none":
        return f"the guard {plan.guard} cannot be evaluated: {after.proof.reason}"
    if after.recall >= plan.guard.recall:
        return ""
    was = "" if before is None else f" (it was {before.recall:.4f} before)"
    weak = f"; {after.proof.reason}" if after.proof.reason else ""
    return (
        f"recall@{plan.guard.k} is {after.recall:.4f} with {plan.target}, below the guard of "
        f"{plan.guard.recall:g}{was}; ground truth: {ground_truths(before, after)}{weak}"
    )


def ground_truths(before: GuardResult | None, after: GuardResult | None) -> str:
    """The ground truth of both measurements."""
    found = {each.ground_truth: None for each in (before, after) if each is not None}
    if len(found) < 2:
        return next(iter(found), "")
    first, second = found
    return f"{first} before, {second} after"
