"""Calibration samples for all codec tests."""

from __future__ import annotations

import numpy as np
import pytest

from qadapt.codecs import Calibration


@pytest.fixture(scope="session")
def vectors() -> np.ndarray:
    """500 float32 vectors of 37 dimensions, whose scales differ by a factor of 100."""
    rng = np.random.default_rng(7)
    return (rng.standard_normal((500, 37)) * np.geomspace(0.02, 2, 37)).astype(np.float32)


@pytest.fixture(scope="session")
def calibration(vectors: np.ndarray) -> Calibration:
    return Calibration.fit(vectors)
