"""Models of quantizers that several stores have."""

from __future__ import annotations

import numpy as np

from qadapt.model import Metric
from qadapt.quantizers.base import Codes, Floats, Model
from qadapt.quantizers.centroids import Products


class SignBits(Model):
    """One bit per dimension, set for values above 0; compared by Hamming distance, which ignores
    the lengths of vectors."""

    def _prepared(self, x: Floats) -> Floats:
        return x  # signs do not depend on lengths

    def _rows(self, rows: Floats) -> Codes:
        return Codes(self._queries(rows))

    def _queries(self, queries: Floats) -> Floats:
        return np.where(queries > 0, 1, -1).astype(np.float32)


class Product(Model):
    """Product codes: centroids for each group of dimensions; queries are not quantized.

    Args:
        width: dimensions of a group.
    """

    def __init__(self, metric: Metric, dim: int, width: int, centroids: int = 256) -> None:
        super().__init__(metric)
        self._products = Products.of(dim, width, centroids)

    def _fit(self, rows: Floats) -> None:
        self._products.fit(rows)

    def _rows(self, rows: Floats) -> Codes:
        return self._stand_for(self._products.stand_for(rows))

    def _queries(self, queries: Floats) -> Floats:
        return self._asking(queries)
