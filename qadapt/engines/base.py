"""Interface of scan engines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]
Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Array = npt.NDArray[Any]

PADDING_ROW = -1
"""Row number of padding in results."""


@runtime_checkable
class Engine(Protocol):
    """Engine that finds the nearest codes by Hamming distance.

    All engines must return identical results: the ``k`` smallest distances, and among equal
    distances the lowest rows first.
    """

    @property
    def name(self) -> str:
        """Name for :func:`qadapt.engines.get_engine`."""
        ...

    def hamming_topk(
        self,
        query_words: Words,
        code_words: Words | Sequence[Words],
        k: int,
        mask: Mask | None = None,
    ) -> tuple[Rows, npt.NDArray[np.int32]]:
        """Find the ``k`` nearest rows of each query.

        Args:
            query_words: uint64 (nq, w), sign bits packed into words.
            code_words: uint64 (m, w), or several blocks with consecutive row numbers. Any memory
                order is valid; each engine documents which is fast.
            k: number of rows, at least 1.
            mask: bool (all rows,), rows that may be returned; None for all.

        Returns:
            rows: int64 (nq, k), nearest first; padded with -1.
            distances: int32 (nq, k) in bits; padded with -1.
        """
        ...
