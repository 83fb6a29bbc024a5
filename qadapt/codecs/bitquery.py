"""Queries of 1, 4, 8 or 32 bits per dimension against sign bits.

The document side is always one bit per dimension. More bits per query dimension rank better with
the same index size; with 32 bits this is the rescoring step of
https://huggingface.co/blog/embedding-quantization (Yamada et al. 2021, arXiv 2106.00882).
"""

from __future__ import annotations

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
    """

    def __init__(self, queries: Array) -> None:
        super().__init__(2 * queries, -queries.sum(axis=1))

    def _check(self, codes: npt.ArrayLike, ndim: int) -> Array:
        return require_ubinary(codes, self.dim, ndim)

    def _decode(self, codes: Array, out: FloatArray) -> None:
        out[...] = np.unpackbits(codes, axis=-1, count=self.dim)


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
    levels = 2 ** (query_bits - 1) - 1
    scale = np.abs(q).max(axis=1, keepdims=True) / levels
    scale[scale == 0] = 1
    return _SignQuery(np.rint(q / scale) * scale)
