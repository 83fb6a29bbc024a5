"""Models of Weaviate's quantizers, after ``compressionhelpers`` in the server's source (1.39)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from qadapt.model import Kind, Metric, Quantization, Rescore, Vector
from qadapt.quantizers.base import (
    Codes,
    Floats,
    Model,
    Symmetric,
    by_blocks,
    rounded,
    signs_to_scale,
)
from qadapt.quantizers.models import QuantizerModels, segments_of
from qadapt.quantizers.rotation import blocked
from qadapt.quantizers.shared import Product
from qadapt.stores.weaviate import native_rescore

QUERY_STEPS = 31  # of 5-bit queries for 1-bit codes
CLIPS = (0.6, 0.7, 0.8, 0.9)  # shares of the full range to try for 4-bit codes
LEAST_BITS = 256


class _Rotated(Model):
    """Rotates rows, padded to a multiple of 64 dimensions."""

    def __init__(self, metric: Metric, dim: int, *, least: int = 64) -> None:
        super().__init__(metric)
        width = -(-max(dim, least) // 64) * 64
        self._matrix = blocked(width)[:dim]

    def _rows(self, rows: Floats) -> Codes:
        squared = np.einsum("ij,ij->i", rows, rows)
        spun = self._once(rows, ("turned", self._matrix.shape), lambda x: x @ self._matrix)
        return self._stand_for(by_blocks(self._values, spun), squared)

    def _queries(self, queries: Floats) -> Floats:
        return self._asking(_own_range(queries @ self._matrix, 255))

    def _values(self, spun: Floats) -> Floats:
        raise NotImplementedError


class Rotational8(_Rotated):
    """8-bit RQ: each vector has its own range, queries too."""

    def _values(self, spun: Floats) -> Floats:
        return _own_range(spun, 255)


class Rotational4(_Rotated):
    """4-bit RQ with 8-bit queries: the best of five ranges, rescaled by least squares."""

    def _values(self, spun: Floats) -> Floats:
        low, high = spun.min(axis=1, keepdims=True), spun.max(axis=1, keepdims=True)
        best = np.ones_like(low)
        score = np.full(len(spun), -np.inf, dtype=np.float32)
        for share in (1.0, *CLIPS):
            values = _linear(spun, share * low, share * high, 15)
            own = np.einsum("ij,ij->i", values, values)
            found = np.einsum("ij,ij->i", spun, values) ** 2 / np.where(own > 0, own, 1)
            better = found > score
            best[better], score[better] = share, found[better]
        values = _linear(spun, best * low, best * high, 15)
        own = np.einsum("ij,ij->i", values, values)
        both = np.einsum("ij,ij->i", spun, values)
        values *= (both / np.where(own > 0, own, 1))[:, None]
        return values


class Rotational1(_Rotated):
    """1-bit RQ (RaBitQ) with 5-bit queries, rounded stochastically."""

    def __init__(self, metric: Metric, dim: int) -> None:
        super().__init__(metric, dim, least=LEAST_BITS)
        random = np.random.default_rng(0)
        self._rounding = random.random(self._matrix.shape[1], dtype=np.float32)

    def _values(self, spun: Floats) -> Floats:
        return signs_to_scale(spun)

    def _queries(self, queries: Floats) -> Floats:
        spun = queries @ self._matrix
        largest = np.abs(spun).max(axis=1, keepdims=True)
        step = np.where(largest > 0, largest / QUERY_STEPS, 1).astype(np.float32)
        codes = np.floor((spun + largest) / (2 * step) + self._rounding)
        return self._asking(step * (2 * codes - QUERY_STEPS))


class Signs(Model):
    """BQ: sign bits compared by Hamming distance, for every metric."""

    def _rows(self, rows: Floats) -> Codes:
        return Codes((rows < 0).astype(np.float32))

    def _queries(self, queries: Floats) -> Floats:
        return 2 * (queries < 0).astype(np.float32) - 1


class Scalar(Symmetric):
    """SQ: 8 bits over one range for all dimensions, rounded down; queries too."""

    def _fit(self, rows: Floats) -> None:
        self._low, self._high = rows.min(), rows.max()

    def _values(self, x: Floats) -> Floats:
        wide = self._high - self._low or np.float32(1)
        codes = np.floor(np.clip((x - self._low) / wide, 0, 1) * 255)
        values: Floats = codes * (wide / 255) + self._low
        return values


def _own_range(x: Floats, steps: int) -> Floats:
    return _linear(x, x.min(axis=1, keepdims=True), x.max(axis=1, keepdims=True), steps)


def _linear(x: Floats, low: Floats, high: Floats, steps: int) -> Floats:
    step = np.where(high > low, (high - low) / steps, 1).astype(np.float32)
    found: Floats = x - low
    found /= step
    found = rounded(found)
    np.clip(found, 0, steps, out=found)
    found *= step
    found += low
    return found


class WeaviateQuantizers(QuantizerModels):
    """Quantizers of the server, for every index type."""

    checks_file = Path(__file__).with_name("quantizer_checks.json")

    def quantizer(
        self, target: Quantization, vector: Vector, native: Mapping[str, Any]
    ) -> tuple[str, Model] | None:
        metric, dim = vector.metric, vector.dim
        if target.kind is Kind.SCALAR:
            return "scalar", Scalar(metric)
        if target.kind is Kind.BINARY:
            return "binary", Signs(metric)
        if target.kind is Kind.PRODUCT:
            segments = target.segments or segments_of(target, dim)
            found = Product(metric, dim, dim // segments, target.centroids or 256)
            return f"product of 1/{4 * dim / segments:g}", found
        rotational = {8: Rotational8, 4: Rotational4, 1: Rotational1}
        made = rotational.get(int(target.bits or 4))
        return None if made is None else (f"rotational of {target.bits:g} bits", made(metric, dim))

    def candidates(
        self,
        target: Quantization,
        native: Mapping[str, Any],
        k: int,
        rescore: Rescore | None,
    ) -> tuple[int, Rescore | None]:
        """The server decides by its own rule, from the number of requested results."""
        index = str(native.get("vectorIndexType", "hnsw"))
        config = native.get("vectorIndexConfig") or {}
        rule = native_rescore.of({"vectorIndexType": index, "vectorIndexConfig": config})
        if target.kind in (Kind.NONE, Kind.FLOAT16) or rule.off:
            return super().candidates(target, native, k, rescore)
        on = rescore is not None and rescore.on
        count = rescore.count(k) if rescore is not None and on else k
        scored = max(count, rule.candidates(index, count, int(config.get("ef", -1))))
        return scored, rescore if on else Rescore(scored / k)
