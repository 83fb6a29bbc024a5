"""How near a store's own setting comes to what was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal, get_args

from qadapt.model.serializable import Serializable

Accept = Literal["exact", "differs", "client"]
ACCEPTS: tuple[Accept, ...] = get_args(Accept)
Strategy = Literal["in-place", "alias", "vector"]


class MatchLevel(str, Enum):
    """exact, a cousin, or not at all."""

    EXACT = "exact"
    DIFFERS = "differs"
    UNSUPPORTED = "unsupported"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Match(Serializable):
    """The result of mapping a quantization to a store.

    Attributes:
        level: exact, differs or unsupported.
        differences: one line for each, in words.
        support: what would support it: a version, an index type, another kind, our fallback.
    """

    level: MatchLevel
    differences: tuple[str, ...] = ()
    support: tuple[str, ...] = ()

    @classmethod
    def of(cls, *differences: str) -> Match:
        """exact without differences, else differs."""
        return cls(MatchLevel.DIFFERS if differences else MatchLevel.EXACT, differences)

    @classmethod
    def unsupported(cls, reason: str, *support: str) -> Match:
        """Not at all: why, and what would support it."""
        return cls(MatchLevel.UNSUPPORTED, (reason,), support)
