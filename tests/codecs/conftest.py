"""What the codec tests share: calibration samples and the shared data folder."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from qadapt.codecs import Calibration

REPO = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def vectors() -> np.ndarray:
    """500 float32 vectors of 37 dimensions, whose scales differ by a factor of 100."""
    rng = np.random.default_rng(7)
    return (rng.standard_normal((500, 37)) * np.geomspace(0.02, 2, 37)).astype(np.float32)


@pytest.fixture(scope="session")
def calibration(vectors: np.ndarray) -> Calibration:
    return Calibration.fit(vectors)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared data; tests that need it are skipped where it is not."""
    folder = Path(os.environ.get("QADAPT_SHARED", REPO.parent / "shared"))
    if not (folder / "data" / "scifact-minilm.npz").is_file():
        pytest.skip(f"no data/scifact-minilm.npz in {folder}: set QADAPT_SHARED to its place")
    return folder
