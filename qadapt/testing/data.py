"""Synthetic vectors that resemble embeddings, so that quantization loses recall."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qadapt.engines.exact import exact_scores, unit
from qadapt.model import Metric

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Sample:
    """Rows, queries and the ground truth.

    Attributes:
        rows: float32 ``(n, d)``, of length 1.
        queries: float32 ``(nq, d)``, of length 1.
        truth: int64 ``(nq, k)``, row numbers of the nearest rows by cosine.
    """

    rows: Floats
    queries: Floats
    truth: npt.NDArray[np.int64]


def clustered(n: int, dim: int, queries: int = 100, k: int = 10, seed: int = 0) -> Sample:
    """Noisy clusters in a space with decreasing variance per direction, like embeddings."""
    random = np.random.default_rng(seed)
    weights = (np.arange(1, dim + 1) ** -0.35).astype(np.float32)
    centres = random.standard_normal((max(1, n // 40), dim), dtype=np.float32)
    total = n + queries
    chosen = centres[random.integers(0, len(centres), total)]
    noise = random.standard_normal((total, dim), dtype=np.float32)
    points = unit((0.8 * chosen + noise) * weights)
    rows, asked = points[:n], points[n:]
    scores = exact_scores(asked, rows, Metric.COSINE)
    return Sample(rows, asked, np.argsort(-scores, axis=1, kind="stable")[:, :k])
