"""Applying a plan and taking it back, so that a crash at any moment is survivable.

The journal is written before each step. Every request may be repeated, so what was left
unfinished is finished by doing its open steps again, or taken back by the reverses of all steps
that were begun, last first.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from qadapt.errors import (
    ApplyError,
    AuthError,
    ConsentRequiredError,
    GuardMissedError,
    IntegrityError,
    NotFoundError,
    PlanError,
    PlanStaleError,
    QadaptError,
)
from qadapt.evaluation.ground_truth import exact_neighbors, queries_of
from qadapt.evaluation.recall import Proof, weakest_proof
from qadapt.evaluation.verify import CURRENT, measure_live
from qadapt.local import collection_info
from qadapt.model import CollectionInfo, Guard, Plan, Serializable, Status, Symbol, as_vectors
from qadapt.model.address import Address
from qadapt.planning import client_operations, conflicts, journal
from qadapt.planning.journal import ChangeRecord
from qadapt.planning.planner import make_plan, rooted
from qadapt.planning.polling import wait_for
from qadapt.stores.base import OnProgress, Progress, Store

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


def apply_plan(
    store: Store,
    plan: Plan,
    *,
    yes: bool,
    progress: OnProgress,
    guard: Guard | None,
    timeout: float,
) -> Outcome:
    """Carry out a plan, wait until the engine obeys, and keep it or take it back.

    Raises:
        ConsentRequiredError: a step needs ``yes``.
        PlanStaleError: the collection changed since.
        GuardMissedError: recall fell under the guard; the change was undone.
        ApplyError: a step failed, or the engine ignores the setting.
        BusyError: another process changes this collection.
    """
    guard = rooted(guard) or plan.guard
    _refuse_other_store(store, plan)
    client_operations.check(plan)
    with conflicts.alone(store, plan.collection):
        left = journal.pending(plan.address, plan.collection)
        if left is not None and _same(left, plan, guard):
            _ask(left.plan, yes)
            left.add("resumed")
            return _carry_out(store, left, progress, timeout)
        if left is not None:
            _ask(plan, yes)
            plan = _without(store, left, plan, progress, timeout)
        _refuse_stale(store, plan)
        if not plan.changes:
            status = collection_info.info(store, plan.collection).vectors[plan.vector].status
            return _outcome(plan, "nothing", status=status)
        _ask(plan, yes)
        return _carry_out(store, _begin(plan, guard), progress, timeout)


def undo_change(
    store: Store, record: ChangeRecord, *, progress: OnProgress, timeout: float
) -> Outcome:
    """Take a change back, or finish taking it back.

    Raises:
        PlanError: it is undone already, or a newer change of the collection stands.
        PlanStaleError: the collection was changed by somebody else since.
    """
    plan = record.plan
    with conflicts.alone(store, plan.collection):
        if record.state == "undone":
            raise PlanError(f"the change {record.id} is undone already", hint="`qadapt history`")
        newer = _newer(record)
        if newer is not None:
            raise PlanError(
                f"a newer change of {plan.collection!r} stands on the change {record.id}",
                hint=f"undo the newer one first: qadapt undo {newer.id}",
            )
        applied = record.last("applied")
        if record.state == "applied" and applied is not None:
            if "fingerprint" not in applied:
                raise IntegrityError(
                    f"the record of the change {record.id} does not tell what it left",
                    hint=journal.abandon_hint(record.id),
                )
            now = collection_info.info(store, plan.collection)
            changed = now.fingerprint != applied["fingerprint"]
            if changed and _as_before(now, plan):
                return _roll_back(store, record, progress, timeout, beside_alone=True)
            if changed:
                raise PlanStaleError(
                    f"{plan.collection!r} was changed since, and not by qadapt",
                    hint="plan the setting that you want: `qadapt plan`",
                )
        try:
            return _roll_back(store, record, progress, timeout)
        except AuthError as error:
            if error.unchanged and not _partly_rolled_back(record):
                error.hint = _nothing_changed(error)
                if applied is not None:
                    record.add("applied", fingerprint=applied["fingerprint"])
            raise


def _nothing_changed(error: AuthError) -> str:
    return f"nothing was changed; {error.hint}" if error.hint else "nothing was changed"


def _partly_rolled_back(record: ChangeRecord) -> bool:
    events = [item["event"] for item in record.latest()]
    last = len(events) - 1 - events[::-1].index("undo begun")
    return "step taken back" in events[last:]


def _as_before(now: CollectionInfo, plan: Plan) -> bool:
    """Whether the quantization is already what it was before the change, as in a restored backup.

    Then what qadapt keeps beside it is left to take back.
    """
    vector = now.vectors.get(plan.vector)
    if vector is None or (vector.dim, plan.target_vector) != (plan.dim, None):
        return False
    return vector.quantization.replace(rescore=None) == plan.current.replace(rescore=None)


def _newer(record: ChangeRecord) -> ChangeRecord | None:
    """A change begun later that stands. Vectors share one configuration, so of any vector."""
    plan = record.plan
    for other in journal.of_collection(plan.address, plan.collection):
        if other.id == record.id:
            return None
        if other.state != "undone":
            return other
    return None


def _same(record: ChangeRecord, plan: Plan, guard: Guard | None) -> bool:
    """Whether finishing what was left is what is asked for now."""
    left = record.plan
    if record.undoing or _request_of(left) != _request_of(plan):
        return False
    if guard is None or left.guard is None:
        return guard is None
    return (guard.recall, guard.k) == (left.guard.recall, left.guard.k)


def _request_of(plan: Plan) -> tuple[object, ...]:
    return plan.vector, plan.requested, plan.target_vector, plan.strategy


def _without(
    store: Store, left: ChangeRecord, plan: Plan, progress: OnProgress, timeout: float
) -> Plan:
    """The plan for the collection as it is once what was left is taken back."""
    made_since = collection_info.info(store, plan.collection).fingerprint == plan.fingerprint
    _roll_back(store, left, progress, timeout)
    if not made_since:
        return plan
    again = plan_again(store, plan)
    return again.replace(id=plan.id, created=plan.created)


def plan_again(store: Store, plan: Plan) -> Plan:
    """The same request, planned from what the collection is now."""
    return make_plan(
        store,
        plan.collection,
        plan.requested,
        vector=plan.vector,
        metric=None if plan.target_vector is None else plan.target_vector.metric,
        datatype=None if plan.target_vector is None else plan.target_vector.datatype,
        accept=plan.accept,
        guard=plan.guard,
        strategy=plan.strategy,
    )


def _ask(plan: Plan, yes: bool) -> None:
    if yes or not plan.needs_consent:
        return
    reasons = [
        f"{step.symbol} {step.action}: "
        + ("no way back" if step.reverse is None else f"{step.estimate.stops} stop meanwhile")
        for step in plan.steps
        if step.needs_consent
    ]
    raise ConsentRequiredError(
        "this plan needs your consent: " + "; ".join(reasons),
        hint="look at the plan, then apply it with yes=True (--yes)",
    )


def _refuse_other_store(store: Store, plan: Plan) -> None:
    """Refuse a plan whose address is not that of the store which it opens."""
    if Address.parse(plan.address).identity != store.address.identity:
        raise PlanError(
            f"the plan is for {plan.address}, and the store is {store.address.identity}",
            hint="make the plan again: `qadapt plan`",
        )


def _refuse_stale(store: Store, plan: Plan) -> None:
    info = collection_info.info(store, plan.collection)
    if info.fingerprint != plan.fingerprint:
        raise PlanStaleError(
            f"the configuration of {plan.collection!r} changed since the plan was made",
            hint="make the plan again: `qadapt plan`",
        )
    if plan.vector not in info.vectors:
        raise NotFoundError.missing("vector", plan.vector, info.vectors)


def _begin(plan: Plan, guard: Guard | None) -> ChangeRecord:
    if guard is None or isinstance(guard.queries, (int, str)):
        return journal.begin(plan.replace(guard=guard))
    # A guard's array goes to the change's folder, so that a resumed change can still be guarded.
    queries = as_vectors(guard.queries, what="queries")
    path = journal.folder_of(plan) / journal.QUERIES
    named = dataclasses.replace(guard, queries=str(path))
    return journal.begin(plan.replace(guard=named), queries)


def _carry_out(store: Store, record: ChangeRecord, progress: OnProgress, timeout: float) -> Outcome:
    begun = time.monotonic()
    plan = record.plan
    try:
        before = _guarded(store, record, "before", progress)
        for number, step in enumerate(plan.steps):
            if number in record.done_steps() or step.symbol is Symbol.NOTHING:
                continue
            record.add("step begun", step=number, action=step.action)
            progress(Progress(step.action, number, len(plan.steps), "steps"))
            client_operations.run(store, plan.collection, step.request, progress, timeout)
            record.add("step done", step=number)
        status = wait_for(
            store, plan.collection, plan.changed_vector, plan.target, progress, timeout
        )
        conflicts.refuse_other_kind(store, plan)
        record.add("seen", state=status.state.value)
        after = _guarded(store, record, "after", progress)
    except QadaptError as error:
        if isinstance(error, PlanStaleError):
            conflicts.withdraw(store, record, progress, timeout)
        if isinstance(error, AuthError) and error.unchanged:
            # The key lacks the right and the step did nothing: there is nothing to take back.
            record.add("step taken back", step=max(record.started_steps()))
            if not record.started_steps():
                error.hint = _nothing_changed(error)
        if not record.started_steps():
            record.add("undone", error=error.message)
            raise
        record.add("failed", error=error.message)
        raise _with_way_out(error, record) from error
    missed = _missed(plan, before, after)
    if missed and not _has_way_back(record):
        # It stands, so that it does not bar the next change of the collection.
        record.add("applied", fingerprint=collection_info.info(store, plan.collection).fingerprint)
        raise GuardMissedError(
            f"{missed}; the change has no way back and stays",
            hint="raise the oversampling (rescore=), or plan a finer kind",
        )
    if missed:
        _roll_back(store, record, progress, timeout)
        raise GuardMissedError(
            f"{missed}; the change was undone",
            hint="raise the oversampling (rescore=), or take a finer kind",
        )
    record.add("applied", fingerprint=collection_info.info(store, plan.collection).fingerprint)
    return _outcome(
        plan,
        "applied",
        status=status,
        before=before,
        after=after,
        seconds=time.monotonic() - begun,
    )


def _missed(plan: Plan, before: GuardResult | None, after: GuardResult | None) -> str:
    """Why the guard does not hold, in words; empty where it holds, or there is none."""
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
        f"{plan.guard.recall:g}{was}; ground truth: {_made_of(before, after)}{weak}"
    )


def _made_of(before: GuardResult | None, after: GuardResult | None) -> str:
    """The ground truth of both measurements, in words."""
    found = {each.ground_truth: None for each in (before, after) if each is not None}
    if len(found) < 2:
        return next(iter(found), "")
    first, second = found
    return f"{first} before, {second} after"


def _with_way_out(error: QadaptError, record: ChangeRecord) -> ApplyError:
    way = f"`qadapt undo {record.id}` takes it back; apply again to finish it"
    if not _has_way_back(record):
        way = (
            f"apply again to finish it; there is no way back; or {journal.abandon_hint(record.id)}"
        )
    hint = f"{error.hint}; {way}" if error.hint else way
    return ApplyError(error.message, hint=hint)


def _has_way_back(record: ChangeRecord) -> bool:
    steps = record.plan.steps
    return all(steps[number].reverse is not None for number in record.started_steps())


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


def _guarded(
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
    measured = guard_recall(store, plan.collection, name, plan.guard, progress)
    if when == "before" and measured.proof.level == "none" and not record.started_steps():
        raise GuardMissedError(
            f"the guard {plan.guard} cannot be judged: {measured.proof.reason}; nothing was "
            "changed",
            hint="give a guard with a smaller k, or apply without a guard",
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


def _roll_back(
    store: Store,
    record: ChangeRecord,
    progress: OnProgress,
    timeout: float,
    *,
    beside_alone: bool = False,
) -> Outcome:
    """Take the steps back that were begun.

    Args:
        beside_alone: only those of settings and codes of qadapt; the store is as it was before.
    """
    begun = time.monotonic()
    plan = record.plan
    started = sorted(record.started_steps(), reverse=True)
    for number in started:
        if plan.steps[number].reverse is None:
            raise PlanError(
                f"the step {plan.steps[number].action!r} has no way back",
                hint="finish it by applying the same again, then plan the setting that you want; "
                f"or {journal.abandon_hint(record.id)}",
            )
    record.add("undo begun")
    replaced: PlanStaleError | None = None
    for number in started:
        step = plan.steps[number]
        progress(Progress(f"taking back: {step.action}", 0, None, "steps"))
        reverse = step.reverse or {}
        if client_operations.is_client_operation(reverse) or not beside_alone:
            try:
                client_operations.run(store, plan.collection, reverse, progress, timeout)
            except PlanStaleError as error:  # another client's change stands in its place
                replaced = error
        record.add("step taken back", step=number)
    if replaced is not None:
        record.add("undone", error=replaced.message)
        raise replaced
    if started:
        status = wait_for(
            store, plan.collection, plan.vector, plan.current, progress, timeout,
            ignored_is_fine=True,
        )  # fmt: skip
    else:  # nothing was changed, so there is nothing to wait for
        status = collection_info.info(store, plan.collection).vectors[plan.vector].status
    record.add("undone")
    return _outcome(plan, "undone", status=status, seconds=time.monotonic() - begun)


def _outcome(
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
        _made_of(before, after),
        weakest_proof(each.proof for each in found) if found else None,
    )


def outcome_of(record: ChangeRecord) -> Outcome:
    """What became of a change, read from its journal."""
    measured = {when: record.last(f"recall {when}") for when in ("before", "after")}
    before, after = (GuardResult.of(found) for found in measured.values())
    return _outcome(record.plan, record.state, before=before, after=after)
