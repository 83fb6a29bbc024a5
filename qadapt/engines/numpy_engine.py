"""Hamming search in NumPy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from qadapt.engines.base import PADDING_ROW, Array, Mask, Rows, Words
from qadapt.engines.select import Best, counting_select

BLOCK_ROWS = 32_768
"""Rows per block: one column of words fits in the L2 cache.

Measured for 200,000 x 1024 bits on one core: 3.3 ms per query with 16,384 rows, 2.1 ms with 32,768
or more; 6.1 ms with row-major codes.
"""

_GATHER_BELOW = 0.25  # fraction of allowed rows below which they are copied before the scan
_QUERY_BYTES = 32 << 20  # memory limit for queries that are processed together


class NumpyEngine:
    """XOR and popcount over blocks of rows, one column of words at a time.

    Fast if the words of a column are contiguous (``code_words`` is the transpose of a C-ordered
    (w, m) array), about three times slower for row-major codes. Requires only NumPy.
    """

    @property
    def name(self) -> str:
        """``numpy``."""
        return "numpy"

    def hamming_topk(
        self,
        query_words: Words,
        code_words: Words | Sequence[Words],
        k: int,
        mask: Mask | None = None,
    ) -> tuple[Rows, npt.NDArray[np.int32]]:
        """See :meth:`qadapt.engines.Engine.hamming_topk`."""
        blocks = [code_words] if isinstance(code_words, np.ndarray) else list(code_words)
        nq = len(query_words)
        rows = np.full((nq, k), PADDING_ROW, dtype=np.int64)
        distances = np.full((nq, k), -1, dtype=np.int32)
        # each query needs at most 2 * k candidates of 8 + 2 bytes
        step = max(1, _QUERY_BYTES // (24 * k))
        for start in range(0, nq, step):
            best = _scan(query_words[start : start + step], blocks, k, mask)
            for i, held in enumerate(best, start):
                found, keys = held.ranked()
                rows[i, : len(found)] = found
                distances[i, : len(found)] = keys
        return rows, distances


def _scan(queries: Words, blocks: list[Words], k: int, mask: Mask | None) -> list[Best]:
    best = [Best(k, counting_select) for _ in range(len(queries))]
    for first, block in _pieces(blocks):
        chosen: npt.NDArray[np.intp] | None = None
        scanned = block
        if mask is not None:
            allowed = mask[first : first + len(block)]
            if not allowed.all():
                chosen = np.flatnonzero(allowed)
        if chosen is not None and len(chosen) < _GATHER_BELOW * len(block):
            scanned = block.T[:, chosen].T
        for start, distances in _distances(queries, scanned):
            for i, row in enumerate(distances, start):
                if chosen is not None and len(scanned) == len(block):
                    row = row[chosen]
                best[i].offer(row, first, chosen)
    return best


def _pieces(blocks: list[Words]) -> Iterator[tuple[int, Words]]:
    """Split into blocks of at most BLOCK_ROWS rows, with the number of the first row."""
    first = 0
    for block in blocks:
        for start in range(0, len(block), BLOCK_ROWS):
            yield first + start, block[start : start + BLOCK_ROWS]
        first += len(block)


def _distances(queries: Words, block: Words) -> Iterator[tuple[int, Array]]:
    """Hamming distances of groups of queries (nq, m), with the number of the first query.

    The yielded array is reused.
    """
    m, words = block.shape
    group = min(len(queries), max(1, BLOCK_ROWS // max(1, m)))
    wide = np.uint16 if words * 64 < np.iinfo(np.uint16).max else np.uint32
    mixed = np.empty((group, m), dtype=np.uint64)
    counts = np.empty((group, m), dtype=np.uint8)
    total = np.empty((group, m), dtype=wide)
    for start in range(0, len(queries), group):
        some = queries[start : start + group]
        n = len(some)
        total[:n] = 0
        for word in range(words):
            np.bitwise_xor(block[None, :, word], some[:, word, None], out=mixed[:n])
            np.bitwise_count(mixed[:n], out=counts[:n])
            np.add(total[:n], counts[:n], out=total[:n])
        yield start, total[:n]
