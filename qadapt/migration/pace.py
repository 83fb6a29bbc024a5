"""How many rows are written at once: by bytes to begin with, then by what the server answers."""

from __future__ import annotations

import threading

SLOW, QUICK = 2.0, 0.25  # seconds of one write
LEAST = 16


class Pace:
    """Rows of one write; threads share it.

    Args:
        row_bytes: of a row, about.
        batch_bytes: of a write, to begin with; it grows to four times that at most.
    """

    def __init__(self, row_bytes: int, batch_bytes: int) -> None:
        each = max(1, row_bytes)
        self._lock = threading.Lock()
        self._most = max(LEAST, min(16_000, 4 * batch_bytes // each))
        self._rows = max(LEAST, min(4_000, batch_bytes // each))

    @property
    def rows(self) -> int:
        """Rows of the next write."""
        with self._lock:
            return self._rows

    def took(self, rows: int, seconds: float) -> None:
        """A write came back."""
        with self._lock:
            if seconds > SLOW:
                self._rows = max(LEAST, min(self._rows, int(rows * SLOW / seconds)))
            elif seconds < QUICK and rows >= self._rows:
                self._rows = min(self._most, self._rows + self._rows // 4)

    def failed(self) -> None:
        """A write did not come through: half as many next time."""
        with self._lock:
            self._rows = max(LEAST, self._rows // 2)
