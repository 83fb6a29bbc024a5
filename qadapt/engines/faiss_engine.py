"""Scan by faiss (extra ``faiss``)."""

from __future__ import annotations

from typing import Any

from qadapt.engines.base import Ints, Rows
from qadapt.engines.row_engine import Bytes, RowEngine
from qadapt.threads import scan_threads


class FaissEngine(RowEngine):
    """``knn_hamming`` over each block of rows, the scan of ``IndexBinaryFlat`` without a copy.

    Uses :func:`qadapt.threads.scan_threads` threads.

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

    def _nearest(self, queries: Bytes, codes: Bytes, k: int) -> tuple[Rows, Ints]:
        before = self._faiss.omp_get_max_threads()
        self._faiss.omp_set_num_threads(scan_threads())
        try:
            # It keeps the first of equal distances: a test compares it with the other engines.
            distances, rows = self._faiss.knn_hamming(queries, codes, k)
        finally:
            self._faiss.omp_set_num_threads(before)
        return rows, distances
