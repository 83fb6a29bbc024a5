"""Polling an engine: one loop with a time limit, progress and increasing pauses."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from qadapt.stores.store_types import OnProgress, Progress

T = TypeVar("T")

PAUSE = 0.25  # seconds between the first two polls
GROWTH = 1.3
LONGEST = 2.0  # maximum seconds between two polls


class Deadline:
    """A time limit.

    Args:
        seconds: from now.
        clock: returns seconds.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._clock = clock
        self._end = clock() + seconds

    @property
    def left(self) -> float:
        """Remaining seconds, at least 0."""
        return max(0.0, self._end - self._clock())

    @property
    def passed(self) -> bool:
        """Whether the time limit has passed."""
        return self._clock() >= self._end

    def at_least(self, seconds: float) -> float:
        """``left``, but at least the minimum for a single request."""
        return max(seconds, self.left)


class Streak:
    """Counts consecutive polls with the same result.

    Args:
        enough: the number of equal results that is accepted.
    """

    def __init__(self, enough: int) -> None:
        self.count = 0
        self._enough = enough

    def __call__(self, shown: bool) -> bool:
        """Whether the result has been stable for enough polls, including this one."""
        self.count = self.count + 1 if shown else 0
        return self.count >= self._enough


@dataclass(frozen=True)
class Wait:
    """How a caller waits and receives progress.

    Attributes:
        progress: called after each poll except the last.
        longest: maximum seconds between two polls.
    """

    progress: OnProgress
    deadline: Deadline
    longest: float = LONGEST


def poll(
    look: Callable[[], T],
    done: Callable[[T], bool],
    describe: Callable[[T], Progress],
    late: Callable[[T], Exception],
    wait: Wait,
) -> T:
    """Poll until the work is done, and once more after the time limit.

    Args:
        look: queries the engine.
        done: whether the work is done; may raise if it can never be.
        describe: the progress of a poll.
        late: returns the error after the time limit.

    Returns:
        The last result of ``look``.

    Raises:
        Exception: from ``late``, usually StoreTimeoutError.
    """
    pause = PAUSE
    while True:
        found = look()
        if done(found):
            return found
        if wait.deadline.passed:
            raise late(found)
        wait.progress(describe(found))
        time.sleep(min(pause, wait.deadline.left))
        pause = min(wait.longest, pause * GROWTH)
