"""Rotations by Walsh-Hadamard transforms, as matrices: ``x @ matrix`` rotates rows ``x``.

Engines apply them in O(d log d) without a matrix. Here one matrix product does the same to all
rows at once.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]

# Qdrant's TurboQuant: the seeds of its three permutations, and the generator that they start
# (Knuth's MMIX constants). They are part of its file format: lib/quantization/src/turboquant.
_SEEDS = (654605292835415893, 8636605637963351413, 1775280196666917949)
_A, _C, _MASK = 6364136223846793005, 1442695040888963407, (1 << 64) - 1


@lru_cache(maxsize=4)
def turbo(dim: int) -> Floats:
    """TurboQuant's rotation of ``dim`` (padded) dimensions, float32 ``(dim, dim)``."""
    x = np.eye(dim)
    sizes = [1 << bit for bit in range(dim.bit_length() - 1, -1, -1) if dim >> bit & 1]
    x = _blocks(x, sizes)
    for seed in _SEEDS:
        x = _blocks(x[:, _permutation(seed, dim)], sizes)
    return x.astype(np.float32)


@lru_cache(maxsize=4)
def blocked(dim: int, seed: int = 0) -> Floats:
    """Weaviate's rotation: three rounds of random swaps, signs and block transforms.

    Weaviate draws swaps and signs from Go's generator with a fixed seed, and this model from
    numpy's: codes differ, their statistics are equal.
    """
    x = np.eye(dim)
    random = np.random.default_rng(seed)
    sizes = [256] * (dim // 256) + [64] * (dim % 256 // 64)
    for _ in range(3):
        x = x[:, random.permutation(dim)] * random.choice([-1.0, 1.0], dim)
        x = _blocks(x, sizes)
    return x.astype(np.float32)


@lru_cache(maxsize=4)
def gaussian(dim: int, seed: int = 0) -> Floats:
    """A uniformly random rotation, as in RaBitQ."""
    drawn = np.random.default_rng(seed).standard_normal((dim, dim))
    q, r = np.linalg.qr(drawn)
    return (q * np.sign(np.diag(r))).astype(np.float32)


def _blocks(x: Doubles, sizes: list[int]) -> Doubles:
    """Transform the columns in blocks of powers of two, keeping lengths."""
    out = np.empty_like(x)
    start = 0
    for size in sizes:
        out[:, start : start + size] = _transform(x[:, start : start + size]) / np.sqrt(size)
        start += size
    return out


def _transform(x: Doubles) -> Doubles:
    """Walsh-Hadamard transform of each row; the number of columns is a power of two."""
    rows, size = x.shape
    half = 1
    while half < size:
        pairs = x.reshape(rows, size // (2 * half), 2, half)
        x = np.stack([pairs[:, :, 0] + pairs[:, :, 1], pairs[:, :, 0] - pairs[:, :, 1]], axis=2)
        x = x.reshape(rows, size)
        half *= 2
    return x


def _permutation(seed: int, count: int) -> npt.NDArray[np.intp]:
    """Source of each column: a Fisher-Yates shuffle by a linear congruential generator."""
    order = list(range(count))
    state = seed
    for at in range(count - 1, 0, -1):
        state = (state * _A + _C) & _MASK
        other = (state >> 32) % (at + 1)
        order[at], order[other] = order[other], order[at]
    return np.asarray(order)
