"""Execution and rollback of plans, recoverable after a crash at any time.

The journal is written before each step. All requests are idempotent: an unfinished change is
completed by repeating its open steps, or rolled back by the reverse requests of all steps that were
started, in reverse order.
"""

from __future__ import annotations

import dataclasses
import time

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
from qadapt.local import client_operations, collection_info
from qadapt.local.apply_steps import apply_steps
from qadapt.local.wait import Goal, wait_for
from qadapt.model import CollectionInfo, Guard, Plan, State, Step, as_vectors
from qadapt.model.address import Address
from qadapt.planning import conflicts, journal
from qadapt.planning.change_record import ChangeRecord, abandon_hint
from qadapt.planning.guard import measure_guard, way_out
from qadapt.planning.guard import missed as missed_guard
from qadapt.planning.memory_change import memory_afterwards
from qadapt.planning.outcome import Outcome, make_outcome
from qadapt.planning.plan_options import PlanOptions
from qadapt.planning.planner import make_plan, rooted
from qadapt.planning.restore_commands import restore_commands
from qadapt.stores.base import OnProgress, Progress, Store
from qadapt.stores.polling import Deadline, Wait


def apply_plan(
    store: Store,
    plan: Plan,
    *,
    yes: bool,
    progress: OnProgress,
    guard: Guard | None,
    timeout: float,
) -> Outcome:
    """Apply a plan, wait until it is verified active, and keep it or roll it back.

    Raises:
        ConsentRequiredError: a step needs ``yes``. PlanStaleError: the collection has has changed
        since the plan was made.
        GuardMissedError: recall is below the guard; the change was rolled back.
        ApplyError: a step failed, or the engine ignores the setting.
        BusyError: another process is changing this collection.
    """
    guard = rooted(guard) or plan.guard
    _refuse_other_store(store, plan)
    client_operations.check(store, plan.steps)
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
            return make_outcome(plan, "nothing", status=status)
        _ask(plan, yes)
        return _carry_out(store, _begin(plan, guard), progress, timeout)


