"""Models of the quantizers of LanceDB, with all partitions searched.

Under cosine the engine normalizes rows and queries and compares them by l2
(docs/engines/lancedb.md#codes).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from qadapt.model import Kind, Metric, Quantization, Vector
from qadapt.quantizers.base import Codes, Floats, Model, Symmetric
from qadapt.quantizers.centroids import Products, assign
from qadapt.quantizers.models import QuantizerModels, segments_of
from qadapt.stores.lancedb.rabitq import IvfRq, centres_of

STEPS = 255


class Scalar(Symmetric):
    """SQ: 8 bits over one range for all dimensions, rounded; queries too."""

    def _fit(self, rows: Floats) -> None:
        self._low, self._high = rows.min(), rows.max()

    def _values(self, x: Floats) -> Floats:
        wide = self._high - self._low or np.float32(1)
        codes = np.rint(np.clip((x - self._low) / wide, 0, 1) * STEPS)
        values: Floats = codes * (wide / STEPS) + self._low
        return values


class Product(Model):
    """PQ: residuals of the centroid of a partition, in 256 or 16 centroids per segment."""

    def __init__(self, metric: Metric, dim: int, segments: int, centroids: int = 256) -> None:
        super().__init__(metric)
        self._products = Products.of(dim, dim // segments, centroids)

    def _fit(self, rows: Floats) -> None:
        self._centres = centres_of(rows, self.metric)
        self._products.fit(rows - self._centre(rows))

    def _centre(self, rows: Floats) -> Floats:
        return self._centres[assign(rows, self._centres)]

    def _rows(self, rows: Floats) -> Codes:
        centre = self._centre(rows)
        values = centre + self._products.stand_for(rows - centre)
        if self.metric is Metric.COSINE:  # compared by l2 of normalized rows
            return Codes(values, -np.einsum("ij,ij->i", values, values) / 2)
        return self._stand_for(values)

    def _queries(self, queries: Floats) -> Floats:
        return self._asking(queries)


class LanceDbQuantizers(QuantizerModels):
    """Quantizers of the indexes."""

    checks_file = Path(__file__).with_name("quantizer_checks.json")

    def quantizer(
        self, target: Quantization, vector: Vector, native: Mapping[str, Any]
    ) -> tuple[str, Model] | None:
        metric, dim = vector.metric, vector.dim
        if target.kind is Kind.SCALAR:
            return "scalar of 8 bits", Scalar(metric)
        if target.kind is Kind.PRODUCT:
            segments = target.segments or segments_of(target, dim)
            centroids = target.centroids or 256
            name = f"product of 1/{32 * dim / (segments * centroids.bit_length() - segments):g}"
            return name, Product(metric, dim, segments, centroids)
        bits = int(target.bits or 4)
        return f"rotational of {bits} bits", IvfRq(metric, dim, bits)
