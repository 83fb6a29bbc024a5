"""Scalar codes of 4 bits with a learned codebook: 16 levels for each dimension.

The levels minimize the squared error over a sample (Lloyd 1982, "Least squares quantization in
PCM", doi 10.1109/TIT.1982.1056489; Max 1960, "Quantizing for minimum distortion", doi
10.1109/TIT.1960.1057548). A code holds two dimensions per byte, the first one in the high bits,
and the factors of ``estimates``, which correct the length that the nearest levels lose.

For scanning, levels are rounded to 8 bits between the smallest and the largest level of their
dimension, and queries to 8 bits, so that products are whole numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.codecs.bitquery import as_integers
from qadapt.codecs.blocks import BLOCK_BYTES, raise_non_finite, rows_in
from qadapt.codecs.estimates import (
    FACTOR_BYTES,
    Bytes,
    EstimateQuery,
    FloatArray,
    exact_type,
    scaled,
    tail,
)
from qadapt.errors import InputError
from qadapt.model.arrays import as_matrix

LEVELS = 16
SAMPLE_ROWS = 10_000
"""Rows that a codebook is learned from, at most."""
_ROUNDS = 25
_LARGEST = 127
_FEW_QUERIES = 2
# Best levels for normally distributed values (Max 1960), from which learning starts.
_HALF = (0.1284, 0.3881, 0.6568, 0.9424, 1.2562, 1.6181, 2.0690, 2.7326)
_START = np.array([*(-each for each in reversed(_HALF)), *_HALF])


def code_bytes(dim: int) -> int:
    """Bytes of a code of vectors with ``dim`` dimensions."""
    return -(-dim // 2) + FACTOR_BYTES


def sample_step(rows: int) -> int:
    """Step between the rows to learn from."""
    return max(1, -(-rows // SAMPLE_ROWS))


class Codebook:
    """Levels of each dimension.

    Args:
        levels: float32 ``(d, 16)``, ascending in each row.

    Raises:
        InputError: another shape, or values that are not finite or do not ascend.
    """

    def __init__(self, levels: npt.ArrayLike) -> None:
        given = np.array(levels, dtype=np.float32)
        if given.ndim != 2 or given.shape[1] != LEVELS or not len(given):
            raise InputError(
                f"a codebook has the shape (dimensions, {LEVELS}); got {given.shape}",
                hint="learn one with Codebook.fit(sample)",
            )
        if not np.isfinite(given).all() or (np.diff(given, axis=1) < 0).any():
            raise InputError(
                "the levels of a codebook are not finite or do not ascend",
                hint="learn one with Codebook.fit(sample)",
            )
        given.flags.writeable = False
        self.levels: FloatArray = given

    @classmethod
    def fit(cls, sample: npt.ArrayLike) -> Codebook:
        """Learn the levels from vectors, *normalized* ones for an index under cosine.

        Args:
            sample: floats ``(n, d)``, at least 1 row; of more than 10,000 rows, evenly spaced ones
                are used.

        Raises:
            InputError: not a float array of two axes, or empty.
            NonFiniteError: a row holds NaN or infinity.
        """
        matrix = as_matrix(sample, what="sample", strict=True)
        if not len(matrix):
            raise InputError("the sample has no rows", hint="pass at least 100 vectors")
        rows = matrix[:: sample_step(len(matrix))]
        raise_non_finite(rows, what="sample")
        return cls(np.stack([_lloyd_max(column) for column in rows.T]))

    @property
    def dim(self) -> int:
        """Dimensions of the vectors."""
        return len(self.levels)

    def encode(self, vectors: FloatArray) -> Bytes:
        """Codes of vectors float32 ``(n, d)``, uint8 ``(n, ceil(d / 2) + 8)``."""
        codes = np.empty((len(vectors), code_bytes(self.dim)), dtype=np.uint8)
        width = len(self._padded)
        rows = rows_in(BLOCK_BYTES // 2, 4 * width)
        block = np.zeros((min(rows, len(vectors)), width), dtype=np.float32)
        for start in range(0, len(vectors), rows):
            given = vectors[start : start + rows]
            block[: len(given), : self.dim] = given
            some = block[: len(given)]
            level = np.zeros(some.shape, dtype=np.uint8)
            for middle in self._middles:
                level += some > middle
            out = codes[start : start + rows]
            out[:, :-FACTOR_BYTES] = level[:, ::2] << 4 | level[:, 1::2]
            part, largest = scaled(some)
            values = self.decode(out)
            out[:, -FACTOR_BYTES:] = tail(part, np.vecdot(values, part), largest)
        return codes

    def decode(self, codes: Bytes) -> FloatArray:
        """Levels of codes ``(m, width)``, float32 ``(m, d rounded up to 2)``."""
        return looked_up(self._level_pairs, codes)

    @cached_property
    def _middles(self) -> FloatArray:
        """Values between the levels, float32 ``(15, d rounded up to 2)``."""
        between = self._padded[:, :-1] / 2 + self._padded[:, 1:] / 2
        return np.array(between.T, dtype=np.float32, order="C")

    @cached_property
    def _padded(self) -> FloatArray:
        """Levels of an even number of dimensions; an added one has only 0."""
        return np.concatenate([self.levels, np.zeros((self.dim % 2, LEVELS), np.float32)])

    @cached_property
    def centers(self) -> FloatArray:
        """float32 ``(d rounded up to 2,)``: middle between smallest and largest level."""
        return np.asarray(self._padded[:, 0] / 2 + self._padded[:, -1] / 2, dtype=np.float32)

    @cached_property
    def steps(self) -> FloatArray:
        """float32 ``(d rounded up to 2,)``: value of one step of the rounded levels."""
        steps = self._padded[:, -1] / (2 * _LARGEST) - self._padded[:, 0] / (2 * _LARGEST)
        steps[steps == 0] = 1
        return np.asarray(steps, dtype=np.float32)

    @cached_property
    def integers(self) -> FloatArray:
        """Rounded levels ``(d rounded up to 2, 16)``, whole numbers from -127 to 127."""
        apart = self._padded - self.centers[:, None]
        rounded = np.clip(np.rint(apart / self.steps[:, None]), -_LARGEST, _LARGEST)
        return np.asarray(rounded, dtype=np.float32)

    @cached_property
    def _level_pairs(self) -> FloatArray:
        return _pairs(self._padded)

    @cached_property
    def integer_pairs(self) -> FloatArray:
        """Rounded levels of the two dimensions of each byte, float32 ``(bytes, 256, 2)``."""
        return _pairs(self.integers)


def _lloyd_max(column: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Levels of the values of one dimension."""
    values = np.sort(column.astype(np.float64))
    sums = np.concatenate([[0], np.cumsum(values)])
    levels = values.mean() + values.std() * _START
    for _ in range(_ROUNDS):
        middles = (levels[:-1] + levels[1:]) / 2
        ends = np.concatenate([[0], np.searchsorted(values, middles, "right"), [len(values)]])
        counts = np.diff(ends)
        # A level without values stays where it is.
        np.divide(np.diff(sums[ends]), counts, out=levels, where=counts > 0)
    return np.sort(levels)


