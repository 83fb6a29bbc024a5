"""Scan by faiss (extra ``faiss``)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.engines.base import Mask, Rows
from qadapt.engines.row_engine import Bytes, RowEngine
from qadapt.threads import scan_threads


class FaissEngine(RowEngine):
    """``IndexBinaryFlat`` over each block of rows; masks are passed as an id selector.

    Without a mask, faiss scans the block itself; with one, a copy of the block. Uses
    :func:`qadapt.threads.scan_threads` threads.

    Raises:
        ImportError: faiss cannot be imported.
    """

    def __init__(self) -> None:
        import faiss

        self._faiss: Any = faiss

    @property
    def name(self) -> str:
        """``faiss``."""
        return "faiss"

    @property
    def version(self) -> str:
        """Version of faiss."""
        return str(self._faiss.__version__)

    def _nearest(
        self, queries: Bytes, codes: Bytes, k: int, allowed: Mask | None
    ) -> tuple[Rows, npt.NDArray[np.number]]:
        before = self._faiss.omp_get_max_threads()
        self._faiss.omp_set_num_threads(scan_threads())
        try:
            # Both keep the first of equal distances: a test compares them with the other engines.
            if allowed is None:
                distances, rows = self._faiss.knn_hamming(queries, codes, k)
            else:
                distances, rows = self._selected(queries, codes, k, allowed)
        finally:
            self._faiss.omp_set_num_threads(before)
        return rows, distances

    def _selected(
        self, queries: Bytes, codes: Bytes, k: int, allowed: Mask
    ) -> tuple[npt.NDArray[np.int32], Rows]:
        index = self._faiss.IndexBinaryFlat(8 * codes.shape[1])
        index.add(codes)
        selector = self._faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))
        distances, rows = index.search(
            queries, k, params=self._faiss.SearchParameters(sel=selector)
        )
        return distances, rows
