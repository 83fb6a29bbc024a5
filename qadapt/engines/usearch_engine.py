"""Scan by usearch (extra ``usearch``)."""

from __future__ import annotations

import importlib.metadata
from typing import Any

import numpy as np

from qadapt.engines.base import Ints, Rows
from qadapt.engines.row_engine import Bytes, RowEngine
from qadapt.threads import scan_threads


class UsearchEngine(RowEngine):
    """Exact search of binary vectors by usearch over each block of rows.

    usearch returns equal distances in any order, so more rows are requested until all rows at the
    last distance are among them. Uses
    :func:`qadapt.threads.scan_threads` threads.

    Raises:
        ImportError: usearch cannot be imported.
    """

    def __init__(self) -> None:
        from usearch.compiled import ScalarKind
        from usearch.index import MetricKind, search

        self._search: Any = search
        self._options = {"metric": MetricKind.Hamming, "exact": True, "dtype": ScalarKind.B1}

    @property
    def name(self) -> str:
        """``usearch``."""
        return "usearch"

    @property
    def version(self) -> str:
        """Version of usearch."""
        return importlib.metadata.version("usearch")

    def _nearest(self, queries: Bytes, codes: Bytes, k: int) -> tuple[Rows, Ints]:
        found = np.empty((len(queries), k), dtype=np.int64)
        distances = np.empty((len(queries), k), dtype=np.int32)
        left = np.arange(len(queries))
        asked = min(len(codes), 2 * k + 32)
        while len(left):
            keys, values = self._asked(queries[left], codes, asked)
            order = np.lexsort((keys, values), axis=1)
            keys = np.take_along_axis(keys, order, axis=1)
            values = np.take_along_axis(values, order, axis=1)
            whole = (values[:, -1] > values[:, k - 1]) | (asked == len(codes))
            found[left[whole]] = keys[whole, :k]
            distances[left[whole]] = values[whole, :k]
            left = left[~whole]
            asked = min(len(codes), 4 * asked)
        return found, distances

    def _asked(self, queries: Bytes, rows: Bytes, count: int) -> tuple[Rows, Ints]:
        """Rows and distances (nq, count) in the order of usearch."""
        got = self._search(rows, queries, count, threads=scan_threads(), **self._options)
        shape = (len(queries), count)
        keys = np.asarray(got.keys).reshape(shape).astype(np.int64)
        return keys, np.rint(np.asarray(got.distances)).reshape(shape).astype(np.int32)
