"""A model of one quantizer: the scores that a scan of its codes yields."""

from __future__ import annotations

import abc
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.engines.exact import unit
from qadapt.model import Metric

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Codes:
    """Decoded codes of rows: ``scores = queries @ matrix.T + bias``.

    Attributes:
        matrix: float32 ``(n, w)``, decoded codes; ``w`` is the model's own width.
        bias: float32 ``(n,)``, or None if there is none.
    """

    matrix: Floats
    bias: Floats | None = None

    def scores(self, queries: Floats) -> Floats:
        """Scores ``(nq, n)`` of queries that the model encoded; higher is better."""
        found: Floats = queries @ self.matrix.T
        if self.bias is not None:
            found += self.bias
        return found


BLOCK_VALUES = 1 << 15  # values of a block of rows that fits into the processor's cache


@dataclass
class Shared:
    """What several models compute alike from the same arrays: each of it is computed once.

    Arrays are compared by identity, so models must be given the same objects.
    """

    _known: dict[tuple[int, Hashable], tuple[Floats, Any]] = field(default_factory=dict)

    def of(self, x: Floats, name: Hashable, make: Callable[[Floats], Any]) -> Any:
        """``make(x)``, computed for the first caller of this array and name."""
        key = (id(x), name)
        if key not in self._known:
            self._known[key] = (x, make(x))  # the array is kept, so its id is not used again
        return self._known[key][1]


class Model(abc.ABC):
    """One quantizer of one engine, in numpy.

    Only the order of the scores is defined: terms that are equal for all rows of a query are
    omitted. ``fit`` learns from a sample what the engine learns when it builds (ranges, means,
    centroids); ``rows`` and ``queries`` encode.
    """

    _shared: Shared | None = None

    def __init__(self, metric: Metric) -> None:
        self.metric = metric

    def fit(self, rows: Floats, shared: Shared | None = None) -> Model:
        """Learn from rows ``(n, d)``.

        Args:
            shared: what other models computed from the same arrays; None to compute all.
        """
        self._shared = shared
        if type(self)._fit is not Model._fit:  # the rows need not be prepared otherwise
            self._fit(self._prepared(rows))
        return self

    def rows(self, rows: Floats) -> Codes:
        """Encode rows ``(n, d)``."""
        return self._rows(self._prepared(rows))

    def queries(self, queries: Floats) -> Floats:
        """Encode queries ``(nq, d)``."""
        return self._queries(self._prepared(queries))

    def _prepared(self, x: Floats) -> Floats:
        return self._once(x, "unit", unit) if self.metric is Metric.COSINE else x

    def _once(self, x: Floats, name: Hashable, make: Callable[[Floats], Any]) -> Any:
        """``make(x)``, which models of the same name share."""
        return make(x) if self._shared is None else self._shared.of(x, name, make)

    def _fit(self, rows: Floats) -> None:
        """Learn; most models need no training."""
        return

    @abc.abstractmethod
    def _rows(self, rows: Floats) -> Codes: ...

    @abc.abstractmethod
    def _queries(self, queries: Floats) -> Floats: ...

    # -- shared endings ----------------------------------------------------------------------

    def _stand_for(self, values: Floats, squared: Floats | None = None) -> Codes:
        """Codes that decode to ``values``; ``squared`` if the engine stores squared lengths."""
        if self.metric is not Metric.EUCLIDEAN:
            return Codes(values)
        if squared is None:
            squared = np.einsum("ij,ij->i", values, values)
        return Codes(values, -squared)

    def _asking(self, values: Floats) -> Floats:
        """Queries for the codes of ``_stand_for``: the part of ``|q - x|^2`` that varies by row."""
        return 2 * values if self.metric is Metric.EUCLIDEAN else values


class Symmetric(Model):
    """Queries are quantized like rows: ``_values`` decodes the codes of either."""

    @abc.abstractmethod
    def _values(self, x: Floats) -> Floats: ...

    def _rows(self, rows: Floats) -> Codes:
        return self._stand_for(self._values(rows))

    def _queries(self, queries: Floats) -> Floats:
        return self._asking(self._values(queries))


class Exact(Model):
    """No quantization: float32 vectors, or vectors rounded to 16 bits."""

    def __init__(self, metric: Metric, *, half: bool = False) -> None:
        super().__init__(metric)
        self._half = half

    def _rows(self, rows: Floats) -> Codes:
        kept = rows.astype(np.float16).astype(np.float32) if self._half else rows
        return self._stand_for(kept)

    def _queries(self, queries: Floats) -> Floats:
        return self._asking(queries)


def by_blocks(make: Callable[[Floats], Floats], x: Floats) -> Floats:
    """``make(x)`` of rows that do not depend on each other, in blocks that fit into the cache."""
    step = max(1, BLOCK_VALUES // max(1, x.shape[1]))
    found = np.empty_like(x)
    for start in range(0, len(x), step):
        found[start : start + step] = make(x[start : start + step])
    return found


def rounded(x: Floats) -> Floats:
    """Round half up; for non-negative values the rounding of Rust and C."""
    found: Floats = np.floor(x + np.float32(0.5))
    return found


def signs_to_scale(x: Floats) -> Floats:
    """Signs times ``|x|^2 / sum |x|``: exact for dot products with vectors parallel to x."""
    total = np.abs(x).sum(axis=1, keepdims=True)
    squared = np.einsum("ij,ij->i", x, x)[:, None]
    found: Floats = np.where(x > 0, 1, -1) * (squared / np.where(total > 0, total, 1))
    return found.astype(np.float32)
