"""The quantizers of ClickHouse in numpy.

The codecs rotate a vector of length 1 first. Their layout follows from codes that were read from
the engine (docs/engines/clickhouse.md#codes).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.engines.exact import unit
from qadapt.model import Kind, Metric, Quantization, Rescore, Vector
from qadapt.quantizers import Codes, Model, QuantizerModels
from qadapt.quantizers.base import Symmetric
from qadapt.quantizers.centroids import Products
from qadapt.quantizers.rotation import uniform
from qadapt.quantizers.shared import SignBits
from qadapt.stores.clickhouse import mapping

Floats = npt.NDArray[np.float32]


class UnitInt8(Symmetric):
    """An index of i8: signed 8 bits of vectors at length 1."""

    def _values(self, x: Floats) -> Floats:
        found: Floats = unit(np.rint(unit(x) * np.float32(127)))
        return found


class RaBitQ(Model):
    """The codec rabitq: signs of the rotated vector, and a factor that makes the estimate of a
    product without bias; queries are not quantized."""

    def _rows(self, rows: Floats) -> Codes:
        x = rows @ uniform(rows.shape[1])
        total = np.abs(x).sum(axis=1, keepdims=True)
        signs = np.where(x > 0, 1, -1)
        return Codes((signs / np.where(total > 0, total, 1)).astype(np.float32))

    def _queries(self, queries: Floats) -> Floats:
        found: Floats = queries @ uniform(queries.shape[1])
        return found


class TurboQuant(Model):
    """The codec turboquant: a sign per dimension, the sign of the rotated rest, and its length."""

    def _rows(self, rows: Floats) -> Codes:
        dim = rows.shape[1]
        x = rows @ uniform(dim)
        nearest = np.where(x > 0, 1, -1) * np.float32(np.sqrt(2 / np.pi / dim))
        rest = x - nearest
        length = np.linalg.norm(rest, axis=1, keepdims=True)
        signs = np.where(rest @ uniform(dim, 1) > 0, 1, -1) * np.sqrt(np.pi / 2 / dim)
        return Codes(np.hstack([nearest, signs * length]).astype(np.float32))

    def _queries(self, queries: Floats) -> Floats:
        q = queries @ uniform(queries.shape[1])
        return np.hstack([q, q @ uniform(queries.shape[1], 1)]).astype(np.float32)


class Int8(Model):
    """The codec int8: 255 levels of a normal distribution with equal shares of the values, and the
    length of the vector."""

    def _rows(self, rows: Floats) -> Codes:
        length = np.linalg.norm(rows, axis=1, keepdims=True)
        x = unit(rows) @ uniform(rows.shape[1])
        scale = np.float32(np.sqrt(rows.shape[1]))
        decoded = _levels()[_level_of(x * scale)] / scale
        return self._stand_for((decoded * length).astype(np.float32))

    def _queries(self, queries: Floats) -> Floats:
        return self._asking(queries @ uniform(queries.shape[1]))


@lru_cache(maxsize=1)
def _levels() -> Floats:
    """The values of the codes -127 to 127: the middle of each share."""
    normal = NormalDist()
    shares = (np.arange(255) + 0.5) / 255
    return np.array([normal.inv_cdf(share) for share in shares], dtype=np.float32)


def _level_of(x: Floats) -> npt.NDArray[np.intp]:
    """The nearest level of each value."""
    levels = _levels()
    found: npt.NDArray[np.intp] = np.searchsorted((levels[1:] + levels[:-1]) / 2, x)
    return found


class ProductCodes(Model):
    """The codec product: the nearest centroid of each segment; queries are not quantized."""

    def __init__(self, metric: Metric, bits: int, segments: int) -> None:
        super().__init__(metric)
        self._bits, self._segments = bits, segments

    def _fit(self, rows: Floats) -> None:
        dim = rows.shape[1]
        self._products = Products.of(dim, dim // self._segments, 2**self._bits)
        self._products.fit(rows)

    def _rows(self, rows: Floats) -> Codes:
        decoded = self._products.stand_for(rows)
        return self._stand_for(unit(decoded) if self.metric is Metric.COSINE else decoded)

    def _queries(self, queries: Floats) -> Floats:
        return self._asking(queries)


class ClickHouseQuantizers(QuantizerModels):
    """Codes of indexes and codecs."""

    checks_file = Path(__file__).with_name("quantizer_checks.json")

    def quantizer(
        self, target: Quantization, vector: Vector, native: Mapping[str, Any]
    ) -> tuple[str, Model] | None:
        if native.get("using") == mapping.INDEX:
            if target.kind is Kind.BINARY:
                return "index of b1", SignBits(vector.metric)
            return ("index of i8", UnitInt8(vector.metric)) if target.bits == 8 else None
        method = native.get("method")
        if method == "product":
            bits, segments = native["numbers"]
            name = f"codec product of {bits} bits"
            return name, ProductCodes(vector.metric, bits, segments)
        models: dict[Any, Callable[[Metric], Model]] = {
            "rabitq": RaBitQ,
            "turboquant": TurboQuant,
            "int8": Int8,
        }
        if method not in models:
            return None
        return f"codec {method}", models[method](vector.metric)

    def default_rescore(self, target: Quantization) -> Rescore:
        codec = target.kind in (Kind.ROTATIONAL, Kind.PRODUCT)
        return Rescore(1.0) if codec else Rescore(source="off")
