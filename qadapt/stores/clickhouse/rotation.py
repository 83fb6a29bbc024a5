"""The rotation of ClickHouse's codecs, as a matrix: ``x @ rotation(dim)`` rotates rows ``x``.

Three rounds of random signs and a Hadamard transform (docs/engines/clickhouse.md#codes). The
signs are those of the engine, so that codes are equal, too.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]

ROUNDS = 3
ROWS, RESIDUALS = 0x9E3779B97F4A7C15, 0xD1B54A32D192ED03  # seeds: of vectors, and of their rests
# Orders of the Hadamard matrices besides the powers of 2: one more than a prime, by Paley.
ORDERS = (12, 20)
STEP, MASK = 0x9E3779B97F4A7C15, (1 << 64) - 1


@lru_cache(maxsize=4)
def rotation(dim: int, seed: int = ROWS) -> Floats:
    """The matrix ``(dim, dim)``, float32, that keeps lengths.

    If no Hadamard matrix has ``dim`` rows, the engine appends zeros up to the next power of 2 and
    keeps the first ``dim`` values of the result: lengths are kept on average only.
    """
    order, width = _order(dim), width_of(dim)
    transform = np.kron(_sylvester(width // order), _paley(order) if order > 1 else np.eye(1))
    x = np.eye(dim, width)
    for signs in _signs(seed, ROUNDS * width).reshape(ROUNDS, width):
        x = (x * signs) @ transform.T / np.sqrt(width)
    return x[:, :dim].astype(np.float32)


def width_of(dim: int) -> int:
    """The dimensions of the transform."""
    return dim if _order(dim) > 1 else 1 << (dim - 1).bit_length()


def _order(dim: int) -> int:
    return next((each for each in ORDERS if _is_power(dim / each)), 1)


def _is_power(number: float) -> bool:
    return number >= 1 and number.is_integer() and int(number).bit_count() == 1


def _signs(seed: int, count: int) -> Doubles:
    """Signs by the lowest bits of the generator SplitMix64."""
    lowest: Doubles = (
        mixed((seed + STEP * np.arange(1, count + 1, dtype=object)) & MASK) & 1
    ).astype(np.float64)
    return 2 * lowest - 1


def mixed(state: Any) -> Any:
    """The numbers of the generator SplitMix64 for its states: an integer, or an array of them."""
    found = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    found = ((found ^ (found >> 27)) * 0x94D049BB133111EB) & MASK
    return found ^ (found >> 31)


def _sylvester(size: int) -> Doubles:
    """The Hadamard matrix of a power of 2."""
    matrix: Doubles = np.ones((1, 1))
    while len(matrix) < size:
        matrix = np.kron([[1, 1], [1, -1]], matrix).astype(np.float64)
    return matrix


def _paley(order: int) -> Doubles:
    """The Hadamard matrix of a prime p = 3 modulo 4, and 1, from the squares modulo p."""
    prime = order - 1
    at = np.arange(prime)
    difference = (at[:, None] - at) % prime
    squares = np.unique(at[1:] ** 2 % prime)
    matrix = np.ones((order, order))
    matrix[1:, 0] = -1
    matrix[1:, 1:] = np.where((difference == 0) | np.isin(difference, squares), 1, -1)
    return matrix
