"""Vectors that all index tests share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from qadapt.code_index import CodeIndex
from qadapt.codecs import Calibration

DIM = 37  # not a multiple of 8 or 64: padding bits are there


@pytest.fixture(scope="session")
def vectors() -> np.ndarray:
    """float32 (300, 37), of different lengths."""
    rng = np.random.default_rng(11)
    lengths = rng.uniform(0.5, 2, (300, 1))
    return (rng.standard_normal((300, DIM)) * lengths).astype(np.float32)


@pytest.fixture(scope="session")
def queries(vectors: np.ndarray) -> np.ndarray:
    """float32 (9, 37), near the first rows."""
    rng = np.random.default_rng(12)
    return (vectors[:9] + 0.3 * rng.standard_normal((9, DIM))).astype(np.float32)


@pytest.fixture(scope="session")
def ranges() -> Calibration:
    """Ranges wide enough for every vector of these tests, normalized or not."""
    return Calibration.from_ranges(np.array([[-9.0] * DIM, [9.0] * DIM], dtype=np.float32))


@pytest.fixture
def make(tmp_path: Path, vectors: np.ndarray) -> Callable[..., CodeIndex]:
    """An index over the vectors, ids 0..299."""

    def build(name: str = "index", **options: object) -> CodeIndex:
        index = CodeIndex.create(tmp_path / name, DIM, **options)  # type: ignore[arg-type]
        index.add(np.arange(len(vectors)), vectors)
        return index

    return build


@pytest.fixture
def saved(make: Callable[..., CodeIndex]) -> Path:
    """A folder with two segments."""
    with make() as index:
        index.save()
        index.add(["a", "b"], np.eye(2, 37))
    return index.folder