def _pairs(table: FloatArray) -> FloatArray:
    """Values of both dimensions of each byte, float32 ``(bytes, 256, 2)``."""
    byte = np.arange(256)
    return np.stack([table[::2, byte >> 4], table[1::2, byte & 15]], axis=-1)


def unpacked(codes: Bytes) -> Bytes:
    """Numbers of the levels, 0 to 15, uint8 ``(m, d rounded up to 2)``."""
    packed = codes[:, :-FACTOR_BYTES]
    return np.stack([packed >> 4, packed & 15], axis=-1).reshape(len(codes), -1)


def looked_up(pairs: FloatArray, codes: Bytes) -> FloatArray:
    """Values of codes ``(m, width)``, float32 ``(m, 2 * bytes)``."""
    index = np.arange(0, 256 * len(pairs), 256) + codes[:, :-FACTOR_BYTES]
    # A pair is read as one value of 8 bytes.
    return pairs.reshape(-1, 2).view(np.uint64)[:, 0].take(index).view(np.float32)


@dataclass(frozen=True)
class CodebookQuery(EstimateQuery):
    """Queries prepared for scoring codes of a codebook.

    Attributes:
        codebook: the codebook.
        integers: float32 or float64 ``(nq, d rounded up to 2)``, rounded queries; their products
            with rounded levels are exact.
        scale: float32 ``(nq,)``, value of one step of the rounded queries.
        offset: float32 ``(nq,)``, products of the queries with the centers of the levels.
        tables: int16 ``(nq, bytes, 256)``, products of each byte for the kernel of numba; None
            scores by matrix products.
    """

    codebook: Codebook
    integers: npt.NDArray[np.floating]
    scale: FloatArray
    offset: FloatArray
    tables: npt.NDArray[np.int16] | None

    # Larger arrays are returned to the system after each block, and page faults then take four
    # times as long as the look-up.
    _scan_bytes = BLOCK_BYTES // 2

    def _near(self, codes: Bytes) -> FloatArray:
        near = self._products(codes).astype(np.float32)
        near *= self.scale[:, None]
        near += self.offset[:, None]
        return near

    def _products(self, codes: Bytes) -> npt.NDArray[Any]:
        """Sums of products, whole numbers (nq, m)."""
        if self.tables is None:
            values = looked_up(self.codebook.integer_pairs, codes)
            summed: npt.NDArray[Any] = self.integers @ values.astype(self.integers.dtype).T
            return summed
        from qadapt.codecs.codebook_kernels import products

        found = np.empty((len(self), len(codes)), dtype=np.int32)
        products(np.ascontiguousarray(codes), self.tables, found)
        return found

    def _values(self, codes: Bytes) -> FloatArray:
        return self.codebook.decode(codes)


