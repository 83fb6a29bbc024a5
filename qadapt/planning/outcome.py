"""What became of a change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from qadapt.evaluation.recall import Proof, weakest_proof
from qadapt.model import Plan, Serializable, Status
from qadapt.planning.change_record import ChangeRecord, state_of
from qadapt.planning.guard import GuardResult, ground_truths

ChangeState = Literal["applied", "undone", "nothing", "interrupted", "failed"]


@dataclass(frozen=True)
class Outcome(Serializable):
    """What became of a change.

    Attributes:
        id: the change's id.
        created: when it was planned, UTC.
        address, collection, vector: what was changed.
        reopen: what opens the store again, with any key masked.
        requested: the quantization asked for, in its string form.
        state: applied, undone, nothing (there was nothing to do), interrupted or failed.
        status: as seen at the end; None where it was not looked at.
        recall_before, recall_after: what a guard measured; None without one.
        seconds: how long it took.
        ground_truth: the vectors that the guard's exact scores were computed from; empty without
            a guard.
        proof: how much the guard's recall proves; None without a guard.
    """

    id: str
    created: str
    address: str
    collection: str
    vector: str
    requested: str
    state: ChangeState
    status: Status | None = None
    recall_before: float | None = None
    recall_after: float | None = None
    seconds: float | None = None
    reopen: str = ""
    ground_truth: str = ""
    proof: Proof | None = None


def make_outcome(
    plan: Plan,
    state: ChangeState,
    *,
    status: Status | None = None,
    before: GuardResult | None = None,
    after: GuardResult | None = None,
    seconds: float | None = None,
) -> Outcome:
    found = [each for each in (before, after) if each is not None]
    return Outcome(
        plan.id,
        plan.created,
        plan.address,
        plan.collection,
        plan.changed_vector,
        str(plan.requested),
        state,
        status,
        None if before is None else before.recall,
        None if after is None else after.recall,
        seconds,
        plan.reopen,
        ground_truths(before, after),
        weakest_proof(each.proof for each in found) if found else None,
    )


def outcome_of(record: ChangeRecord) -> Outcome:
    """What became of a change, read from its journal."""
    latest = record.latest()
    newest = {item["event"]: item for item in latest}
    before, after = (GuardResult.of(newest.get(f"recall {when}")) for when in ("before", "after"))
    return make_outcome(record.plan, state_of(latest), before=before, after=after)
