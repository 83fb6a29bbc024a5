"""What a search in a code index gives back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class CodeHits:
    """Found ids and how they were found.

    Attributes:
        ids: object (nq, k), best first; None where there are fewer than ``k`` rows.
        scores: float32 (nq, k), higher is better; NaN in the same places.
        candidates: how many rows of each query were scored again in the second stage; 0 when
            nothing was.
        rescored_on: ``originals``, ``codes`` (int8), ``bits``, or ``nothing``.
        scores_kind: ``exact`` when the scores come from original vectors, else ``approximate``.
        searcher: who did the first stage, e.g. ``numpy:hamming``.
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
        """For each query its (id, score) pairs, best first, without the padding."""
        return [
            [(one, float(score)) for one, score in zip(ids, scores, strict=True) if one is not None]
            for ids, scores in zip(self.ids, self.scores, strict=True)
        ]
