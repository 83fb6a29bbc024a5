"""Predict the recall of client-side codes: the code index itself runs on the sample."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from qadapt.code_index import CodeIndex
from qadapt.codecs import Calibration
from qadapt.local import client_codes
from qadapt.model import Quantization, Rescore, Vector
from qadapt.quantizers.base import Codes
from qadapt.simulation.rank_recall import Ranks, ranks

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ClientCodes:
    """Client-side codes of rows that represent a collection.

    Attributes:
        vector: dimensions and metric.
        quantization: of the codes.
        rows, learnt, queries: float32; ranges and levels are learned from ``learnt``.
        truth: ``(nq, k)`` row numbers of the neighbors; -1 for none.
        own: ``(nq,)`` row number of each query; -1 for none.
        weight: ``(n,)`` number of rows that each row represents; None for 1 each.
    """

    vector: Vector
    quantization: Quantization
    rows: Floats
    learnt: Floats
    queries: Floats
    truth: Ints
    own: Ints
    weight: Doubles | None

    def recall(self, rescore: Rescore | None, k: int) -> Doubles:
        """Recall@k of each query.

        Args:
            rescore: None for the default of client-side codes.
        """
        rescore = rescore or client_codes.default_rescore(self.quantization)
        with self._index() as index:
            if not rescore.on:
                return self._ranks(_Scan(_nothing(self.rows), index=index)).recall(k, k)
            if rescore.source == "originals":
                return self._ranks(_Scan(_nothing(self.rows), index=index)).recall(
                    rescore.count(k), k
                )
            scan = _Rescored(
                _nothing(self.rows), index=index, count=rescore.count(k), weight=self.weight
            )
            return self._ranks(scan).recall(k, k)

    def _ranks(self, codes: Codes) -> Ranks:
        return ranks(codes, self.queries, self.truth, own=self.own, weight=self.weight)

    @contextmanager
    def _index(self) -> Iterator[CodeIndex]:
        """The index that `apply --accept client` would build of these rows."""
        learnt = client_codes.as_compared(self.learnt, self.vector.metric)
        ranges = Calibration.fit(learnt, source="the sample")
        with (
            tempfile.TemporaryDirectory(prefix="qadapt-simulate-") as place,
            client_codes.new_index(
                Path(place) / "index", self.vector, self.quantization, ranges, learnt
            ) as index,
        ):
            index.add(np.arange(len(self.rows)), self.rows)
            yield index


def _nothing(rows: Floats) -> Floats:
    """A matrix with as many rows and no columns: the index holds the codes."""
    return np.empty((len(rows), 0), dtype=np.float32)


@dataclass(frozen=True)
class _Scan(Codes):
    """Scores by the codes of the first stage."""

    index: CodeIndex | None = None

    def scores(self, queries: Floats) -> Floats:
        return self._all(queries, "off")

    def _all(self, queries: Floats, source: str) -> Floats:
        """The scores of all rows, by the index's own search."""
        assert self.index is not None
        rows = len(self.matrix)
        hits = self.index.search(queries, rows, candidates=rows, source=source)  # type: ignore[arg-type]
        found = np.full((len(queries), rows), -np.inf, dtype=np.float32)
        np.put_along_axis(found, hits.ids.astype(np.intp), hits.scores.astype(np.float32), axis=1)
        return found


@dataclass(frozen=True)
class _Rescored(_Scan):
    """Scores of the candidates by the codes that rescore them; other rows are not found."""

    count: int = 0
    weight: Doubles | None = None

    def scores(self, queries: Floats) -> Floats:
        first, second = self._all(queries, "off"), self._all(queries, "codes")
        rows = len(self.matrix)
        each = np.ones(rows) if self.weight is None else self.weight
        # Equal scores are in row order, but true neighbors are the first rows of a sample.
        mixed = np.arange(rows)
        if self.weight is not None:
            mixed = np.random.default_rng(0).permutation(rows)
        order = mixed[np.argsort(-first[:, mixed], axis=1, kind="stable")]
        # A row that represents several is a candidate if the middle one of them is.
        middle = np.cumsum(each[order], axis=1) - each[order] / 2
        chosen = np.empty(first.shape, dtype=np.bool_)
        np.put_along_axis(chosen, order, middle < self.count, axis=1)
        return np.where(chosen, second, -np.inf).astype(np.float32)
