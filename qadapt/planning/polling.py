"""Wait until a quantization is verified active; distinguishes pending, failed and ignored."""

from __future__ import annotations

import time

from qadapt.errors import ApplyError, StoreTimeoutError
from qadapt.local import collection_info
from qadapt.model import Kind, Quantization, State, Status
from qadapt.stores.base import OnProgress, Progress, Store

PAUSE = 0.25  # seconds between two checks
CALM = 3  # number of consecutive checks that must report "ignored"


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
    """Poll until the status matches ``target``.

    Args:
        ignored_is_fine: also stop at ``ignored``, for a rollback to a setting that the database
            ignored before.

    Returns:
        The status: active (absent for no quantization), or unknown if it cannot be observed.

    Raises:
        ApplyError: the database ignores the setting; with the reason and a hint.
        StoreTimeoutError: not active after ``timeout`` seconds; with the last status.
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
                f"the database ignores {target}: {status.reason}", hint=status.advice or None
            )
        if time.monotonic() >= end:
            raise StoreTimeoutError(
                f"{target} is {status.state} after {timeout:g} seconds: {status.reason}",
                hint="it may still be building: `qadapt inspect -v` shows the evidence",
            )
        progress(Progress(f"waiting until {target} is {goal}", status.progress or 0, 1, "share"))
        time.sleep(PAUSE)
