"""The quantizer models of one store, and how far each was off when its engine was asked."""

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

NEAR = 0.02  # recall@10; a model that was off by more is marked


@dataclass(frozen=True)
class Check:
    """A model against its engine.

    Attributes:
        off: largest difference of recall@10 between predicted and measured, over the embeddings
            and the rescorings that were tried.
        against: the engine that was measured.
    """

    off: float
    against: str

    @property
    def validated(self) -> bool:
        """Whether predictions may be taken as they are."""
        return self.off <= NEAR


@dataclass(frozen=True)
class ModelMatch:
    """A model, and what is known of it.

    Attributes:
        model: to be fitted.
        name: of the quantizer, such as ``"scalar of 8 bits"``.
        check: how it did against the engine; None where no engine was measured.
    """

    model: Model
    name: str
    check: Check | None


class QuantizerModels(abc.ABC):
    """What a store's quantizers do to scores.

    Attributes:
        checks_file: JSON written by ``benchmarks/simulation.py``: a list of ``{"model", "off",
            "against"}``; None for a store whose engine was not measured.
    """

    checks_file: Path | None = None

    @abc.abstractmethod
    def quantizer(
        self, target: Quantization, vector: Vector, native: Mapping[str, Any]
    ) -> tuple[str, Model] | None:
        """The quantizer's name and its model; None where there is no model.

        Args:
            target: what the store makes of a setting, never ``none`` or ``float16``.
            vector: dimensions and metric.
            native: the same in the store's own terms.
        """

    def model_of(
        self, target: Quantization, vector: Vector, native: Mapping[str, Any]
    ) -> ModelMatch | None:
        """The model of what the store makes of a setting; None where there is none."""
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
        """How many candidates a search for ``k`` scores by the original vectors, at least ``k``,
        and the rescoring that this is.

        Args:
            rescore: as asked for; None for the store's default, here none.
        """
        return scored_again(target, k, rescore or self.default_rescore(target))

    def default_rescore(self, target: Quantization) -> Rescore:
        """The rescoring of a search that asks for none."""
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
    """How many candidates a rescoring scores by the original vectors, and the rescoring; None
    where there are no codes."""
    if target.kind in (Kind.NONE, Kind.FLOAT16):
        return k, None
    return (rescore.candidates(k) if rescore.on else k), rescore


def segments_of(quantization: Quantization, dim: int) -> int:
    """Segments of product codes of a ratio, 8 bits each; the ratio is 16 where none is given."""
    return max(1, math.floor(4 * dim / float(quantization.ratio or 16)))
