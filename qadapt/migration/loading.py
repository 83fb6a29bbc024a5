"""While rows come in, the target's engine builds no index: it does so once, afterwards.

The journal notes what has to be given back before anything is switched off, so that the next run
of the same command does it where this one is killed. Only a target that the migration itself made
is treated so: one that was there before may be searched meanwhile.
"""

from __future__ import annotations

from typing import Any

from qadapt.migration.endpoint import Endpoint
from qadapt.migration.journal import Journal
from qadapt.stores.base import OnProgress

LOAD = "load"


def noted(target: Endpoint) -> dict[str, Any]:
    """For the journal: what a load in a new target will have to give back."""
    return {LOAD: dict(target.store.puts_off(target.name))}


def begin(target: Endpoint, journal: Journal) -> None:
    """Switch off what was noted, while there are rows to copy; again does nothing more."""
    if journal.get(LOAD) and not all(stand.done for stand in journal.stands()):
        target.store.begin_load(target.name)


def end(target: Endpoint, journal: Journal) -> None:
    """Give it back: the engine begins to build."""
    former = journal.get(LOAD)
    if former:
        target.store.end_load(target.name, former)


def settle(target: Endpoint, journal: Journal, progress: OnProgress, timeout: float) -> None:
    """Wait until that is built; then there is nothing to give back any more.

    Raises:
        StoreTimeoutError: not built after ``timeout`` seconds; the next run waits again.
    """
    if journal.get(LOAD):
        target.store.settle(target.name, progress, timeout)
        journal.put(**{LOAD: {}})
