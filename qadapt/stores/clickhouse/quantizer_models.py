"""The quantizers of ClickHouse in numpy.

The codecs rotate a vector of length 1 first. Codes of the models are those of the engine
(docs/engines/clickhouse.md#codes).
"""

from __future__ import annotations

import math
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
from qadapt.quantizers.base import Symmetric, rounded
from qadapt.quantizers.shared import SignBits
from qadapt.stores.clickhouse import mapping
from qadapt.stores.clickhouse.product_model import ProductCodes
from qadapt.stores.clickhouse.rotation import RESIDUALS, rotation, width_of

Floats = npt.NDArray[np.float32]
LEVEL_ROUNDS = 300


class UnitInt8(Symmetric):
    """An index of i8: signed 8 bits of vectors at length 1."""

    def _values(self, x: Floats) -> Floats:
        found: Floats = unit(np.rint(unit(x) * np.float32(127)))
        return found


class RaBitQ(Model):
    """The codec rabitq: signs of the rotated vector, and the factor that makes the estimate of a
    cosine without bias; the query is rounded to 4 bits."""

    def _rows(self, rows: Floats) -> Codes:
        x = rows @ rotation(rows.shape[1])
        total = np.abs(x).sum(axis=1, keepdims=True)
        factor = np.linalg.norm(x, axis=1, keepdims=True) / np.where(total > 0, total, 1)
        return Codes(np.hstack([_signs(x) * factor, factor]).astype(np.float32))

    def _queries(self, queries: Floats) -> Floats:
        return _four_bits(queries @ rotation(queries.shape[1]))


class TurboQuant(Model):
    """The codec turboquant: a sign per dimension, the sign of the rotated rest, and its length;
    queries are rounded to 4 bits before and after the second rotation."""

    def _rows(self, rows: Floats) -> Codes:
        dim = rows.shape[1]
        x = unit(rows @ rotation(dim))
        nearest = _signs(x) * np.float32(math.sqrt(2 / math.pi / dim))
        rest = x - nearest
        length = np.linalg.norm(rest, axis=1, keepdims=True)
        # The estimate is scaled for a rotation of `dim` dimensions, also if it has more.
        length = length * np.float32(math.sqrt(math.pi / 2 * width_of(dim)) / dim)
        signs = _signs(rest @ rotation(dim, RESIDUALS))
        return Codes(np.hstack([nearest, signs * length, length]).astype(np.float32))

    def _queries(self, queries: Floats) -> Floats:
        dim = queries.shape[1]
        q = unit(queries @ rotation(dim))
        second = _four_bits((q @ rotation(dim, RESIDUALS)).astype(np.float32))
        return np.hstack([_four_bits(q)[:, :dim], second]).astype(np.float32)


def _signs(x: Floats) -> Floats:
    return np.where(x >= 0, 1, -1).astype(np.float32)


def _four_bits(queries: Floats) -> Floats:
    """Values rounded to 16 steps between the smallest and the largest one, and what this adds to
    the sum of the values: the engine subtracts the exact sum from twice that of the set bits."""
    low = queries.min(axis=1, keepdims=True)
    step = (queries.max(axis=1, keepdims=True) - low) / 15
    found = low + step * rounded((queries - low) / np.where(step > 0, step, 1))
    added = found.sum(axis=1, keepdims=True) - queries.sum(axis=1, keepdims=True)
    return np.hstack([found, added]).astype(np.float32)


class Int8(Model):
    """The codec int8: 256 levels for values of a normal distribution, and the length of the
    vector; queries are not quantized."""

    def _rows(self, rows: Floats) -> Codes:
        scale = np.float32(math.sqrt(rows.shape[1]))
        length = np.linalg.norm(rows, axis=1, keepdims=True)
        x = unit(rows @ rotation(rows.shape[1]))
        decoded = _levels()[_level_of(x * scale)] / scale
        return self._stand_for((decoded * length).astype(np.float32), length[:, 0] ** 2)

    def _queries(self, queries: Floats) -> Floats:
        length = np.linalg.norm(queries, axis=1, keepdims=True)
        return self._asking(unit(queries @ rotation(queries.shape[1])) * length)


