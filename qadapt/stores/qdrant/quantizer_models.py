"""Models of Qdrant's quantizers, compared with its engine 1.20 (qdrant-edge-py 0.9.0).

The rules were taken from ``lib/quantization`` of the server's source and checked score by score
against the engine; ``docs/simulation.md`` has the figures.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from qadapt.model import Kind, Metric, Quantization, Rescore, Vector
from qadapt.quantizers.base import Codes, Floats, Model, Symmetric, rounded
from qadapt.quantizers.models import QuantizerModels
from qadapt.quantizers.rotation import turbo
from qadapt.quantizers.shared import Product
from qadapt.stores.qdrant import mapping

SAMPLE = 5_000  # rows that the engine samples for quantiles
STEPS = 127
BORDER = 2 / 3  # standard deviations, between the middle and the outer values of 2-bit codes


class Scalar(Symmetric):
    """7 bits, one range for all dimensions.

    ``quantile`` is applied as in the engine: ``(1 - q) / 2`` of the number of *vectors*, not of
    values, is trimmed at each end (https://github.com/qdrant/qdrant/issues/9902).
    """

    def __init__(self, metric: Metric, quantile: float | None = None) -> None:
        super().__init__(metric)
        self._quantile = quantile
        self._low = self._step = np.float32(0)

    def _fit(self, rows: Floats) -> None:
        low, high = rows.min(), rows.max()
        if self._quantile is not None and self._quantile < 1 and len(rows) >= STEPS:
            low, high = self._trimmed(rows)
        self._low, self._step = low, (high - low) / np.float32(STEPS) or np.float32(1)

    def _trimmed(self, rows: Floats) -> tuple[np.float32, np.float32]:
        if len(rows) > SAMPLE:
            rows = rows[np.random.default_rng(0).choice(len(rows), SAMPLE, replace=False)]
        values = rows.ravel()
        cut = max(1, min((values.size - 1) // 2, int(len(rows) * (1 - self._quantile) / 2)))  # type: ignore[operator]
        first, last = min(cut + 1, values.size - 1), max(values.size - cut - 1, 0)
        ordered = np.partition(values, [first, last])
        return ordered[first], ordered[last]

    def _values(self, x: Floats) -> Floats:
        codes = rounded(np.clip((x - self._low) / self._step, 0, STEPS))
        values: Floats = codes * self._step + self._low
        return values


class Binary(Model):
    """1, 1.5 or 2 bits per dimension, compared with queries of 1, 4 or 8 bits.

    Codes are compared by counting the bits that differ, for all metrics: with the query's
    step ``c`` of ``s`` that is a sum over the row's bits of ``2 c - s``.
    """

    def __init__(self, metric: Metric, bits: float = 1, query_bits: int | None = None) -> None:
        super().__init__(metric)
        self._bits = bits
        self._query_bits = query_bits or 1
        self._mean = self._spread = np.zeros(0, dtype=np.float32)

    def _fit(self, rows: Floats) -> None:
        self._mean, self._spread = rows.mean(axis=0), rows.std(axis=0)

    def _encoded(self, x: Floats) -> Floats:
        if self._bits == 1:
            return (x > 0).astype(np.float32)
        flat = self._spread < np.finfo(np.float32).eps
        distance = (x - self._mean) / np.where(flat, 1, self._spread)
        first = np.where(flat, x > 0, distance > -BORDER)
        second = ~flat & (distance >= BORDER)
        if self._bits == 1.5:
            second = np.logical_or.reduceat(second, np.arange(0, x.shape[1], 2), axis=1)
        return np.concatenate([first, second], axis=1).astype(np.float32)

    def _rows(self, rows: Floats) -> Codes:
        return Codes(self._encoded(rows))

    def _queries(self, queries: Floats) -> Floats:
        if self._query_bits == 1:
            return 2 * self._encoded(queries) - 1
        wide = queries
        if self._bits == 2:
            wide = np.concatenate([queries, queries], axis=1)
        elif self._bits == 1.5:
            pairs = np.maximum.reduceat(queries, np.arange(0, queries.shape[1], 2), axis=1)
            wide = np.concatenate([queries, pairs], axis=1)
        steps = (1 << self._query_bits) - 1
        largest = np.abs(wide).max(axis=1, keepdims=True)
        step = np.where(largest > 0, 2 * largest / steps, 1).astype(np.float32)
        return 2 * rounded((wide + largest) / step) - steps


class Turbo(Model):
    """TurboQuant: rotated, normalized to a normal distribution, then quantized by optimal steps.

    The engine estimates its shifts by a streaming quantile of a sample; this model uses the exact
    quantiles.
    """

    def __init__(self, metric: Metric, dim: int, bits: float = 4) -> None:
        super().__init__(metric)
        self._bits = bits
        self._width = _padded(dim, bits)
        self._matrix = turbo(self._width)[:dim]
        self._shift = np.zeros(self._width, dtype=np.float32)
        self._scale = np.ones(self._width, dtype=np.float32)

    def _spun(self, x: Floats) -> tuple[Floats, Floats]:
        """Rotated rows scaled to length ``sqrt(width)``, and their original lengths ``(n, 1)``."""
        found: tuple[Floats, Floats] = self._once(x, ("turbo", self._width), self._turned)
        return found

    def _turned(self, x: Floats) -> tuple[Floats, Floats]:
        spun = x @ self._matrix
        length = np.sqrt(np.einsum("ij,ij->i", spun, spun))[:, None].astype(np.float32)
        if self.metric is Metric.COSINE:
            length = np.ones_like(length)
        safe = np.where(length > 0, length, 1)
        full = spun * (np.float32(math.sqrt(self._width)) / safe)
        return full.astype(np.float32), length

    def _fit(self, rows: Floats) -> None:
        if self._bits == 8:
            return
        outer = _steps(self._bits)[-1]
        share = 0.5 * (1 + math.erf(outer / math.sqrt(2)))
        spun, _ = self._spun(rows)
        low, high = np.quantile(spun, [1 - share, share], axis=0).astype(np.float32)
        self._shift = -(low + high) / 2
        wide = high - low > 1e-3
        self._scale = np.where(wide, 2 * outer / np.where(wide, high - low, 1), 1).astype("f4")

    def _rows(self, rows: Floats) -> Codes:
        spun, length = self._spun(rows)
        if self._bits == 8:
            largest = np.abs(spun).max(axis=1, keepdims=True)
            step = np.where(largest > 0, largest / STEPS, 1).astype(np.float32)
            values = np.rint(spun / step)
        else:
            steps = _steps(self._bits)
            borders = (steps[1:] + steps[:-1]) / 2
            codes = np.searchsorted(borders, (spun + self._shift) * self._scale)
            values = steps[codes] / self._scale - self._shift
        norm = np.sqrt(np.einsum("ij,ij->i", values, values))[:, None]
        values *= length / np.where(norm > 0, norm, 1)
        return self._stand_for(values, (length**2)[:, 0])

    def _queries(self, queries: Floats) -> Floats:
        return self._asking(queries @ self._matrix)


def _padded(dim: int, bits: float) -> int:
    wide, multiple = {1: (dim, 8), 1.5: (dim * 3 // 2, 8), 2: (dim, 4), 4: (dim, 2)}.get(
        bits, (dim, 1)
    )
    return -(-wide // multiple) * multiple


def _steps(bits: float) -> Floats:
    """Optimal steps (Lloyd-Max) for a normal distribution."""
    outer = {
        1: [0.7978846],
        2: [0.4528, 1.510],
        4: [0.1284, 0.3881, 0.6568, 0.9424, 1.256, 1.618, 2.069, 2.733],
    }[1 if bits == 1.5 else int(bits)]
    return np.asarray([-step for step in reversed(outer)] + outer, dtype=np.float32)


class QdrantQuantizers(QuantizerModels):
    """Quantizers of the engine, in the server and embedded."""

    checks_file = Path(__file__).with_name("quantizer_checks.json")

    def quantizer(
        self, target: Quantization, vector: Vector, native: Mapping[str, Any]
    ) -> tuple[str, Model] | None:
        metric, dim = vector.metric, vector.dim
        if target.kind is Kind.SCALAR:
            tail = "" if target.quantile in (None, 1) else " with a quantile"
            return f"scalar{tail}", Scalar(metric, target.quantile)
        if target.kind is Kind.BINARY:
            bits = float(target.bits or 1)
            asked = target.query_bits
            tail = f" against queries of {asked}" if asked not in (None, 1) else ""
            return f"binary of {bits:g} bits{tail}", Binary(metric, bits, asked)
        if target.kind is Kind.ROTATIONAL:
            bits = float(target.bits or 4)
            return f"rotational of {bits:g} bits", Turbo(metric, dim, bits)
        ratio = int(target.ratio or 16)
        return f"product of 1/{ratio}", Product(metric, dim, max(1, ratio // 4))

    def default_rescore(self, target: Quantization) -> Rescore:
        return mapping.default_rescore(target) or super().default_rescore(target)
