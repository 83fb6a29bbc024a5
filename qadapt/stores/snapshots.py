"""A cache of the last snapshot of each collection, with its age."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class SnapshotCache(Generic[T]):
    """Snapshots by name; callers choose the maximum age.

    Args:
        clock: returns seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._held: dict[str, tuple[float, T]] = {}

    def get(self, name: str, max_age: float = math.inf) -> T | None:
        """The last snapshot of a collection; None if there is none, or only an older one.

        Args:
            max_age: in seconds.
        """
        held = self._held.get(name)
        if held is None or self._clock() - held[0] >= max_age:
            return None
        return held[1]

    def put(self, name: str, snapshot: T) -> T:
        """Add a snapshot that was just read."""
        self._held[name] = (self._clock(), snapshot)
        return snapshot

    def forget(self, name: str | None = None) -> None:
        """Discard the snapshot of a collection; None discards all."""
        if name is None:
            self._held.clear()
        else:
            self._held.pop(name, None)
