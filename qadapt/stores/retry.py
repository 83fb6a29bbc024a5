"""Retries of requests that failed with a transient error."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import tenacity

from qadapt.errors import QadaptError, StoreTimeoutError, TransientError

T = TypeVar("T")

ATTEMPTS = 4
backoff = tenacity.wait_exponential(multiplier=0.2, max=5)


def is_transient(error: BaseException) -> bool:
    """Whether a retry may succeed: the error is transient and not a time limit."""
    return isinstance(error, TransientError) and not isinstance(error, StoreTimeoutError)


def with_retries(
    call: Callable[[], T],
    again: Callable[[BaseException], bool],
    *,
    sleep: Callable[[float], None],
    pause: Callable[[tenacity.RetryCallState], float] = backoff,
) -> T:
    """Call ``call()`` at most ``ATTEMPTS`` times.

    Args:
        again: whether to retry after an error.
        sleep: waits for a number of seconds.
        pause: seconds before the next attempt.
    """
    try:
        # Usually the only attempt: tenacity is used only after a failure.
        return call()
    except QadaptError as error:
        if not again(error):
            raise
        failed = [error]

    def attempt() -> T:
        if failed:
            raise failed.pop()
        return call()

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(again),
        stop=tenacity.stop_after_attempt(ATTEMPTS),
        wait=pause,
        sleep=sleep,
        reraise=True,
    )
    return retrying(attempt)
