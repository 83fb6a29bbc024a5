"""Base of engines whose library scans codes that are stored row by row."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from qadapt.engines.base import (
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

Bytes = npt.NDArray[np.uint8]

_QUERIES = 1024  # queries that are scanned together, which limits the memory of results


class RowEngine(ABC):
    """Scans blocks with a library and merges the best rows of the blocks.

    With a mask, the allowed rows of a block are copied, which is faster than the id selector of
    faiss (0.43 against 0.77 ms for half of 32,768 x 1024 bits) as that needs an index of its rows.

    Fast if the words of a row are contiguous; other blocks are transposed in each search.
    """

    @abstractmethod
    def _nearest(self, queries: Bytes, codes: Bytes, k: int) -> tuple[Rows, Ints]:
        """Nearest rows of one block; among equal distances the first rows.

        Args:
            queries: uint8 (nq, width), C order.
            codes: uint8 (m, width), C order.
            k: at most m.

        Returns:
            Positions and distances (nq, k), in any order.
        """

    def hamming_topk(
        self,
        query_words: Words,
        code_words: Words | Sequence[Words],
        k: int,
        mask: Mask | None = None,
    ) -> tuple[Rows, Ints]:
        """See :meth:`qadapt.engines.base.Engine.hamming_topk`."""
        best = np.full((len(query_words), k), NO_KEY, dtype=np.int64)
        queries = np.ascontiguousarray(query_words).view(np.uint8)
        for first, block, _, chosen in masked(as_blocks(code_words), mask, below=1):
            rows = block if chosen is None else block[chosen]
            codes = np.ascontiguousarray(rows).view(np.uint8)
            for start in range(0, len(queries), _QUERIES):
                some = slice(start, start + _QUERIES)
                found, distances = self._nearest(queries[some], codes, min(k, len(rows)))
                numbers = found.astype(np.int64) if chosen is None else chosen[found]
                keys = (distances.astype(np.int64) << KEY_SHIFT) | (numbers + first)
                best[some] = _merged(best[some], keys)
        return ranked(best)


def _merged(best: Keys, keys: Keys) -> Keys:
    """The smallest keys of both, (nq, k) as ``best``."""
    k = best.shape[1]
    return np.partition(np.concatenate([best, keys], axis=1), k - 1, axis=1)[:, :k]
