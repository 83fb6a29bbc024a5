"""Scan by a kernel that numba compiles (extra ``fast``)."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from qadapt.codecs.bitquery import PlaneQuery
from qadapt.engines.base import (
    GATHER_BELOW,
    KEY_SHIFT,
    NO_KEY,
    Ints,
    Keys,
    Mask,
    Rows,
    Words,
    as_blocks,
    masked,
    ranked,
)
from qadapt.errors import InputError
from qadapt.jit import numba_version
from qadapt.threads import scan_threads

_KEY_BYTES = 128 << 20  # memory limit for the keys of queries that are processed together
_LEAST_ROOM = 16  # keys of a query that are kept before they are reduced to the best
_ALONE = {1: 2, 4: 2, 8: 2}
"""Vectors of rows per tile for a single query, by bits of the query."""
_TOGETHER = {1: 8, 4: 2, 8: 1}
"""Queries per tile otherwise, by bits of the query: eight planes."""
_GATHER_ALONE = 0.04
_MOST = 1 << (63 - KEY_SHIFT - 1)  # distances must be smaller


class NumbaEngine:
    """XOR or AND and popcount in vector registers, for tiles of eight queries.

    Fast if the words of a column are contiguous (``code_words`` is the transpose of a C-ordered
    (w, m) array); blocks in row order are transposed in each search. Uses
    :func:`qadapt.threads.scan_threads` threads.
    """

    @property
    def name(self) -> str:
        """``numba``."""
        return "numba"

    @property
    def version(self) -> str:
        """Version of numba."""
        return str(numba_version())

    def hamming_topk(
        self,
        query_words: Words,
        code_words: Words | Sequence[Words],
        k: int,
        mask: Mask | None = None,
    ) -> tuple[Rows, Ints]:
        """See :meth:`qadapt.engines.base.Engine.hamming_topk`."""
        nothing = np.zeros(len(query_words), dtype=np.int64)
        return _topk(query_words[:, None, :], nothing, as_blocks(code_words), k, mask)

    def plane_topk(
        self,
        query: PlaneQuery,
        code_words: Words | Sequence[Words],
        k: int,
        mask: Mask | None = None,
    ) -> tuple[Rows, Ints]:
        """See :meth:`qadapt.engines.base.PlaneEngine.plane_topk`.

        Raises:
            InputError: products may exceed 2**26, at more than 500,000 dimensions.
        """
        if len(query.largest) and 2 * int(query.reach.max()) >= _MOST:
            raise InputError(
                "the products of this many dimensions are too large for the engine numba",
                hint="pass engine='numpy'",
            )
        rows, distances = _topk(query.planes, query.largest, as_blocks(code_words), k, mask)
        products = query.largest[:, None] - distances
        products[rows < 0] = 0
        return rows, products.astype(np.int32)


def _topk(
    planes: Words, offsets: npt.NDArray[np.int64], blocks: list[Words], k: int, mask: Mask | None
) -> tuple[Rows, Ints]:
    """Nearest rows for planes uint64 (nq, bits, w)."""
    best = np.full((len(planes), k), NO_KEY, dtype=np.int64)
    step = max(8, _KEY_BYTES // (16 * k) // 8 * 8)
    for start in range(0, len(planes), step):
        some = slice(start, start + step)
        best[some] = _Batch(planes[some], offsets[some], k).scan(blocks, mask)
    return ranked(best)


class _Batch:
    """Queries that are scanned together, padded to whole tiles."""

    def __init__(self, planes: Words, offsets: npt.NDArray[np.int64], k: int) -> None:
        count, bits, words = planes.shape
        alone = count == 1
        held = 1 if alone else _TOGETHER[bits]
        tiles = -(-count // held)
        padded = np.zeros((tiles * held, bits, words), dtype=np.uint64)
        padded[:count] = planes
        grouped = padded.reshape(tiles, held * bits, words).transpose(0, 2, 1)
        self._planes = np.ascontiguousarray(grouped).reshape(tiles, -1)
        self._offsets = np.zeros(tiles * held, dtype=np.int64)
        self._offsets[:count] = offsets
        self._count, self._k = count, k
        # For one query, to copy rows takes longer than to scan a few times as many.
        self._gather_below = _GATHER_ALONE if alone else GATHER_BELOW
        self._sizes = (0,) * bits, (0,) * held, (0,) * (_ALONE[bits] if alone else 1)

    def scan(self, blocks: list[Words], mask: Mask | None) -> Keys:
        """Keys (nq, k) of the best rows, unsorted."""
        work = list(masked(blocks, mask, self._gather_below))
        threads = min(scan_threads(), len(work))
        if threads <= 1:
            keys = self._scan(work)
        else:
            shares = [work[at::threads] for at in range(threads)]
            with ThreadPoolExecutor(threads) as pool:
                keys = np.concatenate(list(pool.map(self._scan, shares)), axis=1)
        return np.partition(keys, self._k - 1, axis=1)[:, : self._k]

    def _scan(
        self, work: list[tuple[int, Words, Mask | None, npt.NDArray[np.intp] | None]]
    ) -> Keys:
        from qadapt.engines.numba_kernels import scan

        room = max(2 * self._k, _LEAST_ROOM)
        best = np.full((len(self._offsets), room), NO_KEY, dtype=np.int64)
        filled = np.zeros(len(self._offsets), dtype=np.int64)
        limits = np.full(len(self._offsets), NO_KEY >> KEY_SHIFT, dtype=np.int64)
        limits[self._count :] = -1  # nothing is nearer to the padding
        numbers = np.empty(0, dtype=np.int64)
        everything = np.empty(0, dtype=np.bool_)
        for first, block, allowed, chosen in work:
            count = len(block) if chosen is None else len(chosen)
            part = block if chosen is None else block.T[:, chosen].T
            columns = _columns(part)
            columns.flags.writeable = False  # one type of array, so that the kernel compiles once
            scan(
                *self._sizes, columns, count, first,
                numbers if chosen is None else chosen.astype(np.int64) + first,
                everything if allowed is None else np.require(allowed, requirements=["C", "W"]),
                self._planes, self._offsets, limits, best, filled, self._k,
            )  # fmt: skip
        return best[: self._count]


def _columns(block: Words) -> Words:
    """A block (m, w) as a C-ordered array (w, >= m); a view if its columns are contiguous."""
    rows, words = block.shape
    stride = block.strides[1]
    if rows and block.strides[0] == 8 and stride % 8 == 0 and stride >= 8 * rows:
        # The last column may extend beyond the memory of the block, where nothing is read.
        shape = (words, stride // 8)
        whole = block.base
        if (
            type(whole) is np.ndarray
            and whole.shape == shape
            and whole.strides == (stride, 8)
            and np.may_share_memory(whole[0, :1], block[0, :1])  # the first words of both
        ):
            view: Words = whole.view()  # as_strided takes much longer
        else:
            view = np.lib.stride_tricks.as_strided(block, shape, (stride, 8), writeable=False)
        return view
    return np.ascontiguousarray(block.T)
