"""Sign bits in memory, in blocks that are never moved."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from qadapt.codecs import pad_words
from qadapt.engines.numpy_engine import BLOCK_ROWS

# Words between two columns of a block. Without them, columns are a power of two apart, so that all
# of them compete for the same few places of the processor's cache (786,432 x 1024 bits on AMD
# EPYC: 6.7 ms for one query with these words, 9.0 ms without).
GAP = 56

Bytes = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint64]


class BitBlocks:
    """Packed sign bits as uint64 words, BLOCK_ROWS rows to a block.

    Appending fills the last block and starts a new one when it is full, so that rows are never
    copied.

    Args:
        dim: bits per row.
        columns: True stores the words of a column together (fast for Hamming scans), False those of
            a row (fast to read rows as bytes).
    """

    def __init__(self, dim: int, *, columns: bool) -> None:
        self._width = -(-dim // 8)
        self._words = -(-dim // 64)
        self._columns = columns
        self._blocks: list[Words] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def nbytes(self) -> int:
        """Size of the rows in bytes."""
        return self._count * self._words * 8

    def append(self, packed: Bytes) -> None:
        """Append rows, uint8 (n, ceil(dim / 8))."""
        done = 0
        while done < len(packed):
            at = self._count % BLOCK_ROWS
            if at == 0:
                self._blocks.append(self._new_block())
            part = packed[done : done + BLOCK_ROWS - at]
            self._blocks[-1][at : at + len(part)] = pad_words(part)
            self._count += len(part)
            done += len(part)

    def _new_block(self) -> Words:
        if self._columns:
            columns = np.empty((self._words, BLOCK_ROWS + GAP), dtype=np.uint64)
            return columns[:, :BLOCK_ROWS].T
        return np.empty((BLOCK_ROWS, self._words), dtype=np.uint64)

    def blocks(self) -> list[Words]:
        """All rows in order, as views uint64 (m, words)."""
        return [
            block[: min(BLOCK_ROWS, self._count - i * BLOCK_ROWS)]
            for i, block in enumerate(self._blocks)
        ]

    def as_bytes(self, rows: int, *, first: int = 0) -> Iterator[Bytes]:
        """Iterate over rows from ``first``, as uint8 (up to ``rows``, ceil(dim / 8))."""
        for number, block in enumerate(self.blocks()):
            for start in range(max(0, first - number * BLOCK_ROWS), len(block), rows):
                yield self._to_bytes(block[start : start + rows])

    def cut(self, rows: int) -> None:
        """Remove all rows from number ``rows``."""
        self._count = min(self._count, rows)
        del self._blocks[-(-self._count // BLOCK_ROWS) :]

    def take(self, rows: npt.NDArray[np.int64]) -> Bytes:
        """The given rows (any shape) as uint8 (\\*shape, ceil(dim / 8))."""
        flat = rows.ravel()
        words = np.empty((len(flat), self._words), dtype=np.uint64)
        which = flat // BLOCK_ROWS
        for number in np.unique(which):
            here = which == number
            words[here] = self._blocks[number][flat[here] % BLOCK_ROWS]
        return self._to_bytes(words).reshape(*rows.shape, self._width)

    def _to_bytes(self, words: Words) -> Bytes:
        return np.ascontiguousarray(words).view(np.uint8)[:, : self._width]

    def keep(self, live: npt.NDArray[np.bool_], *, first: int = 0) -> None:
        """Remove the rows from ``first`` for which ``live`` (len,) is False."""
        kept = [block[alive] for block, alive in self._with_flags(live, first)]
        self.cut(first)
        for block in kept:
            self.append(block)

    def _with_flags(
        self, live: npt.NDArray[np.bool_], first: int
    ) -> Iterator[tuple[Bytes, npt.NDArray[np.bool_]]]:
        """Blocks of rows from ``first`` with their flags."""
        for block in self.as_bytes(BLOCK_ROWS, first=first):
            yield block, live[first : first + len(block)]
            first += len(block)
