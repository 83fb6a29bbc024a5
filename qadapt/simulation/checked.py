"""How far each model was seen to be off.

``benchmarks/simulation.py`` asks the engines and writes ``checked.json``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

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

FILE = Path(__file__).with_name("checked.json")


@lru_cache(maxsize=1)
def _checks() -> dict[tuple[str, str], Check]:
    lines = json.loads(FILE.read_text(encoding="utf-8"))
    return {(line["store"], line["model"]): Check(line["off"], line["against"]) for line in lines}


def check_of(store: str, key: str) -> Check | None:
    """The check of one model; None where no engine was asked."""
    return _checks().get((store, key))
