"""Queries of 1, 4, 8 or 32 bits per dimension against sign bits.

The document side is always one bit per dimension. More bits per query dimension rank better with
the same index size; with 32 bits this is the rescoring step of
https://huggingface.co/blog/embedding-quantization (Yamada et al. 2021, arXiv 2106.00882).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import numpy as np
import numpy.typing as npt

from qadapt.codecs.bits import pack_bits, pad_words, require_dtype, require_ubinary
from qadapt.codecs.blocks import BLOCK_BYTES, Array, float_queries, rows_in
from qadapt.codecs.linear import FloatArray, LinearQuery
from qadapt.errors import DimensionError, InputError, SpecError

QueryBits = Literal[1, 4, 8, 32]


class BitQuery(Protocol):
    """Queries prepared for sign-bit codes; made by `bit_query`."""

    @property
    def dim(self) -> int:
        """Number of dimensions."""

    def __len__(self) -> int:
        """Number of queries."""

    def score(self, codes_block: npt.ArrayLike, /) -> FloatArray:
        """ubinary ``(m, bytes)`` to float32 ``(nq, m)``; higher is better."""

    def score_pairs(self, codes: npt.ArrayLike, /) -> FloatArray:
        """ubinary ``(nq, c, bytes)`` to float32 ``(nq, c)``; higher is better."""


def hamming(query_bits: npt.ArrayLike, code_words: npt.ArrayLike) -> npt.NDArray[np.int32]:
    """Number of differing bits between every query and every code.

    Args:
        query_bits: uint64 ``(nq, w)``, as `pad_words` makes them.
        code_words: uint64 ``(m, w)``; may be a memory map.

    Returns:
        int32 ``(nq, m)``, from 0 to ``64 * w``.

    Raises:
        DimensionError: queries and codes differ in words.
        InputError: not uint64 with two axes.
    """
    queries = require_dtype(query_bits, np.uint64, what="query words")
    codes = require_dtype(code_words, np.uint64, what="code words")
    if queries.ndim != 2 or codes.ndim != 2:
        raise InputError(
            f"arrays of words have the shapes {queries.shape} and {codes.shape}",
            hint="pass two arrays of shape (n, words)",
        )
    words = queries.shape[1]
    if words != codes.shape[1]:
        raise DimensionError(words * 64, codes.shape[1] * 64, what="code words")
    out = np.empty((len(queries), len(codes)), dtype=np.int32)
    rows = rows_in(BLOCK_BYTES, words * 8)
    differ = np.empty((min(rows, len(codes)), words), dtype=np.uint64)
    for start in range(0, len(codes), rows):
        block = codes[start : start + rows]
        for row, query in enumerate(queries):
            np.bitwise_xor(block, query, out=differ[: len(block)])
            out[row, start : start + rows] = _count(differ[: len(block)])
    return out


def _count(words: Array) -> FloatArray:
    """Set bits per row of uint64 ``(..., w)``.

    The counts of the words are summed by a float32 product, several times faster than numpy's
    sum over short rows, and exact for up to 2**24 bits.
    """
    counts = np.bitwise_count(words).astype(np.float32)
    summed: FloatArray = counts @ np.ones(words.shape[-1], dtype=np.float32)
    return summed


class _HammingQuery:
    """1-bit queries: minus the Hamming distance."""

    def __init__(self, queries: Array) -> None:
        self._dim = int(queries.shape[1])
        self._words = pad_words(pack_bits(queries))
        # padding bits of the codes are masked
        ones = np.packbits(np.ones(self._dim, dtype=np.bool_))
        self._mask = None if self._dim % 8 == 0 else pad_words(ones)

    @property
    def dim(self) -> int:
        return self._dim

    def __len__(self) -> int:
        return len(self._words)

    def _as_words(self, codes: Array) -> npt.NDArray[np.uint64]:
        words = pad_words(codes.reshape(-1, codes.shape[-1]))
        return words if self._mask is None else words & self._mask

    def score(self, codes_block: npt.ArrayLike, /) -> FloatArray:
        codes = require_ubinary(codes_block, self._dim, 2)
        scores = np.empty((len(self), len(codes)), dtype=np.float32)
        rows = rows_in(BLOCK_BYTES, codes.shape[1])
        for start in range(0, len(codes), rows):
            distances = hamming(self._words, self._as_words(codes[start : start + rows]))
            np.negative(distances, out=scores[:, start : start + rows], casting="unsafe")
        return scores

    def score_pairs(self, codes: npt.ArrayLike, /) -> FloatArray:
        array = require_ubinary(codes, self._dim, 3)
        if len(array) != len(self):
            raise DimensionError(len(self), len(array), what="candidate groups (one per query)")
        scores = np.empty(array.shape[:2], dtype=np.float32)
        rows = rows_in(BLOCK_BYTES, array.shape[2])
        step = max(1, min(rows, array.shape[1]))  # candidates at a time
        group = max(1, rows // step)  # queries at a time
        for q in range(0, len(array), group):
            queries = self._words[q : q + group, np.newaxis]
            for c in range(0, array.shape[1], step):
                block = array[q : q + group, c : c + step]
                words = self._as_words(block).reshape(*block.shape[:2], -1)
                np.negative(_count(words ^ queries), out=scores[q : q + group, c : c + step])
        return scores


class _SignQuery(LinearQuery):
    """Queries of more than one bit: their sum with the sign +1 or -1 of each dimension.

    Computed from bits 0 and 1: ``sum q * sign == 2 * sum q * bit - sum q``.

    Args:
        queries: (nq, d); integers of up to 8 bits have exact sums for up to 65,000 dimensions.
        scale: (nq,), the scores are multiplied by it; None for none.
    """

    def __init__(self, queries: Array, scale: Array | None = None) -> None:
        super().__init__(2 * queries, -queries.sum(axis=1))
        self._scale = None if scale is None else scale.astype(np.float32)[:, None]

    def _check(self, codes: npt.ArrayLike, ndim: int) -> Array:
        return require_ubinary(codes, self.dim, ndim)

    def _decode(self, codes: Array, out: FloatArray) -> None:
        out[...] = np.unpackbits(codes, axis=-1, count=self.dim)

    def _limit(self, scores: FloatArray) -> FloatArray:
        return scores if self._scale is None else np.multiply(scores, self._scale, out=scores)


@dataclass(frozen=True)
class PlaneQuery:
    """Integer queries as bit planes, which are multiplied with sign bits by AND and popcount.

    The product of a query with a code is the sum of its integers where the bit of the code is 1.
    Plane ``b`` counts ``2**b`` and the last one ``-2**(bits - 1)`` (two's complement).

    Attributes:
        planes: uint64 ``(nq, bits, w)``, packed as the codes are.
        largest: int64 ``(nq,)``, the largest product: the sum of the positive integers.
        reach: int64 ``(nq,)``, the sum of the absolute values.
        totals: int64 ``(nq,)``, the sum of the integers.
        scale: float32 ``(nq,)``, value of one step.
    """

    planes: npt.NDArray[np.uint64]
    largest: npt.NDArray[np.int64]
    reach: npt.NDArray[np.int64]
    totals: npt.NDArray[np.int64]
    scale: FloatArray

    def __len__(self) -> int:
        """Number of queries."""
        return len(self.planes)

    @property
    def bits(self) -> int:
        """Bits per dimension of the query."""
        return int(self.planes.shape[1])

    def scores(self, products: npt.NDArray[np.int32]) -> FloatArray:
        """Convert products ``(nq, k)`` to the scores of `bit_query`, float32."""
        doubled = 2 * products.astype(np.int64) - self.totals[:, None]
        scores: FloatArray = doubled.astype(np.float32) * self.scale[:, None]
        return scores


def plane_query(queries: npt.ArrayLike, query_bits: Literal[4, 8]) -> PlaneQuery:
    """Prepare queries of 4 or 8 bits per dimension for a scan by bit planes.

    Args:
        queries: ``(nq, d)`` or one ``(d,)``, float16, float32 or float64.
        query_bits: integers from -7 to 7 (4) or -127 to 127 (8), with one scale per query.

    Raises:
        NonFiniteError: a query holds NaN or infinity.
        InputError: not a float array of one or two axes.
    """
    integers, scale = as_integers(float_queries(queries), query_bits)
    whole = integers.astype(np.int64)
    planes = [pad_words(np.packbits((whole >> bit) & 1, axis=1)) for bit in range(query_bits)]
    return PlaneQuery(
        np.stack(planes, axis=1),
        np.maximum(whole, 0).sum(axis=1),
        np.abs(whole).sum(axis=1),
        whole.sum(axis=1),
        scale.astype(np.float32),
    )


def as_integers(queries: Array, query_bits: int) -> tuple[Array, Array]:
    """Round queries (nq, d) to integers of this width; also the steps (nq,)."""
    levels = 2 ** (query_bits - 1) - 1
    scale = np.abs(queries).max(axis=1) / levels
    scale[scale == 0] = 1
    return np.rint(queries / scale[:, None]), scale


def bit_query(queries: npt.ArrayLike, query_bits: QueryBits) -> BitQuery:
    """Prepare queries for scoring against sign-bit codes (ubinary; see `to_unsigned`).

    Args:
        queries: ``(nq, d)`` or one ``(d,)``, float16, float32 or float64.
        query_bits: bits per dimension of the query. 1: the sign; the score is minus
            the Hamming distance. 4 and 8: an integer from -7 to 7 or -127 to 127 with one
            scale per query. 32: the float value; the score is ``sum(q * sign)``. Scores of 4 and 8
            bits have the same scale as those of 32 bits.

    Returns:
        An object with ``score(ubinary (m, bytes)) -> (nq, m)`` and
        ``score_pairs(ubinary (nq, c, bytes)) -> (nq, c)``, float32, higher is better. Padding bits
        are ignored.

    Raises:
        NonFiniteError: a query holds NaN or infinity.
        InputError: not a float array of one or two axes.
        SpecError: another number of bits.
    """
    if query_bits not in get_args(QueryBits):
        known = [str(bits) for bits in get_args(QueryBits)]
        raise SpecError.unknown("query_bits", str(query_bits), known)
    q = float_queries(queries)
    if query_bits == 1:
        return _HammingQuery(q)
    if query_bits == 32:
        return _SignQuery(q)
    return _SignQuery(*as_integers(q, query_bits))
