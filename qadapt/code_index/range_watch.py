"""Values of added vectors outside of the ranges of the int8 codes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qadapt.codecs import Calibration
from qadapt.model.arrays import Floats

WARN_SHARE = 0.01
"""Share of values that are cut off, above which a warning is due."""
WINDOW_ROWS = 100
"""Rows that are counted together, so that single vectors cause no warning."""


@dataclass(frozen=True)
class CutOff:
    """Values of some rows that are outside of the ranges.

    Attributes:
        rows: number of rows.
        share: share of their values.
    """

    rows: int
    share: float


class RangeWatch:
    """Counts values that the ranges of an index cut off, over windows of at least 100 rows.

    Args:
        calibration: ranges.
    """

    def __init__(self, calibration: Calibration) -> None:
        self._calibration = calibration
        self._lo, self._hi = calibration.lo, calibration.hi
        self._rows = 0
        self._cut = 0
        self._worst: CutOff | None = None

    def watched(self, blocks: Iterable[Floats]) -> Iterator[Floats]:
        """Iterate over blocks (m, d) of one call, and count them at the end."""
        rows = cut = 0
        lo, hi = self._lo, self._hi
        for block in blocks:
            low, high = block.min(axis=0), block.max(axis=0)
            outside = np.flatnonzero((low < self._calibration.lo) | (high > self._calibration.hi))
            if len(outside):
                cut += self._count(block[:, outside], outside)
                lo, hi = np.minimum(lo, low), np.maximum(hi, high)
            rows += len(block)
            yield block
        self._lo, self._hi = lo, hi
        self._rows += rows
        self._cut += cut
        if self._rows >= WINDOW_ROWS:
            share = self._cut / (self._rows * self._calibration.dim)
            if share > WARN_SHARE:
                self._worst = CutOff(self._rows, share)
            self._rows = self._cut = 0

    def _count(self, columns: Floats, which: npt.NDArray[np.int64]) -> int:
        below = columns < self._calibration.lo[which]
        return int(np.count_nonzero(below | (columns > self._calibration.hi[which])))

    def take_warning(self) -> CutOff | None:
        """Last window in which more than 1 % were cut off, each once; else None."""
        found, self._worst = self._worst, None
        return found

    def widened(self) -> Calibration | None:
        """Ranges that include all values seen so far; None if the present ones do."""
        old = self._calibration
        if np.array_equal(self._lo, old.lo) and np.array_equal(self._hi, old.hi):
            return None
        return Calibration(self._lo, self._hi, old.count, None, f"{old.source}, widened")
