"""How far each model was seen to be off. ``benchmarks/simulation.py`` measures and prints it."""

from __future__ import annotations

from dataclasses import dataclass

NEAR = 0.02  # recall@10; a model that was off by more is marked


@dataclass(frozen=True)
class Check:
    """A model against its engine.

    Attributes:
        off: largest difference of recall@10 between predicted and seen, over the embeddings and
            the rescorings that were tried.
        against: the engine that was asked.
    """

    off: float
    against: str

    @property
    def near(self) -> bool:
        """Whether predictions may be taken as they are."""
        return self.off <= NEAR


# What an unchecked model is widened by.
UNCHECKED = 0.05

CHECKS: dict[tuple[str, str], Check] = {}


def check_of(store: str, key: str) -> Check | None:
    """The check of one model; None where no engine was asked."""
    return CHECKS.get((store, key))
