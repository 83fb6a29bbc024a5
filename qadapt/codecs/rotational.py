"""Rotational codes: 1, 2 or 4 bits per rotated dimension, with an unbiased estimate of products.

One bit is RaBitQ (Gao and Long 2024, "RaBitQ: Quantizing High-Dimensional Vectors with a
Theoretical Error Bound for Approximate Nearest Neighbor Search", doi 10.1145/3654970), two and four
are its extension (Gao et al. 2025, "Practical and Asymptotically Optimal Quantization of
High-Dimensional Vectors in Euclidean Space for Approximate Nearest Neighbor Search", doi
10.1145/3725413), both without subtracting a centroid.

A rotated vector ``x`` has the levels ``y``: odd multiples of 1/2 whose direction is close to that
of ``x``. The dot product with a query ``q`` is estimated as ``f * (y . q)`` with
``f = (x . x) / (y . x)``, which is exact for ``q = x`` and, over random rotations, unbiased.

A code holds one plane of bits per bit of the level, and then two float32 values: ``f`` and
``x . x``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from qadapt.codecs.bitquery import as_integers, plane_query
from qadapt.codecs.blocks import BLOCK_BYTES, rows_in
from qadapt.codecs.estimates import (
    FACTOR_BYTES,
    Bytes,
    EstimateQuery,
    FloatArray,
    exact_type,
    scaled,
    tail,
)
from qadapt.codecs.rotation import padded_dim

CODE_BITS = (1, 2, 4)
_FEW_QUERIES = 16
# Steps between levels that are tried, relative to the root mean square of a vector. The best step
# for normally distributed values is 1.0 with two bits and 0.335 with four.
_STEPS = {
    2: np.linspace(0.6, 1.4, 9, dtype=np.float32),
    4: np.linspace(0.2, 0.5, 13, dtype=np.float32),
}


def code_bytes(dim: int, bits: int) -> int:
    """Bytes of a code of vectors with ``dim`` dimensions."""
    return bits * padded_dim(dim) // 8 + FACTOR_BYTES


def encode(rotated: FloatArray, bits: int) -> Bytes:
    """Encode rotated vectors.

    With two and four bits the levels are the best of a fixed number of steps (9 and 13) by their
    cosine with the vector, instead of all steps at which a level changes as in the paper.

    Args:
        rotated: float32 ``(n, d)``, ``d`` a multiple of 64.
        bits: 1, 2 or 4.

    Returns:
        uint8 ``(n, bits * d / 8 + 8)``.
    """
    n, width = rotated.shape
    codes = np.empty((n, bits * width // 8 + FACTOR_BYTES), dtype=np.uint8)
    rows = rows_in(BLOCK_BYTES, 4 * width)
    for start in range(0, n, rows):
        block, largest = scaled(rotated[start : start + rows])
        size = _sizes(block, bits)
        product = np.vecdot(size, np.abs(block))
        levels = np.where(block > 0, size, -size) + np.float32((1 << bits) / 2 - 0.5)
        out = codes[start : start + rows]
        out[:, :-FACTOR_BYTES] = _packed(levels.astype(np.uint8), bits)
        out[:, -FACTOR_BYTES:] = tail(block, product, largest)
    return codes


def _sizes(block: FloatArray, bits: int) -> FloatArray:
    """Absolute values of the levels, float32 (n, d)."""
    best = np.full(block.shape, 0.5, dtype=np.float32)
    if bits == 1:
        return best
    size = np.abs(block)
    most = np.float32((1 << (bits - 1)) - 1)
    root = np.sqrt(np.vecdot(block, block) / np.float32(block.shape[1]))
    root[root == 0] = 1
    closest = np.full(len(block), -1, dtype=np.float32)
    for step in _STEPS[bits]:
        tried = np.minimum(np.floor(size / (root * step)[:, None]), most)
        tried += np.float32(0.5)
        cosine = np.vecdot(tried, size) / np.sqrt(np.vecdot(tried, tried))
        better = cosine > closest
        best[better] = tried[better]
        closest = np.maximum(closest, cosine)
    return best


def _packed(levels: Bytes, bits: int) -> Bytes:
    """Planes of levels uint8 (n, d), uint8 (n, bits * d / 8)."""
    planes = [np.packbits((levels >> bit) & 1, axis=1) for bit in range(bits)]
    return np.concatenate(planes, axis=1)


def unpacked(codes: Bytes, bits: int) -> Bytes:
    """Levels from 0 to ``2**bits - 1`` of codes ``(..., width)``, uint8 ``(..., d)``."""
    planes = codes[..., :-FACTOR_BYTES]
    each = planes.shape[-1] // bits
    levels = np.unpackbits(planes[..., :each], axis=-1)
    for bit in range(1, bits):
        levels |= np.unpackbits(planes[..., bit * each : (bit + 1) * each], axis=-1) << bit
    return levels


@dataclass(frozen=True)
class RotationalQuery(EstimateQuery):
    """Rotated queries, prepared for scoring codes of ``bits`` bits.

    Attributes:
        integers: float32 or float64 ``(nq, d)``, rounded queries; their products with levels are
            exact.
        scale: float32 ``(nq,)``, value of one step of the rounded queries.
        planes: uint64 ``(nq, query_bits, d / 64)``, bit planes of the rounded queries for the
            kernel of numba; None scores by matrix products.
        bits: bits per dimension of the codes.
    """

    integers: npt.NDArray[np.floating]
    scale: FloatArray
    planes: npt.NDArray[np.uint64] | None
    bits: int

    def _near(self, codes: Bytes) -> FloatArray:
        offset = ((1 << self.bits) - 1) * self.integers.sum(axis=1)
        doubled = 2 * self._products(codes) - offset[:, None]
        near: FloatArray = doubled.astype(np.float32) * (self.scale * np.float32(0.5))[:, None]
        return near

    def _products(self, codes: Bytes) -> npt.NDArray[Any]:
        """Sums of integers times levels, whole numbers (nq, m)."""
        if self.planes is None:
            levels = unpacked(codes, self.bits).astype(self.integers.dtype)
            summed: npt.NDArray[Any] = self.integers @ levels.T
            return summed
        from qadapt.codecs.rotational_kernels import products

        found = np.empty((len(self), len(codes)), dtype=np.int64)
        products(np.ascontiguousarray(codes).view(np.uint64), self.planes, self.bits, found)
        return found.astype(self.integers.dtype)

    def _values(self, codes: Bytes) -> FloatArray:
        middle = np.float32(((1 << self.bits) - 1) / 2)
        return unpacked(codes, self.bits).astype(np.float32) - middle


def rotational_query(
    rotated: FloatArray,
    bits: int,
    query_bits: Literal[4, 8],
    *,
    euclidean: bool,
    kernel: bool = False,
) -> RotationalQuery:
    """Prepare rotated queries.

    Args:
        rotated: float32 ``(nq, d)``, rotated as the vectors were.
        bits: bits of the codes.
        query_bits: bits per dimension of the rounded queries, 4 or 8.
        euclidean: see `EstimateQuery`.
        kernel: whether numba scores; see `kernel_pays`.
    """
    integers, scale = as_integers(rotated.astype(np.float64), query_bits)
    largest = ((1 << bits) - 1) * ((1 << (query_bits - 1)) - 1) * rotated.shape[1]
    exact = exact_type(2 * largest)
    planes = plane_query(rotated.astype(np.float64), query_bits).planes if kernel else None
    return RotationalQuery(
        rotated, euclidean, integers.astype(exact), scale.astype(np.float32), planes, bits
    )


def kernel_pays(queries: int) -> bool:
    """Whether the kernel is faster than matrix products.

    Measured with 1024 dimensions, in microseconds per row and query: the kernel needs 0.02, 0.08
    and 0.13 with 1, 2 and 4 bits for any number of queries; matrix products 0.4, 1.0 and 1.9 for
    one query, 0.15, 0.21 and 0.42 for 8, and 0.03, 0.04 and 0.06 for 64.
    """
    return queries <= _FEW_QUERIES
