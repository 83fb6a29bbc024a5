"""Guards of changes: recall before and after."""

from __future__ import annotations

import shlex
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
        recall: recall@k with the parameters of the setting.
        ground_truth: the vectors that the exact scores were computed from.
        proof: how much the recall proves.
        no_params: recall@k of a client that sends no parameters; None in older records.
    """

    recall: float
    ground_truth: str
    proof: Proof
    no_params: float | None = None

    def judged(self, guard: Guard) -> float:
        """The recall that a guard judges.

        With ``clients="any"``, the lower one: if only qadapt can search the codes, clients
        without parameters search the original vectors and have the higher recall.
        """
        if guard.clients == "configured" or self.no_params is None:
            return self.recall
        return min(self.recall, self.no_params)

    @classmethod
    def of(cls, reported: Mapping[str, Any] | None) -> GuardResult | None:
        """Parse a journal entry; None if there is none."""
        if reported is None:
            return None
        proof = Proof(reported.get("proof", "sufficient"), reported.get("reason", ""))
        no_params = reported.get("no_params")
        return cls(
            float(reported["recall"]),
            reported.get("ground_truth", ""),
            proof,
            None if no_params is None else float(no_params),
        )


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
            f"the guard {plan.guard} cannot be judged: {measured.proof.reason}; nothing was "
            "changed",
            hint="use a guard with a smaller k, or apply without a guard",
        )
    record.add(
        f"recall {when}", recall=measured.recall, ground_truth=measured.ground_truth,
        proof=measured.proof.level, reason=measured.proof.reason, no_params=measured.no_params,
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
    assert found.recall_no_params is not None
    about, no_params = truth.about, found.recall_no_params.value
    return GuardResult(found.recall.value, about.ground_truth, about.proof, no_params)


def missed(plan: Plan, before: GuardResult | None, after: GuardResult | None) -> str:
    """Why the guard is missed; empty if it is met or there is none."""
    if plan.guard is None or after is None:
        return ""
    if after.proof.level == "none":
        return f"the guard {plan.guard} cannot be judged: {after.proof.reason}"
    if after.judged(plan.guard) >= plan.guard.recall:
        return ""
    was = "" if before is None else f" (it was {before.recall:.4f} before)"
    weak = f"; {after.proof.reason}" if after.proof.reason else ""
    return (
        f"recall@{plan.guard.k} is {_figures(after)} with {plan.target}, under the guard of "
        f"{plan.guard.recall:g}{was}; ground truth: {ground_truths(before, after)}{weak}"
    )


def _figures(measured: GuardResult) -> str:
    """Both figures; one if they are equal."""
    if measured.no_params is None or measured.no_params == measured.recall:
        return f"{measured.recall:.4f}"
    return (
        f"{measured.no_params:.4f} for a client that sends no search parameters, and "
        f"{measured.recall:.4f} for clients that send those of the setting,"
    )


def way_out(plan: Plan, after: GuardResult | None) -> str:
    """What to do after a missed guard."""
    guard = plan.guard
    finer = "raise the oversampling (rescore=), or plan a finer kind"
    if guard is None or after is None or after.recall < guard.recall:
        return finer
    where = [plan.reopen or plan.address, plan.collection]
    where += ["--vector", plan.changed_vector] if plan.changed_vector else []
    return (
        "if all clients will send the parameters, apply it again with --guard-clients configured "
        "(qa.Guard(clients='configured')); then `qadapt client-params "
        f"{shlex.join(where)}` prints what they must send"
    )


def ground_truths(before: GuardResult | None, after: GuardResult | None) -> str:
    """The ground truth of both measurements."""
    found = {each.ground_truth: None for each in (before, after) if each is not None}
    if len(found) < 2:
        return next(iter(found), "")
    first, second = found
    return f"{first} before, {second} after"
