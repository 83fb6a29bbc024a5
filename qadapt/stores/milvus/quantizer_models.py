"""Models of the quantizers of Milvus, which uses faiss; the tests compare with faiss.

An inverted file is modeled with the centroids of its lists, and all lists are searched, because the
number of probed lists does not depend on the codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from qadapt.model import Kind, Metric, Quantization, Vector
from qadapt.quantizers import shared
from qadapt.quantizers.base import Codes, Floats, Model, by_blocks
from qadapt.quantizers.centroids import assign
from qadapt.quantizers.models import QuantizerModels, segments_of
from qadapt.quantizers.rabitq import RaBitQ, list_centres

LISTS = 128  # lists of an inverted file if nlist is not set


class Scalar(Model):
    """SQ8 and SQ6 (a value range per dimension) and SQ4U (one range); queries are not quantized."""

    def __init__(self, metric: Metric, bits: int = 8) -> None:
        super().__init__(metric)
        self._steps = (1 << bits) - 1
        self._one_range = bits == 4

    def _fit(self, rows: Floats) -> None:
        axis = None if self._one_range else 0
        self._low = rows.min(axis=axis)
        wide = rows.max(axis=axis) - self._low
        self._wide = np.where(wide > 0, wide, 1).astype(np.float32)

    def _rows(self, rows: Floats) -> Codes:
        return self._stand_for(by_blocks(self._values, rows))

    def _values(self, rows: Floats) -> Floats:
        values: Floats = rows - self._low
        values /= self._wide
        np.clip(values, 0, 1, out=values)
        values *= self._steps
        np.floor(values, out=values)
        values += np.float32(0.5)
        values /= self._steps
        values *= self._wide
        values += self._low
        return values

    def _queries(self, queries: Floats) -> Floats:
        return self._asking(queries)


class Product(shared.Product):
    """PQ with 256 centroids per segment; in an inverted file it encodes residuals."""

    def __init__(self, metric: Metric, dim: int, segments: int, lists: int = 0) -> None:
        super().__init__(metric, dim, dim // segments)
        self._lists = lists
        self._centres: Floats | None = None

    def _fit(self, rows: Floats) -> None:
        if self._lists:
            name = ("lists", self._lists)
            self._centres = self._once(
                rows, name, lambda x: list_centres(x, self._lists, self.metric)
            )
        self._products.fit(rows - self._centre(rows))

    def _centre(self, rows: Floats) -> Floats:
        if self._centres is None:
            return np.zeros_like(rows[:1])
        return self._centres[assign(rows, self._centres)]

    def _rows(self, rows: Floats) -> Codes:
        centre = self._centre(rows)
        return self._stand_for(centre + self._products.stand_for(rows - centre))


class Signs(Model):
    """Sign bits in a BINARY_VECTOR field, compared by Hamming distance."""

    def _rows(self, rows: Floats) -> Codes:
        return Codes((rows > 0).astype(np.float32))

    def _queries(self, queries: Floats) -> Floats:
        return 2 * (queries > 0).astype(np.float32) - 1


class MilvusQuantizers(QuantizerModels):
    """The quantizers of the server's indexes, with all lists searched."""

    checks_file = Path(__file__).with_name("quantizer_checks.json")

    def quantizer(
        self, target: Quantization, vector: Vector, native: Mapping[str, Any]
    ) -> tuple[str, Model] | None:
        metric, dim = vector.metric, vector.dim
        index = str(native.get("index_type", ""))
        if target.kind is Kind.SCALAR:
            bits = int(target.bits or 8)
            return f"scalar of {bits} bits", Scalar(metric, bits)
        if target.kind is Kind.PRODUCT:
            if index in ("SCANN", "DISKANN", "AISAQ", "HNSW_PRQ"):
                return None
            segments = target.segments or segments_of(target, dim)
            lists = LISTS if index == "IVF_PQ" else 0
            tail = " in lists" if lists else ""
            found = Product(metric, dim, segments, lists)
            return f"product of 1/{4 * dim / segments:g}{tail}", found
        if target.kind is Kind.BINARY:
            return "binary", Signs(metric)
        bits = int(target.bits or 1)
        return f"rotational of {bits} bits", RaBitQ(metric, dim, bits, LISTS)
