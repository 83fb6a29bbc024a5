"""The quantizer models of one store, and their measured errors."""

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

NEAR = 0.02  # maximum error in recall@10 of a validated model


@dataclass(frozen=True)
class Check:
    """The measured error of a model.

    Attributes:
        off: largest difference between predicted and measured recall@10, over all embeddings and
            rescorings that were compared.
        against: the engine that was measured.
    """

    off: float
    against: str

    @property
    def validated(self) -> bool:
        """Whether the error is small enough to rely on predictions."""
        return self.off <= NEAR


@dataclass(frozen=True)
class ModelMatch:
    """A model and its measured error.

    Attributes:
        model: not fitted yet.
        name: name of the quantizer, such as ``"scalar of 8 bits"``.
        check: comparison with the engine; None if no engine was measured.
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
        """The name and model of a quantizer; None if there is no model.

        Args:
            target: the store's quantization, never ``none`` or ``float16``.
            vector: dimensions and metric.
            native: the store's native configuration.
        """

    def model_of(
        self, target: Quantization, vector: Vector, native: Mapping[str, Any]
    ) -> ModelMatch | None:
        """The model of a store's quantization; None if there is no model."""
        if target.kind in (Kind.NONE, Kind.FLOAT16):
            half = target.kind is Kind.FLOAT16
            name = "16-bit floats" if half else "floats"
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
        """The number of candidates that a search for ``k`` rescores with the original vectors, at
        least ``k``, and the effective rescoring.

        Args:
            rescore: the requested rescoring; None for ``default_rescore``.
        """
        return scored_again(target, k, rescore or self.default_rescore(target))

    def default_rescore(self, target: Quantization) -> Rescore:
        """The rescoring of a search with default parameters."""
        return Rescore(source="off")

    @cached_property
    def checks(self) -> Mapping[str, Check]:
        """The check of each measured quantizer, by name."""
        if self.checks_file is None:
            return {}
        lines = json.loads(self.checks_file.read_text(encoding="utf-8"))
        return {line["model"]: Check(line["off"], line["against"]) for line in lines}


class OneQuantizer(QuantizerModels):
    """A store with a single quantizer that has no parameters.

    Args:
        name: name of the quantizer, such as ``"scalar of 8 bits"``.
        model: creates its model for a metric.
    """

    def __init__(self, name: str, model: Callable[[Metric], Model]) -> None:
        self._name = name
        self._model = model

    def quantizer(
        self, target: Quantization, vector: Vector, native: Mapping[str, Any]
    ) -> tuple[str, Model]:
        return self._name, self._model(vector.metric)


def scored_again(target: Quantization, k: int, rescore: Rescore) -> tuple[int, Rescore | None]:
    """The number of candidates rescored with the original vectors, and the rescoring; None for
    vectors without codes."""
    if target.kind in (Kind.NONE, Kind.FLOAT16):
        return k, None
    return (rescore.candidates(k) if rescore.on else k), rescore


def segments_of(quantization: Quantization, dim: int) -> int:
    """Number of segments of product codes, 8 bits each; the default ratio is 16."""
    return max(1, math.floor(4 * dim / float(quantization.ratio or 16)))
