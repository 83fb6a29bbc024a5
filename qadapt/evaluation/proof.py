"""How much a recall proves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from qadapt.model import Serializable


@dataclass(frozen=True)
class Proof(Serializable):
    """How much a recall proves.

    Attributes:
        level: ``none``: any search would have this recall; ``weak``: too few distinct queries;
            ``sufficient``: neither.
        reason: the reason; empty if it is sufficient.
    """

    level: Literal["none", "weak", "sufficient"] = "sufficient"
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.level} ({self.reason})" if self.reason else self.level


def weakest_proof(proofs: Iterable[Proof]) -> Proof:
    """The proof that proves least; ``sufficient`` without any."""
    order = ("none", "weak", "sufficient")
    return min(proofs, key=lambda each: order.index(each.level), default=Proof())