@lru_cache(maxsize=1)
def _levels() -> Floats:
    """The values of the codes -128 to 127: 300 rounds of the algorithm of Lloyd and Max for the
    normal distribution, from the middles of equal shares."""
    normal = NormalDist()
    levels = np.array([normal.inv_cdf((at + 0.5) / 256) for at in range(256)])
    for _ in range(LEVEL_ROUNDS):
        edges = (levels[1:] + levels[:-1]) / 2
        density = np.concatenate([[0], np.exp(-(edges**2) / 2) / math.sqrt(2 * math.pi), [0]])
        below = np.concatenate([[0], [normal.cdf(each) for each in edges], [1]])
        levels = -np.diff(density) / np.diff(below)
    return levels.astype(np.float32)


def _level_of(x: Floats) -> npt.NDArray[np.intp]:
    """The nearest level of each value."""
    levels = _levels()
    found: npt.NDArray[np.intp] = np.searchsorted((levels[1:] + levels[:-1]) / 2, x)
    return found


class BitPlanes(Model):
    """A column of the type QBit: the highest bits of the codes of ``Int8``, without a rotation.

    The value of a code is the mean of a normal distribution between the ends of its cell; queries
    are not quantized.

    Args:
        bits: planes that a search reads.
    """

    def __init__(self, metric: Metric, bits: int) -> None:
        super().__init__(metric)
        self._bits = bits

    def _rows(self, rows: Floats) -> Codes:
        values = _bfloat16(unit(rows) * np.float32(math.sqrt(rows.shape[1])))
        cells = _level_of(values) >> (8 - self._bits)
        return Codes(unit(_cells(self._bits)[cells]))

    def _queries(self, queries: Floats) -> Floats:
        return queries


@lru_cache(maxsize=8)
def _cells(bits: int) -> Floats:
    """The value of each of ``2^bits`` codes."""
    if bits == 8:
        return _levels()
    normal = NormalDist()
    levels = _levels().astype(np.float64)
    edges = ((levels[1:] + levels[:-1]) / 2)[(1 << (8 - bits)) - 1 :: 1 << (8 - bits)]
    density = np.concatenate([[0], np.exp(-(edges**2) / 2) / math.sqrt(2 * math.pi), [0]])
    below = np.concatenate([[0], [normal.cdf(each) for each in edges], [1]])
    found: Floats = (-np.diff(density) / np.diff(below)).astype(np.float32)
    return found


def _bfloat16(x: Floats) -> Floats:
    """The highest 16 bits of each number; the engine does not round."""
    found: Floats = (np.ascontiguousarray(x).view(np.uint32) & 0xFFFF0000).view(np.float32)
    return found


class PrefixInt8(Model):
    """The codec prefix_int8: each vector is scaled by its own largest absolute value."""

    def _rows(self, rows: Floats) -> Codes:
        scale = np.abs(rows).max(axis=1, keepdims=True)
        step = np.where(scale > 0, scale, 1) / np.float32(127)
        values = (np.rint(rows / step) * step).astype(np.float32)
        return self._stand_for(unit(values) if self.metric is Metric.COSINE else values)

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
        if native.get("using") == mapping.QBIT:
            bits = native["bits"]
            return f"bit planes of {bits} bits", BitPlanes(vector.metric, bits)
        method = native.get("method")
        if method == "product":
            bits, segments = native["numbers"]
            name = f"codec product of {bits} bits"
            return name, ProductCodes(vector.metric, bits, segments)
        models: dict[Any, Callable[[Metric], Model]] = {
            "rabitq": RaBitQ,
            "turboquant": TurboQuant,
            "int8": Int8,
            "prefix_int8": PrefixInt8,
        }
        if method not in models:
            return None
        return f"codec {method}", models[method](vector.metric)

    def default_rescore(self, target: Quantization) -> Rescore:
        codec = target.kind in (Kind.ROTATIONAL, Kind.PRODUCT) or target.dims is not None
        return Rescore(1.0) if codec else Rescore(source="off")
