"""Detection of two clients that change the same collection at the same time.

Processes that share a state folder exclude each other with its locks. For other clients, a replaced
change is detected from the configuration that the database reports.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timezone

from qadapt.errors import (
    BusyError,
    IntegrityError,
    PlanError,
    PlanStaleError,
    StorageError,
    StoreError,
    UnsupportedError,
)
from qadapt.local import client_operations, collection_info
from qadapt.local.state import being_changed, changed_by, exclusive
from qadapt.model import Plan
from qadapt.planning import journal
from qadapt.planning.change_record import ChangeRecord
from qadapt.stores.base import OnProgress, Store

# Seconds within which a change of another process is one of the same time.
RECENT = 60.0


@contextmanager
def alone(store: Store, collection: str) -> Iterator[None]:
    """Lock a collection for a change, whether it is named directly or by an alias.

    Raises:
        BusyError: another process changes it; the message names the process.
    """
    real = store.aliases().get(collection)
    with ExitStack() as held:
        for name in (collection, real):
            if name is not None:
                held.enter_context(exclusive(store.address, name))
        yield


@contextmanager
def named_if_changing(store: Store, collection: str) -> Iterator[None]:
    """Replace a planning error by one that names the other process that caused it.

    Raises:
        BusyError: another process is changing the collection.
        PlanStaleError: another process has just changed it.
    """
    before = changed_by(store.address, collection)
    try:
        yield
    except BusyError:
        raise
    except (UnsupportedError, StoreError, PlanError) as error:
        holder = before or changed_by(store.address, collection)
        if holder is not None:
            raise being_changed(f"the collection {collection!r}", holder) from error
        other = _just_applied_elsewhere(store, collection)
        if other is None:
            raise
        raise PlanStaleError(
            f"another process has just changed {collection!r} to {other.plan.target} (the change "
            f"{other.id}); {error.message}",
            hint=f"keep its setting, or roll it back (qadapt undo {other.id}) and plan again"
            + (f"; or {error.hint}" if error.hint else ""),
        ) from error


def _just_applied_elsewhere(store: Store, collection: str) -> ChangeRecord | None:
    """The newest change of a collection, if another process applied it less than a minute ago."""
    try:
        records = journal.of_collection(store.address.identity, collection)
    except (IntegrityError, StorageError):
        return None  # the error of the plan is reported
    if not records or records[0].id in journal.begun_here:
        return None
    applied = records[0].last("applied")
    if applied is None or records[0].state != "applied":
        return None
    age = datetime.now(timezone.utc) - datetime.fromisoformat(applied["at"])
    return records[0] if abs(age.total_seconds()) < RECENT else None


def refuse_other_kind(store: Store, plan: Plan) -> None:
    """Raise an error if the collection does not have the quantization of the change.

    A client with another state folder shares no lock with this process.

    Raises:
        PlanStaleError: another client changed the collection.
    """
    now = collection_info.info(store, plan.collection).vectors[plan.changed_vector].quantization
    if now.kind is not plan.target.kind:
        raise PlanStaleError(
            f"another client changed {plan.collection!r} at the same time: it now has {now}, "
            f"not {plan.target}",
            hint="wait for the other client, then create a new plan: `qadapt plan`",
        )


def withdraw(store: Store, record: ChangeRecord, progress: OnProgress, timeout: float) -> None:
    """Roll back the client-side steps of a change that another client replaced.

    The step in the database no longer has any effect, and reversing it would undo the other change.
    If several database steps were started, the record is left unfinished.
    """
    steps = record.plan.steps
    started = sorted(record.started_steps(), reverse=True)
    if (
        sum(not client_operations.is_client_operation(steps[number].request) for number in started)
        > 1
    ):
        return
    for number in started:
        reverse = steps[number].reverse
        if reverse is not None and client_operations.is_client_operation(reverse):
            client_operations.run(store, record.plan.collection, reverse, progress, timeout)
        record.add("step reversed", step=number)
