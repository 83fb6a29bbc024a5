"""Execution of the steps of a plan, for changes, migrations and evaluations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from qadapt.local import client_operations
from qadapt.model import Step, Symbol
from qadapt.stores.base import OnProgress, Progress, Store


class StepJournal(Protocol):
    """Records each step, so that an interrupted plan can be completed or undone."""

    def is_done(self, number: int) -> bool:
        """Whether a step was completed earlier."""
        ...

    def begin(self, number: int, step: Step) -> None:
        """Called before a step is run."""
        ...

    def finish(self, number: int) -> None:
        """Called after a step was run."""
        ...


def apply_steps(
    store: Store,
    collection: str,
    steps: Sequence[Step],
    progress: OnProgress,
    timeout: float,
    journal: StepJournal | None = None,
) -> None:
    """Run steps in order, and wait for each.

    Args:
        timeout: seconds per step. journal: None for a copy, which is never completed or undone
        later.

    Raises:
        SpecError: a malformed request.
        StoreError: the engine rejected the request.
        StoreTimeoutError: a step exceeded the time limit.
    """
    for number, step in enumerate(steps):
        if step.symbol is Symbol.NOTHING or (journal is not None and journal.is_done(number)):
            continue
        if journal is not None:
            journal.begin(number, step)
        progress(Progress(step.action, number, len(steps), "steps"))
        client_operations.run(store, collection, step.request, progress, timeout)
        if journal is not None:
            journal.finish(number)
