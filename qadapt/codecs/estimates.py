"""Estimates of dot products and distances from codes with two factors a row.

A vector ``x`` has the levels ``y``, and the dot product with a query ``q`` is estimated as
``f * (y . q)`` with ``f = (x . x) / (y . x)``, which is exact for ``q = x`` (RaBitQ; see
``rotational``). A code ends in two float32 values: ``f`` and ``x . x``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from qadapt.codecs.blocks import BLOCK_BYTES, rows_in

FloatArray = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]

FACTOR_BYTES = 8
_EXACT = 1 << 24  # integers of this size are exact in float32


def exact_type(largest: int) -> type[np.float32] | type[np.float64]:
    """Type in which whole numbers up to ``largest`` are exact."""
    return np.float32 if largest < _EXACT else np.float64


def scaled(block: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Rows divided by their largest absolute value, and these values (n,), 1 for zero rows.

    Squares of large and of tiny values then stay in the range of float32.
    """
    largest = np.abs(block).max(axis=1)
    largest[largest == 0] = 1
    return block / largest[:, None], largest


def tail(block: FloatArray, product: FloatArray, largest: FloatArray) -> Bytes:
    """Last bytes of codes, uint8 ``(n, 8)``.

    Args:
        block, largest: as returned by `scaled`.
        product: float32 ``(n,)``, dot products of the levels with ``block``.
    """
    square = np.vecdot(block, block)
    factor = np.divide(square, product, out=np.zeros_like(square), where=product > 0)
    factor *= largest
    with np.errstate(over="ignore"):
        square *= largest * largest
    return np.stack([factor, square], axis=1).astype("<f4").view(np.uint8)


def factors(codes: Bytes) -> FloatArray:
    """Factor and squared length of codes ``(..., width)``, float32 ``(..., 2)``."""
    last = np.ascontiguousarray(codes[..., -FACTOR_BYTES:])
    return last.view("<f4").astype(np.float32, copy=False)


@dataclass(frozen=True)
class EstimateQuery(ABC):
    """Queries prepared for scoring codes that end in their factors.

    Attributes:
        floats: float32 ``(nq, d)``, the queries in the dimensions of the codes.
        euclidean: whether scores are minus squared distances instead of dot products.
    """

    floats: FloatArray
    euclidean: bool

    _scan_bytes: ClassVar[int] = 2 * BLOCK_BYTES
    """Bytes of float32 levels that are scored together."""

    def __len__(self) -> int:
        """Number of queries."""
        return len(self.floats)

    @abstractmethod
    def _near(self, codes: Bytes) -> FloatArray:
        """Products of the rounded queries with the levels of codes, float32 ``(nq, m)``."""

    @abstractmethod
    def _values(self, codes: Bytes) -> FloatArray:
        """Levels of codes ``(m, width)``, float32 ``(m, d)``."""

    def score(self, codes: Bytes) -> FloatArray:
        """Scores of codes ``(m, width)`` by the rounded queries, float32 ``(nq, m)``.

        Equal codes have equal scores, and a kernel has those of numpy, because sums of integers
        are exact.
        """
        scores = np.empty((len(self), len(codes)), dtype=np.float32)
        rows = rows_in(self._scan_bytes, 4 * self.floats.shape[1])
        for start in range(0, len(codes), rows):
            block = codes[start : start + rows]
            scores[:, start : start + rows] = self._estimated(self._near(block), factors(block))
        return scores

    def score_pairs(self, codes: Bytes) -> FloatArray:
        """Scores of ``(nq, c, width)`` by the float32 queries, float32 ``(nq, c)``."""
        scores = np.empty(codes.shape[:2], dtype=np.float32)
        step = max(1, min(rows_in(4 * BLOCK_BYTES, 4 * self.floats.shape[1]), codes.shape[1]))
        for query in range(len(codes)):
            for start in range(0, codes.shape[1], step):
                block = codes[query, start : start + step]
                near = np.vecdot(self._values(block), self.floats[query])
                scores[query, start : start + step] = self._estimated(
                    near[None], factors(block), slice(query, query + 1)
                )
        return scores

    def _estimated(
        self, near: FloatArray, own: FloatArray, some: slice = slice(None)
    ) -> FloatArray:
        """Scores of products of levels with queries (nq, m) and of the codes' factors (m, 2)."""
        near = near * own[:, 0]
        if not self.euclidean:
            return near
        queries = self.floats[some]
        squares = np.vecdot(queries, queries)[:, None] + own[:, 1]
        far: FloatArray = np.minimum(2 * near - squares, 0)
        return far
