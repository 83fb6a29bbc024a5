"""What a scanning engine must do."""

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
"""Row number in the places of a result that no row fills."""


@runtime_checkable
class Engine(Protocol):
    """Something that finds the codes nearest to a query by Hamming distance.

    All engines must give the same answer to the last row: the ``k`` smallest distances, equal
    distances in row order (lowest row first), also where the cut falls between equal ones.
    """

    @property
    def name(self) -> str:
        """The word by which :func:`qadapt.engines.get_engine` finds it."""
        ...

    def hamming_topk(
        self,
        query_words: Words,
        code_words: Words | Sequence[Words],
        k: int,
        mask: Mask | None = None,
    ) -> tuple[Rows, npt.NDArray[np.int32]]:
        """The ``k`` nearest rows of each query.

        Args:
            query_words: uint64 (nq, w), sign bits packed into words.
            code_words: uint64 (m, w), or several such blocks whose rows are numbered through.
                Any memory order is right; each engine says in its own text which is fast.
            k: how many rows, at least 1.
            mask: bool (all rows,), True where a row may be found. None allows all.

        Returns:
            rows: int64 (nq, k), nearest first; -1 where fewer than ``k`` rows are allowed.
            distances: int32 (nq, k) in bits; -1 in the same places.
        """
        ...
