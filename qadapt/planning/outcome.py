"""Result of a change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from qadapt.evaluation.proof import Proof, weakest_proof
from qadapt.model import Plan, Serializable, Status
from qadapt.model.memory_change import MemoryChange
from qadapt.model.table import FieldTable
from qadapt.planning.change_record import ChangeRecord, state_of
from qadapt.planning.guard_result import GuardResult, ground_truths

ChangeState = Literal["applied", "undone", "nothing", "interrupted", "failed"]


@dataclass(frozen=True)
class Outcome(FieldTable, Serializable):
    """Result of a change.

    Attributes:
        id: the change's id.
        created: time of the plan, UTC.
        address, collection, vector: the changed vector.
        reopen: address that opens the database, without keys.
        requested: the requested quantization, as a string.
        state: applied, undone, nothing (no steps were needed), interrupted or failed.
        status: final status; None if it was not read.
        recall_before, recall_after: recall measured by a guard; None without one.
        seconds: duration.
        ground_truth: the vectors that the guard's exact scores were computed from; empty without
            a guard.
        proof: how much the guard's recall proves; None without a guard.
        memory: RAM and disk before (from the plan) and after (as the database reports it); None
            if the change was not applied, or without a cost model.
        recall_no_params: recall after the change of a client that sends no search parameters;
            ``recall_after`` is that of clients that send those of the setting.
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
    memory: MemoryChange | None = None
    recall_no_params: float | None = None


def make_outcome(
    plan: Plan,
    state: ChangeState,
    *,
    status: Status | None = None,
    before: GuardResult | None = None,
    after: GuardResult | None = None,
    seconds: float | None = None,
    memory: MemoryChange | None = None,
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
        memory,
        None if after is None else after.no_params,
    )


def outcome_of(record: ChangeRecord) -> Outcome:
    """Read the result of a change from its journal."""
    latest = record.latest()
    newest = {item["event"]: item for item in latest}
    before, after = (GuardResult.of(newest.get(f"recall {when}")) for when in ("before", "after"))
    return make_outcome(record.plan, state_of(latest), before=before, after=after)
