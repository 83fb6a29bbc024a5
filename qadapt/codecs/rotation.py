"""Seeded random rotation of vectors in O(d log d) operations per vector.

A product of random sign flips, permutations and Walsh-Hadamard transforms (Ailon and Chazelle 2009,
"The fast Johnson-Lindenstrauss transform", doi 10.1137/060673096) spreads every vector over all
dimensions, so that codes of one or a few bits per dimension lose about the same for all vectors.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]

WORD_BITS = 64
_ROUNDS = 3
_BLOCK_BYTES = 1 << 20  # vectors that are rotated together stay in the L2 cache
_SEED = 0x51AD


def padded_dim(dim: int) -> int:
    """Dimensions after the rotation: the next multiple of 64."""
    return -(-dim // WORD_BITS) * WORD_BITS


class Rotation:
    """Rotation from ``dim`` to `padded_dim` dimensions; lengths and dot products do not change.

    The transform needs a power of two. For other dimensions it is applied to the first and then to
    the last ``2**p`` dimensions, the largest power that fits, after a random permutation in each
    round. All operations are sums of two float32 values in a fixed order, so a vector has the same
    result alone, in any batch and on any processor.

    Args:
        dim: dimensions of the vectors, at least 1.
        seed: seed of flips and permutations; the default is the one of all indexes.
    """

    def __init__(self, dim: int, seed: int = _SEED) -> None:
        self._dim = dim
        self._width = padded_dim(dim)
        self._power = 1 << (self._width.bit_length() - 1)
        # The raw stream of PCG64, because numpy may change its distributions.
        raw = np.random.PCG64(seed)
        self._rounds = [tuple(_draw(raw, self._width) for _ in range(3)) for _ in range(_ROUNDS)]

    def __call__(self, vectors: FloatArray) -> FloatArray:
        """Rotate float32 ``(n, dim)`` to float32 ``(n, padded_dim(dim))``."""
        out = np.empty((len(vectors), self._width), dtype=np.float32)
        rows = max(1, _BLOCK_BYTES // (4 * self._width))
        for start in range(0, len(vectors), rows):
            block = vectors[start : start + rows]
            columns = np.zeros((self._width, len(block)), dtype=np.float32)
            columns[: self._dim] = block.T
            out[start : start + rows] = self._rotated(columns).T
        return out

    def _rotated(self, x: FloatArray) -> FloatArray:
        """Rotate columns, float32 (width, n)."""
        power, whole = self._power, self._power == self._width
        for first, second, order in self._rounds:
            x = x * _signs(first)
            if whole:
                x = _hadamard(x)
                continue
            x = x[np.argsort(order, kind="stable")]
            x[:power] = _hadamard(x[:power])
            x *= _signs(second)
            x[-power:] = _hadamard(x[-power:])
        return x


@functools.lru_cache(maxsize=8)
def rotation(dim: int) -> Rotation:
    """The rotation of all indexes with this number of dimensions."""
    return Rotation(dim)


def _draw(raw: np.random.PCG64, count: int) -> npt.NDArray[np.uint64]:
    return np.asarray(raw.random_raw(count), dtype=np.uint64)


def _signs(drawn: npt.NDArray[np.uint64]) -> FloatArray:
    """-1 or 1 per dimension, float32 (width, 1)."""
    return np.where(drawn >> np.uint64(63), np.float32(-1), np.float32(1))[:, None]


def _hadamard(x: FloatArray) -> FloatArray:
    """Orthonormal Walsh-Hadamard transform of columns, float32 (2**p, n)."""
    size, n = x.shape
    source = np.ascontiguousarray(x)
    target = np.empty_like(source)
    half = 1
    while half < size:
        before = source.reshape(-1, 2, half * n)
        after = target.reshape(-1, 2, half * n)
        np.add(before[:, 0], before[:, 1], out=after[:, 0])
        np.subtract(before[:, 0], before[:, 1], out=after[:, 1])
        source, target = target, source if half > 1 else np.empty_like(source)
        half *= 2
    source *= np.float32(1 / math.sqrt(size))
    return source
