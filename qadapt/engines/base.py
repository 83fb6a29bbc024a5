"""Interface of scan engines, and what they share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from qadapt.codecs.bitquery import PlaneQuery

Words = npt.NDArray[np.uint64]
Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int32]
Keys = npt.NDArray[np.int64]

PADDING_ROW = -1
"""Row number of padding in results."""

GATHER_BELOW = 0.25
"""Fraction of allowed rows of a block below which they are copied before the scan."""

KEY_SHIFT = 36
"""A key is ``distance << KEY_SHIFT | row``: its order is by distance, then by row."""
NO_KEY = np.iinfo(np.int64).max
"""Key of padding, larger than any other."""


@runtime_checkable
class Engine(Protocol):
    """Engine that finds the nearest codes by Hamming distance.

    All engines return identical results: the ``k`` smallest distances, and among equal distances
    the lowest row numbers first.
    """

    @property
    def name(self) -> str:
        """Name for :func:`qadapt.engines.get_engine`."""
        ...

    @property
    def version(self) -> str:
        """Version of the package that scans."""
        ...

    def hamming_topk(
        self,
        query_words: Words,
        code_words: Words | Sequence[Words],
        k: int,
        mask: Mask | None = None,
    ) -> tuple[Rows, Ints]:
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


@runtime_checkable
class PlaneEngine(Engine, Protocol):
    """Engine that also scans sign bits with queries of 4 or 8 bits per dimension."""

    def plane_topk(
        self,
        query: PlaneQuery,
        code_words: Words | Sequence[Words],
        k: int,
        mask: Mask | None = None,
    ) -> tuple[Rows, Ints]:
        """Find the ``k`` rows with the largest products of each query.

        Args:
            query: bit planes of the queries.
            code_words, k, mask: see :meth:`Engine.hamming_topk`.

        Returns:
            rows: int64 (nq, k), largest product first, equal products in row order; padded with -1.
            products: int32 (nq, k), sum of the query's integers where the bit is 1; 0 for padding.
        """
        ...


def as_blocks(code_words: Words | Sequence[Words]) -> list[Words]:
    """The blocks of an argument ``code_words``."""
    return [code_words] if isinstance(code_words, np.ndarray) else list(code_words)


def masked(
    blocks: Sequence[Words], mask: Mask | None, below: float = GATHER_BELOW
) -> Iterator[tuple[int, Words, Mask | None, npt.NDArray[np.intp] | None]]:
    """Iterate over blocks that contain allowed rows.

    Args:
        blocks: blocks with consecutive row numbers.
        mask: bool (all rows,), or None.
        below: fraction of allowed rows below which positions are returned instead of a mask.

    Yields:
        Number of the first row; the block; the mask of its rows if some are not allowed; and
        the positions of allowed rows instead of a mask, if there are few.
    """
    first = 0
    for block in blocks:
        allowed = None if mask is None else mask[first : first + len(block)]
        count = len(block) if allowed is None else int(np.count_nonzero(allowed))
        if allowed is None or count == len(block):
            yield first, block, None, None
        elif count and count < below * len(block):
            yield first, block, None, np.flatnonzero(allowed)
        elif count:
            yield first, block, allowed, None
        first += len(block)


def ranked(keys: Keys) -> tuple[Rows, Ints]:
    """Sort keys (nq, k) in place; rows and distances, padded with -1."""
    keys.sort(axis=1)
    none = keys == NO_KEY
    rows = keys & ((1 << KEY_SHIFT) - 1)
    distances = (keys >> KEY_SHIFT).astype(np.int32)
    rows[none] = PADDING_ROW
    distances[none] = -1
    return rows, distances
