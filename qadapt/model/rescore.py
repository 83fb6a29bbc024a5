"""Rescoring of candidates that were found with codes."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, get_args

from qadapt.errors import SpecError
from qadapt.model.serializable import Serializable

Source = Literal["originals", "codes", "int8", "float16", "bfloat16", "off"]
SOURCES: tuple[Source, ...] = get_args(Source)
# Finer codes by name, which a database keeps for rescoring in addition to the searched codes.
TIERS: tuple[Source, ...] = ("int8", "float16", "bfloat16")

MAX_OVERSAMPLING = 1_000_000
CANDIDATES = "candidates"


def number_text(value: float) -> str:
    """Shortest text that parses to the same number."""
    return f"{value:g}" if float(f"{value:g}") == value else repr(float(value))


def candidate_count(k: int, oversampling: float = 1.0, candidates: int | None = None) -> int:
    """Number of candidates that are rescored for ``k`` results, at least ``k``.

    ``ceil(oversampling * k)`` is computed in decimal: 1.1 times 10 is 11.

    Args:
        k: number of results.
        oversampling: candidates per result; not used if ``candidates`` is given.
        candidates: the number itself.
    """
    if candidates is None:
        factor = float(oversampling)
        if factor.is_integer():
            candidates = int(factor) * k
        else:
            candidates = math.ceil(Fraction(repr(factor)) * k)
    return max(k, candidates)


@dataclass(frozen=True)
class Rescore(Serializable):
    """Rescoring of candidates that were found with codes.

    Args:
        oversampling: 1 to 1,000,000; ``ceil(f * k)`` candidates are scored exactly.
        source: ``"originals"`` (the original vectors), ``"int8"``, ``"float16"`` or
            ``"bfloat16"`` (finer codes that are kept in addition to the searched ones),
            ``"codes"`` (finer codes of any kind) or ``"off"`` (no rescoring).
        candidates: 1 to 1,000,000: number of candidates of each query for any ``k``, instead
            of ``oversampling``. A search for more results rescores its ``k`` candidates.

    Raises:
        SpecError: oversampling below 1, above 1,000,000 or not finite; candidates that are not an
            integer in the same range; both; unknown source.
    """

    oversampling: float = 1.0
    source: Source = "originals"
    candidates: int | None = None

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
        if self.source not in SOURCES:
            raise SpecError.unknown("rescore source", self.source, SOURCES)
        if self.source == "off" and self.oversampling != 1:
            raise SpecError(
                "oversampling without rescoring has no effect",
                hint="use source='originals', or omit oversampling",
            )
        self._check_candidates()

    def _check_candidates(self) -> None:
        given = self.candidates
        if given is None:
            return
        whole = isinstance(given, numbers.Integral) and not isinstance(given, bool)
        if not whole or not 1 <= given <= MAX_OVERSAMPLING:
            raise SpecError(
                f"candidates must be an integer from 1 to {MAX_OVERSAMPLING:,}, got {given!r}",
                hint="for example candidates=200; rescore=4 means 4 x k candidates",
            )
        object.__setattr__(self, "candidates", int(given))
        if self.oversampling != 1:
            raise SpecError(
                "rescoring takes oversampling or candidates, not both",
                hint="rescore=4 means 4 x k candidates; candidates=200 means 200 for any k",
            )
        if self.source == "off":
            raise SpecError(
                "candidates without rescoring have no effect",
                hint="use source='originals', or omit candidates",
            )

    @property
    def on(self) -> bool:
        """Whether candidates are rescored."""
        return self.source != "off"

    @property
    def by_codes(self) -> bool:
        """Whether finer codes rescore candidates, not the original vectors."""
        return self.source not in ("originals", "off")

    def count(self, k: int) -> int:
        """Number of candidates that are rescored for ``k`` results, at least ``k``."""
        return candidate_count(k, self.oversampling, self.candidates)

    def factor(self, k: int) -> float:
        """Candidates per result in a search for ``k`` results."""
        return self.oversampling if self.candidates is None else self.count(k) / k

    def engine_factor(self, k: int) -> float:
        """Oversampling to send to an engine that takes ``int(factor * k)`` candidates.

        Half a candidate is added to a fraction, so that float32 rounding does not remove one.
        """
        factor = self.factor(k)
        return factor if factor.is_integer() else (self.count(k) + 0.5) / k

    @property
    def option(self) -> str:
        """Text as an option: ``rescore=4``, ``rescore=off`` or ``candidates=200@codes``."""
        return str(self) if self.candidates is not None else f"rescore={self}"

    @property
    def text(self) -> str:
        """Description: ``x4 by originals``, ``200 candidates by codes`` or ``off``."""
        if not self.on:
            return "off"
        if self.candidates is not None:
            return f"{self.candidates:,} candidates by {self.source}"
        return f"x{self.oversampling:g} by {self.source}"

    def __str__(self) -> str:
        if not self.on:
            return "off"
        tail = "" if self.source == "originals" else f"@{self.source}"
        if self.candidates is not None:
            return f"{CANDIDATES}={self.candidates}{tail}"
        return number_text(self.oversampling) + tail

    @classmethod
    def of(cls, value: RescoreLike) -> Rescore | None:
        """Convert a number, ``"4"``, ``"4@codes"``, ``"candidates=200"``, ``"off"`` or None."""
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
        option, equals, value = (part.strip() for part in number.partition("="))
        if equals and option == CANDIDATES:
            return cls(source=source.strip() or "originals", candidates=_whole(value))  # type: ignore[arg-type]
        try:
            factor = float(number)
        except ValueError:
            raise SpecError(
                f"rescore must be a number, 'off' or a string such as '4@codes'; got {text!r}",
                hint="for example rescore=4, or candidates=200 for a fixed number",
            ) from None
        return cls(factor, source or "originals")  # type: ignore[arg-type]


def _whole(text: str) -> Any:
    """The integer of a text; other text unchanged, which the check of the field rejects."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else text


RescoreLike = Rescore | float | str | Mapping[str, Any] | None
