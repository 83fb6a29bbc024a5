"""How closely a native setting matches the requested quantization."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal, get_args

from qadapt.model.serializable import Serializable

Accept = Literal["exact", "differs", "client"]
ACCEPTS: tuple[Accept, ...] = get_args(Accept)
Strategy = Literal["in-place", "alias", "vector"]


class MatchLevel(str, Enum):
    """Closeness of a native setting: exact, differs or unsupported."""

    EXACT = "exact"
    DIFFERS = "differs"
    UNSUPPORTED = "unsupported"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Match(Serializable):
    """Result of mapping a quantization to a database.

    Attributes:
        level: exact, differs or unsupported.
        differences: one description per difference.
        support: what would support it: a version, an index type, another kind, or client-side
            codes.
    """

    level: MatchLevel
    differences: tuple[str, ...] = ()
    support: tuple[str, ...] = ()

    @classmethod
    def of(cls, *differences: str) -> Match:
        """Exact if there are no differences, else differs."""
        return cls(MatchLevel.DIFFERS if differences else MatchLevel.EXACT, differences)

    @classmethod
    def unsupported(cls, reason: str, *support: str) -> Match:
        """Unsupported, with the reason and what would support it."""
        return cls(MatchLevel.UNSUPPORTED, (reason,), support)
