"""The quantizer models of one store, with the measured error of each."""

from __future__ import annotations

import abc
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from qadapt.model import Kind, Metric, Quantization, Rescore, Vector
from qadapt.quantizers.base import Exact, Model

NEAR = 0.02  # recall@10; a larger error is reported with the prediction


@dataclass(frozen=True)
class Check:
    """The measured error of a model.

    Attributes:
        off: largest difference between predicted and measured recall@10, over all embeddings
            and rescoring settings of the benchmark.
        against: the engine that was measured.
    """

    off: float
    against: str

    @property
    def validated(self) -> bool:
        """Whether the error is small enough to ignore."""
        return self.off <= NEAR


@dataclass(frozen=True)
class ModelMatch:
    """A model with its name and error.

    Attributes:
        model: not fitted yet.
        name: of the quantizer, such as ``"scalar of 8 bits"``.
        check: the measured error; None if no engine was measured.
    """

    model: Model
    name: str
    check: Check | None


class QuantizerModels(abc.ABC):
    """The quantizer models of a store.

    Attributes:
        checks_file: JSON written by ``benchmarks/simulation.py``: a list of ``{"model", "off",
            "against"}``; None for a store whose engine was not measured.
    """

    checks_file: Path | None = None

    @abc.abstractmethod
    def quantizer(
        self, target: Quantization, vector: Vector, native: Mapping[str, Any]
    ) -> tuple[str, Model] | None:
        """The name and the model of a quantizer; None without a model.

        Args:
            target: the quantization that the store applies, never ``none`` or ``float16``.
            vector: dimensions and metric.
            native: the store's own configuration of it.
        """

    def model_of(
        self, target: Quantization, vector: Vector, native: Mapping[str, Any]
    ) -> ModelMatch | None:
        """The model of the quantization that the store applies; None without one."""
        if target.kind in (Kind.NONE, Kind.FLOAT16):
            half = target.kind is Kind.FLOAT16
            name = "16-bit floating point" if half else "floats"
            return ModelMatch(Exact(vector.metric, half=half), name, Check(0.0, "by definition"))
        found = self.quantizer(target, vector, native)
        if found is None:
            return None
        name, model = found
        return ModelMatch(model, name, self.checks.get(name))

    def candidates(
        self,
        target: Quantization,
        native: Mapping[str, Any],
        k: int,
        rescore: Rescore | None,
    ) -> tuple[int, Rescore | None]:
        """The number of candidates that a search for ``k`` scores with the original vectors, at
        least ``k``, and the effective rescoring.

        Args:
            rescore: as requested; None for the store's default.
        """
        return scored_again(target, k, rescore or self.default_rescore(target))

    def default_rescore(self, target: Quantization) -> Rescore:
        """The rescoring of a search that does not set one."""
        return Rescore(source="off")

    @cached_property
    def checks(self) -> Mapping[str, Check]:
        """The check of each quantizer that was measured."""
        if self.checks_file is None:
            return {}
        lines = json.loads(self.checks_file.read_text(encoding="utf-8"))
        return {line["model"]: Check(line["off"], line["against"]) for line in lines}


class OneQuantizer(QuantizerModels):
    """A store with a single quantizer that has no parameters.

    Args:
        name: of the quantizer, such as ``"scalar of 8 bits"``.
        model: makes its model for a metric.
    """

    def __init__(self, name: str, model: Callable[[Metric], Model]) -> None:
        self._name = name
        self._model = model

    def quantizer(
        self, target: Quantization, vector: Vector, native: Mapping[str, Any]
    ) -> tuple[str, Model]:
        return self._name, self._model(vector.metric)


def scored_again(target: Quantization, k: int, rescore: Rescore) -> tuple[int, Rescore | None]:
    """The number of candidates that are scored with the original vectors, and the rescoring;
    None without codes."""
    if target.kind in (Kind.NONE, Kind.FLOAT16):
        return k, None
    return (rescore.count(k) if rescore.on else k), rescore


def segments_of(quantization: Quantization, dim: int) -> int:
    """The number of 8-bit segments of product codes; the default ratio is 16."""
    return max(1, math.floor(4 * dim / float(quantization.ratio or 16)))
