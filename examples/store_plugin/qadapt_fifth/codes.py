"""int8 codes with one scale for all dimensions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

STEPS = 127


@dataclass(frozen=True)
class Scale:
    """The width of one step."""

    step: float

    @classmethod
    def of(cls, rows: np.ndarray) -> Scale:
        """The scale that covers rows ``(n, d)``."""
        return cls(float(np.abs(rows).max(initial=0)) / STEPS or 1.0)

    def encode(self, rows: np.ndarray) -> np.ndarray:
        """int8 codes of float32 rows, clipped to what the scale covers."""
        return np.clip(np.rint(rows / np.float32(self.step)), -STEPS, STEPS).astype(np.int8)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """The float32 rows that codes stand for."""
        return codes.astype(np.float32) * np.float32(self.step)

    def clipped(self, rows: np.ndarray) -> int:
        """Rows with values outside of the range."""
        return int((np.abs(rows) > self.step * (STEPS + 0.5)).any(axis=1).sum())
