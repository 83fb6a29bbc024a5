"""Rescoring of candidates that were found with codes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

from qadapt.errors import SpecError
from qadapt.model.serializable import Serializable

Source = Literal["originals", "codes", "off"]

MAX_OVERSAMPLING = 1_000_000


def number_text(value: float) -> str:
    """Shortest text that parses to the same number."""
    return f"{value:g}" if float(f"{value:g}") == value else repr(float(value))


@dataclass(frozen=True)
class Rescore(Serializable):
    """Rescoring of candidates that were found with codes.

    Args:
        oversampling: 1 to 1,000,000; ``ceil(f * k)`` candidates are scored exactly.
        source: ``"originals"`` (the original vectors), ``"codes"`` (finer codes, such as int8 in
            addition to binary codes) or ``"off"`` (no rescoring).

    Raises:
        SpecError: oversampling below 1, above 1,000,000 or not finite; unknown source.
    """

    oversampling: float = 1.0
    source: Source = "originals"

    def __post_init__(self) -> None:
        if isinstance(self.oversampling, bool) or not isinstance(self.oversampling, (int, float)):
            raise SpecError(
                f"oversampling must be a number, got {self.oversampling!r}",
                hint="for example 4, which rescores 4 x k candidates",
            )
        try:
            object.__setattr__(self, "oversampling", float(self.oversampling))
        except OverflowError:
            object.__setattr__(self, "oversampling", math.inf)
        if not math.isfinite(self.oversampling) or self.oversampling < 1:
            raise SpecError(
                f"oversampling must be 1 or more, got {self.oversampling:g}",
                hint="1 rescores only the best k; 4 is a good start for binary",
            )
        if self.oversampling > MAX_OVERSAMPLING:
            raise SpecError(
                f"oversampling must be at most {MAX_OVERSAMPLING:,}, got {self.oversampling:g}",
                hint="4 is a good start for binary; for exact search use quantization none",
            )
        if self.source not in ("originals", "codes", "off"):
            raise SpecError.unknown("rescore source", self.source, ("originals", "codes", "off"))
        if self.source == "off" and self.oversampling != 1:
            raise SpecError(
                "oversampling without rescoring has no effect",
                hint="use source='originals', or omit oversampling",
            )

    @property
    def on(self) -> bool:
        """Whether candidates are rescored."""
        return self.source != "off"

    def candidates(self, k: int) -> int:
        """Number of candidates that are rescored for ``k`` results.

        Computed in decimal: 1.1 times 10 is 11.
        """
        return math.ceil(Fraction(repr(self.oversampling)) * k)

    def __str__(self) -> str:
        if not self.on:
            return "off"
        tail = "" if self.source == "originals" else f"@{self.source}"
        return number_text(self.oversampling) + tail

    @classmethod
    def of(cls, value: RescoreLike) -> Rescore | None:
        """Convert a number, ``"4"``, ``"4@codes"``, ``"off"`` or None."""
        if value is None or isinstance(value, Rescore):
            return value
        if value is False:
            return cls(source="off")
        if isinstance(value, Mapping):
            return cls.from_dict(value)
        if isinstance(value, str):
            return cls._parse(value)
        return cls(value)

    @classmethod
    def _parse(cls, text: str) -> Rescore:
        number, _, source = text.strip().partition("@")
        if number == "off" and not source:
            return cls(source="off")
        try:
            factor = float(number)
        except ValueError:
            raise SpecError(
                f"rescore must be a number, 'off' or a string such as '4@codes'; got {text!r}",
                hint="for example rescore=4",
            ) from None
        return cls(factor, source or "originals")  # type: ignore[arg-type]


RescoreLike = Rescore | float | str | Mapping[str, Any] | None
