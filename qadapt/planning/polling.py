"""Waiting until the engine was seen to obey: pending, failed and ignored told apart."""

from __future__ import annotations

import time

from qadapt.errors import ApplyError, StoreTimeoutError
from qadapt.local import collection_info
from qadapt.model import Kind, Quantization, State, Status
from qadapt.stores.base import OnProgress, Progress, Store

PAUSE = 0.25  # seconds between two looks
CALM = 3  # looks in a row that must say "ignored" before it is believed


def wait_for(
    store: Store,
    collection: str,
    name: str,
    target: Quantization,
    progress: OnProgress,
    timeout: float,
    *,
    ignored_is_fine: bool = False,
) -> Status:
    """Look until the status is what ``target`` asks for.

    Args:
        ignored_is_fine: take ``ignored`` for an end too, as when a change is taken back to a
            setting that the engine ignored before.

    Returns:
        The status: active (absent for none), or unknown where the store can't be looked into.

    Raises:
        ApplyError: the engine ignores the setting, with the rule and the way out.
        StoreTimeoutError: not there after ``timeout`` seconds, with what was seen last.
    """
    goal = State.ABSENT if target.kind is Kind.NONE else State.ACTIVE
    end = time.monotonic() + timeout
    ignored = 0
    while True:
        status = collection_info.info(store, collection).vectors[name].status
        if status.state in (goal, State.UNKNOWN):
            return status
        ignored = ignored + 1 if status.state is State.IGNORED else 0
        if ignored >= CALM and ignored_is_fine:
            return status
        if ignored >= CALM:
            raise ApplyError(
                f"the engine ignores {target}: {status.reason}", hint=status.advice or None
            )
        if time.monotonic() >= end:
            raise StoreTimeoutError(
                f"{target} is {status.state} after {timeout:g} seconds: {status.reason}",
                hint="it may still be building: `qadapt inspect -v` shows the evidence",
            )
        progress(Progress(f"waiting until {target} is {goal}", status.progress or 0, 1, "share"))
        time.sleep(PAUSE)
