"""Two clients that change one collection at the same time.

Processes that share a state folder are kept apart by its locks. Others share nothing with this
process, so a change that another client has replaced is recognised by what the engine says.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from qadapt.errors import BusyError, PlanError, PlanStaleError, StoreError, UnsupportedError
from qadapt.local import client_operations, collection_info
from qadapt.local.state import being_changed, changed_by, exclusive
from qadapt.model import Plan
from qadapt.planning.journal import ChangeRecord
from qadapt.stores.base import OnProgress, Store


@contextmanager
def alone(store: Store, collection: str) -> Iterator[None]:
    """Only one change of a collection at a time, whether it is named by an alias or by itself.

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
    """Name the process that changes a collection, where planning from its half-done state fails.

    Raises:
        BusyError
    """
    before = changed_by(store.address, collection)
    try:
        yield
    except BusyError:
        raise
    except (UnsupportedError, StoreError, PlanError) as error:
        holder = before or changed_by(store.address, collection)
        if holder is None:
            raise
        raise being_changed(f"the collection {collection!r}", holder) from error


def refuse_other_kind(store: Store, plan: Plan) -> None:
    """Refuse to report a change as applied while the collection has another quantization.

    A client that does not use this state folder shares no lock with this process.

    Raises:
        PlanStaleError
    """
    now = collection_info.info(store, plan.collection).vectors[plan.changed_vector].quantization
    if now.kind is not plan.target.kind:
        raise PlanStaleError(
            f"another client changed {plan.collection!r} at the same time: it has {now} now, and "
            f"not {plan.target}",
            hint="when the other client is done, make the plan again: `qadapt plan`",
        )


def withdraw(store: Store, record: ChangeRecord, progress: OnProgress, timeout: float) -> None:
    """Take back what is qadapt's own of a change that another client's change replaced.

    The step in the store has no effect any more, and its reverse would undo the other change.
    Where more than one step of the store was begun, all of them stay in the record.
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
        record.add("step taken back", step=number)