def undo_change(
    store: Store, record: ChangeRecord, *, progress: OnProgress, timeout: float
) -> Outcome:
    """Roll a change back, or complete an interrupted rollback.

    Raises:
        PlanError: it was already undone, or a newer change of the collection depends on it.
        PlanStaleError: the collection was changed by another client.
    """
    plan = record.plan
    with conflicts.alone(store, plan.collection):
        if record.state == "undone":
            raise PlanError(f"the change {record.id} was already undone", hint="`qadapt history`")
        newer = _newer(record)
        if newer is not None:
            raise PlanError(
                f"a newer change of {plan.collection!r} depends on the change {record.id}",
                hint=f"undo the newer one first: qadapt undo {newer.id}",
            )
        applied = record.last("applied")
        if record.state == "applied" and applied is not None:
            if "fingerprint" not in applied:
                raise IntegrityError(
                    f"the record of the change {record.id} does not contain its result",
                    hint=abandon_hint(record.id),
                )
            now = collection_info.info(store, plan.collection)
            changed = now.fingerprint != applied["fingerprint"]
            if changed and _as_before(now, plan):
                return _roll_back(store, record, progress, timeout, beside_alone=True)
            if changed:
                raise PlanStaleError(
                    f"{plan.collection!r} was changed by another client",
                    hint="plan the requested configuration: `qadapt plan`",
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
    last = len(events) - 1 - events[::-1].index("undo started")
    return "step reversed" in events[last:]


def _as_before(now: CollectionInfo, plan: Plan) -> bool:
    """Whether the collection already has its earlier quantization, as in a restored backup.

    In that case, only qadapt's settings and codes are rolled back.
    """
    vector = now.vectors.get(plan.vector)
    if vector is None or (vector.dim, plan.target_vector) != (plan.dim, None):
        return False
    return vector.quantization.replace(rescore=None) == plan.current.replace(rescore=None)


def _newer(record: ChangeRecord) -> ChangeRecord | None:
    """Later change of any vector that was not undone; vectors share one configuration."""
    plan = record.plan
    for other in journal.of_collection(plan.address, plan.collection):
        if other.id == record.id:
            return None
        if other.state != "undone":
            return other
    return None


def _same(record: ChangeRecord, plan: Plan, guard: Guard | None) -> bool:
    """Whether the unfinished change is the one that is requested."""
    left = record.plan
    if record.undoing or _request_of(left) != _request_of(plan):
        return False
    if guard is None or left.guard is None:
        return guard is None

    def judged(each: Guard) -> tuple[object, ...]:
        return each.recall, each.k, each.clients, each.filter, each.by, each.by_limit

    return judged(guard) == judged(left.guard)


def _request_of(plan: Plan) -> tuple[object, ...]:
    return plan.vector, plan.requested, plan.metric, plan.datatype, plan.strategy


def _without(
    store: Store, left: ChangeRecord, plan: Plan, progress: OnProgress, timeout: float
) -> Plan:
    """Plan for the collection after the unfinished change is rolled back."""
    made_since = collection_info.info(store, plan.collection).fingerprint == plan.fingerprint
    _roll_back(store, left, progress, timeout)
    if not made_since:
        return plan
    again = plan_again(store, plan)
    return again.replace(id=plan.id, created=plan.created)


def plan_again(store: Store, plan: Plan) -> Plan:
    """Plan the same request for the current state of the collection."""
    made = make_plan(
        store,
        plan.collection,
        plan.requested,
        PlanOptions(
            vector=plan.vector,
            metric=plan.metric,
            datatype=plan.datatype,
            accept=plan.accept,
            guard=plan.guard,
            strategy=plan.strategy,
        ),
    )
    prices = None if plan.memory is None else plan.memory.prices
    return made if prices is None else made.priced(prices)


def _ask(plan: Plan, yes: bool) -> None:
    if yes or not plan.needs_consent:
        return
    reasons = [
        f"{step.symbol} {step.action}: "
        + (
            "cannot be rolled back"
            if step.reverse is None
            else f"{step.estimate.stops} are blocked during the step"
        )
        for step in plan.steps
        if step.needs_consent
    ]
    if plan.loses_originals:
        reasons.append("codes replace the original vectors, which is irreversible")
    raise ConsentRequiredError(
        "this plan needs confirmation: " + "; ".join(reasons),
        hint="review the plan, then apply it with yes=True (--yes)",
    )


def _refuse_other_store(store: Store, plan: Plan) -> None:
    """Reject a plan for an address other than that of the store."""
    if Address.parse(plan.address).identity != store.address.identity:
        raise PlanError(
            f"the plan is for {plan.address}, but the store is {store.address.identity}",
            hint="create a new plan: `qadapt plan`",
        )


def _refuse_stale(store: Store, plan: Plan) -> None:
    info = collection_info.info(store, plan.collection)
    if info.fingerprint != plan.fingerprint:
        raise PlanStaleError(
            f"the configuration of {plan.collection!r} has changed since the plan was made",
            hint="create a new plan: `qadapt plan`",
        )
    if plan.vector not in info.vectors:
        raise NotFoundError.missing("vector", plan.vector, info.vectors)


def _begin(plan: Plan, guard: Guard | None) -> ChangeRecord:
    if guard is None or isinstance(guard.queries, (int, str)):
        return journal.begin(plan.replace(guard=guard))
    # The queries of a guard are saved in the folder of the change, for a resumed change.
    queries = as_vectors(guard.queries, what="queries")
    path = journal.folder_of(plan) / journal.QUERIES
    named = dataclasses.replace(guard, queries=str(path))
    return journal.begin(plan.replace(guard=named), queries)


class _Journal:
    """Create the record of a change."""

    def __init__(self, record: ChangeRecord) -> None:
        self._record = record

    def is_done(self, number: int) -> bool:
        return number in self._record.done_steps()

    def begin(self, number: int, step: Step) -> None:
        self._record.add("step started", step=number, action=step.action)

    def finish(self, number: int) -> None:
        self._record.add("step done", step=number)


def _carry_out(store: Store, record: ChangeRecord, progress: OnProgress, timeout: float) -> Outcome:
    begun = time.monotonic()
    plan = record.plan
    try:
        before = measure_guard(store, record, "before", progress)
        steps = _Journal(record)
        apply_steps(store, plan.collection, plan.steps, progress, timeout, steps)
        wait = Wait(progress, Deadline(timeout))
        goal = Goal(plan.target)
        status = wait_for(store, plan.collection, plan.changed_vector, goal, wait)
        conflicts.refuse_other_kind(store, plan)
        record.add("status read", state=status.state.value)
        after = measure_guard(store, record, "after", progress)
    except QadaptError as error:
        if isinstance(error, PlanStaleError):
            conflicts.withdraw(store, record, progress, timeout)
        if isinstance(error, AuthError) and error.unchanged:
            # The key lacks the permission, so the step changed nothing and needs no rollback.
            record.add("step reversed", step=max(record.started_steps()))
            if not record.started_steps():
                error.hint = _nothing_changed(error)
        if not record.started_steps():
            record.add("undone", error=error.message)
            raise
        record.add("failed", error=error.message)
        raise _with_way_out(error, record) from error
    missed = missed_guard(plan, before, after)
    if missed and not _has_way_back(record):
        # The change is kept and does not block the next change of the collection.
        record.add("applied", fingerprint=collection_info.info(store, plan.collection).fingerprint)
        raise GuardMissedError(
            f"{missed}; the change cannot be rolled back and is kept",
            hint="; ".join(filter(None, [way_out(plan, after), restore_commands(store, plan)])),
        )
    if missed:
        _roll_back(store, record, progress, timeout)
        raise GuardMissedError(
            f"{missed}; the change was rolled back",
            hint=way_out(plan, after),
        )
    info = collection_info.info(store, plan.collection)
    record.add("applied", fingerprint=info.fingerprint)
    return make_outcome(
        plan,
        "applied",
        status=status,
        memory=memory_afterwards(store.profile, plan, info),
        before=before,
        after=after,
        seconds=time.monotonic() - begun,
    )


def _with_way_out(error: QadaptError, record: ChangeRecord) -> ApplyError:
    way = f"`qadapt undo {record.id}` rolls it back; apply again to complete it"
    if not _has_way_back(record):
        way = f"apply again to complete it; it cannot be rolled back; or {abandon_hint(record.id)}"
    hint = f"{error.hint}; {way}" if error.hint else way
    return ApplyError(error.message, hint=hint)


def _instead(store: Store, record: ChangeRecord) -> str:
    """What to do where a step cannot be rolled back."""
    back = restore_commands(store, record.plan)
    first = "complete it by applying the same change again, then "
    first = "" if record.state == "applied" else first
    restore = f"restore it by a copy and an alias that readers must use: {back}"
    if back is None:
        restore = "plan the requested configuration"
    return f"{first}{restore}; or {abandon_hint(record.id)}"


def _has_way_back(record: ChangeRecord) -> bool:
    steps = record.plan.steps
    return all(steps[number].reverse is not None for number in record.started_steps())


def _roll_back(
    store: Store,
    record: ChangeRecord,
    progress: OnProgress,
    timeout: float,
    *,
    beside_alone: bool = False,
) -> Outcome:
    """Roll back the steps that were started.

    Args:
        beside_alone: only steps of qadapt's settings and codes; the database already has its
        earlier configuration.
    """
    begun = time.monotonic()
    plan = record.plan
    started = sorted(record.started_steps(), reverse=True)
    for number in started:
        if plan.steps[number].reverse is None:
            raise PlanError(
                f"the step {plan.steps[number].action!r} cannot be rolled back",
                hint=_instead(store, record),
            )
    record.add("undo started")
    replaced: PlanStaleError | None = None
    for number in started:
        step = plan.steps[number]
        progress(Progress(f"rolling back: {step.action}", 0, None, "steps"))
        reverse = step.reverse or {}
        if client_operations.is_client_operation(reverse) or not beside_alone:
            try:
                client_operations.run(store, plan.collection, reverse, progress, timeout)
            except PlanStaleError as error:  # replaced by another client's change
                replaced = error
        record.add("step reversed", step=number)
    if replaced is not None:
        record.add("undone", error=replaced.message)
        raise replaced
    if started:
        goal = Goal(plan.current, tolerated=(State.IGNORED,))
        wait = Wait(progress, Deadline(timeout))
        status = wait_for(store, plan.collection, plan.vector, goal, wait)
    else:  # nothing was changed, so no wait is needed
        status = collection_info.info(store, plan.collection).vectors[plan.vector].status
    record.add("undone")
    return make_outcome(plan, "undone", status=status, seconds=time.monotonic() - begun)
