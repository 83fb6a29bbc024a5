"""Options of a plan."""

from __future__ import annotations

from dataclasses import dataclass

from qadapt.errors import SpecError
from qadapt.model import ACCEPTS, Accept, Guard, Metric, Strategy
from qadapt.model.vector import Datatype

STRATEGIES: tuple[Strategy, ...] = ("in-place", "alias", "vector")


@dataclass(frozen=True)
class PlanOptions:
    """What a plan changes besides the quantization, and under which conditions.

    Attributes:
        vector: name of the vector; optional if the collection has only one.
        metric, datatype: new metric and datatype; None keeps them. Both are fixed at creation,
            so a new value needs a copy of the collection and an alias switch.
        accept: ``exact``, ``differs`` (the nearest equivalent is accepted), or ``client``
            (client-side codes are accepted too).
        guard: minimum recall after the change.
        strategy: ``in-place``; ``alias`` for a copy and an alias switch, without interrupting
            searches; ``vector`` for an additional vector; None lets the database decide.
        without_codes: see ``ChangeRequest.without_codes``.

    Raises:
        SpecError: an unknown value of ``accept`` or ``strategy``.
    """

    vector: str | None = None
    metric: Metric | str | None = None
    datatype: Datatype | None = None
    accept: Accept = "differs"
    guard: Guard | None = None
    strategy: Strategy | None = None
    without_codes: bool = False

    def __post_init__(self) -> None:
        if self.strategy is not None and self.strategy not in STRATEGIES:
            raise SpecError.unknown("strategy", self.strategy, STRATEGIES)
        if self.accept not in ACCEPTS:
            raise SpecError.unknown("accept", self.accept, ACCEPTS)
