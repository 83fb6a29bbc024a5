"""Waiting for an engine: one loop with a time limit, progress and growing pauses."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from qadapt.stores.store_types import OnProgress, Progress

T = TypeVar("T")

PAUSE = 0.25  # seconds between the first two looks
GROWTH = 1.3
LONGEST = 2.0  # seconds between two looks


class Deadline:
    """The end of a time limit.

    Args:
        seconds: from now.
        clock: seconds.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._clock = clock
        self._end = clock() + seconds

    @property
    def left(self) -> float:
        """Seconds until then, never below 0."""
        return max(0.0, self._end - self._clock())

    @property
    def passed(self) -> bool:
        """Whether the time is over."""
        return self._clock() >= self._end

    def at_least(self, seconds: float) -> float:
        """``left``, for a single request that needs some time in any case."""
        return max(seconds, self.left)


class Streak:
    """Counts how many looks in a row showed the same.

    Args:
        enough: so many are believed.
    """

    def __init__(self, enough: int) -> None:
        self.count = 0
        self._enough = enough

    def __call__(self, shown: bool) -> bool:
        """Whether it was shown often enough, this look included."""
        self.count = self.count + 1 if shown else 0
        return self.count >= self._enough


@dataclass(frozen=True)
class Wait:
    """How long somebody waits, and who is told of it.

    Attributes:
        progress: called after each look that is not the end.
        longest: seconds between two looks at most.
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
    """Look until it is done; once more when the time is over.

    Args:
        look: asks the engine.
        done: whether that is the end; may raise where the end will never come.
        describe: the progress of a look.
        late: the error once the time is over.

    Returns:
        The last look.

    Raises:
        Exception: of ``late``, as a rule StoreTimeoutError.
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
