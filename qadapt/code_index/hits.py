"""Results of a search in a code index."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class CodeHits:
    """Results of a search, best first.

    Attributes:
        ids: object (nq, k), best first; padded with None.
        scores: float32 (nq, k), higher is better; padded with NaN.
        candidates: number of rescored candidates per query; 0 without rescoring.
        rescored_on: ``originals``, ``codes`` (int8), ``bits``, or ``nothing``.
        scores_kind: ``exact`` if scores were computed from original vectors, else ``approximate``.
        searcher: implementation of the first stage, its version, and the kind of scan,
            e.g. ``numba 0.68.1:hamming``.
    """

    ids: npt.NDArray[np.object_]
    scores: npt.NDArray[np.float32]
    candidates: int
    rescored_on: str
    scores_kind: str
    searcher: str

    def __len__(self) -> int:
        """Number of queries."""
        return len(self.ids)

    def lists(self) -> list[list[tuple[Any, float]]]:
        """List of (id, score) per query, best first, without padding."""
        return [
            [(one, float(score)) for one, score in zip(ids, scores, strict=True) if one is not None]
            for ids, scores in zip(self.ids, self.scores, strict=True)
        ]