def codebook_query(
    queries: FloatArray, codebook: Codebook, *, euclidean: bool, kernel: bool = False
) -> CodebookQuery:
    """Prepare queries, float32 ``(nq, d)``.

    Args:
        queries: float32 ``(nq, d)``, prepared as the vectors were.
        codebook: codebook of the codes.
        euclidean: see `EstimateQuery`.
        kernel: whether numba scores; see `kernel_pays`.
    """
    padded = np.zeros((len(queries), len(codebook.centers)), dtype=np.float32)
    padded[:, : codebook.dim] = queries
    wide = padded.astype(np.float64)
    integers, scale = as_integers(wide * codebook.steps, 8)
    offset = np.vecdot(wide, codebook.centers.astype(np.float64)).astype(np.float32)
    tables = None
    if kernel:
        factors = integers.reshape(len(queries), -1, 1, 2).astype(np.int16)
        pairs = codebook.integer_pairs.astype(np.int16)
        # At most 2 * 127 * 127, which int16 holds.
        tables = pairs[..., 0] * factors[..., 0] + pairs[..., 1] * factors[..., 1]
    exact = exact_type(_LARGEST * _LARGEST * padded.shape[1])
    return CodebookQuery(
        padded, euclidean, codebook, integers.astype(exact), scale.astype(np.float32), offset,
        tables,
    )  # fmt: skip


def kernel_pays(queries: int) -> bool:
    """Whether the kernel is faster than matrix products, which look up levels once for all.

    Measured with 1024 dimensions, in microseconds per row: the kernel needs 0.4 for each query, a
    look-up by numpy 1.1 for any number of queries.
    """
    return queries <= _FEW_QUERIES
