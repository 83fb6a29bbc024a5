"""Blockwise scores that are linear in the decoded code, shared by both kinds of queries."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import numpy.typing as npt

from qadapt.codecs.blocks import BLOCK_BYTES, Array, rows_in
from qadapt.errors import DimensionError

# Matrix products are faster with long blocks, even if these exceed the cache.
_BLOCK_BYTES = 2 * BLOCK_BYTES

FloatArray = npt.NDArray[np.float32]


class LinearQuery(ABC):
    """``score = weights . z + bias - squares . z**2`` with ``z`` the decoded code.

    Args:
        weights: float32 ``(nq, d)``.
        bias: float32 ``(nq,)``, the part of the score that does not depend on the code.
        squares: float32 ``(d,)``, or None if the score has no square term.
    """

    def __init__(self, weights: Array, bias: Array, squares: Array | None = None) -> None:
        self._weights: FloatArray = np.ascontiguousarray(weights, dtype=np.float32)
        self._bias: FloatArray = np.asarray(bias, dtype=np.float32)
        self._squares = None if squares is None else np.asarray(squares, dtype=np.float32)

    @property
    def dim(self) -> int:
        """Number of dimensions."""
        return int(self._weights.shape[1])

    def __len__(self) -> int:
        """Number of queries."""
        return len(self._weights)

    @abstractmethod
    def _check(self, codes: npt.ArrayLike, ndim: int) -> Array:
        """Check the codes, or raise an error."""

    @abstractmethod
    def _decode(self, codes: Array, out: FloatArray) -> None:
        """Write the decoded values of ``codes (..., width)`` to ``out (..., d)``."""

    def score(self, codes_block: npt.ArrayLike) -> FloatArray:
        """Scores of every query with every code.

        Args:
            codes_block: ``(m, width)``; may be a memory map.

        Returns:
            float32 ``(nq, m)``, higher is better.

        Raises:
            DimensionError: the codes have another width.
            InputError: another dtype or number of axes.
        """
        codes = self._check(codes_block, 2)
        scores = np.empty((len(self), len(codes)), dtype=np.float32)
        rows = rows_in(_BLOCK_BYTES, self.dim * 4)
        work = np.empty((min(rows, len(codes)), self.dim), dtype=np.float32)
        for start in range(0, len(codes), rows):
            block = codes[start : start + rows]
            z = work[: len(block)]
            self._decode(block, z)
            part = self._weights @ z.T
            if self._squares is not None:
                part -= np.square(z, out=z) @ self._squares
            part += self._bias[:, np.newaxis]
            scores[:, start : start + rows] = part
        return self._limit(scores)

    def score_pairs(self, codes: npt.ArrayLike) -> FloatArray:
        """Scores of each query with its own candidates.

        Args:
            codes: ``(nq, c, width)``: ``codes[i]`` are the candidates of query ``i``.

        Returns:
            float32 ``(nq, c)``, higher is better.

        Raises:
            DimensionError: the codes have another width, or not one group per query.
            InputError: another dtype or number of axes.
        """
        array = self._check(codes, 3)
        if len(array) != len(self):
            raise DimensionError(len(self), len(array), what="candidate groups (one per query)")
        scores = np.empty(array.shape[:2], dtype=np.float32)
        rows = rows_in(_BLOCK_BYTES, self.dim * 4)
        step = max(1, min(rows, array.shape[1]))  # candidates at a time
        group = max(1, rows // step)  # queries at a time
        work = np.empty((min(group, len(array)), step, self.dim), dtype=np.float32)
        for q in range(0, len(array), group):
            weights = self._weights[q : q + group, np.newaxis]
            for c in range(0, array.shape[1], step):
                block = array[q : q + group, c : c + step]
                z = work[: len(block), : block.shape[1]]
                self._decode(block, z)
                # One dot product per pair: with the blocking of a matrix product, scores of equal
                # rows can differ in the last digit, so ties would not be in row order.
                part = np.vecdot(z, weights)
                if self._squares is not None:
                    part -= np.vecdot(np.square(z, out=z), self._squares)
                part += self._bias[q : q + group, np.newaxis]
                scores[q : q + group, c : c + step] = part
        return self._limit(scores)

    def _limit(self, scores: FloatArray) -> FloatArray:
        """Limit scores with a square term, which are negative distances, to at most 0."""
        return scores if self._squares is None else np.minimum(scores, 0, out=scores)
