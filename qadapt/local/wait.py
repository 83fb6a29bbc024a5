"""Waiting until the engine has a quantization: pending, failed and ignored told apart."""

from __future__ import annotations

from dataclasses import dataclass, field

from qadapt.errors import ApplyError, StoreTimeoutError
from qadapt.local import collection_info
from qadapt.model import Kind, Quantization, State, Status
from qadapt.stores.base import Progress, Store
from qadapt.stores.polling import Streak, Wait, poll

CALM = 3  # looks in a row that must say "ignored" before it is believed


@dataclass
class Goal:
    """The quantization that a vector is to have.

    Attributes:
        quantization: with codes in use; no codes for ``none``.
        ends: other states that are an end at once.
        tolerated: states that are an end once some looks in a row show them, as ``ignored`` is
            when a change is taken back to a setting that the engine ignored before.
    """

    quantization: Quantization
    ends: tuple[State, ...] = ()
    tolerated: tuple[State, ...] = ()
    _believed: Streak = field(default_factory=lambda: Streak(CALM))

    @property
    def state(self) -> State:
        """The state that shows it."""
        return State.ABSENT if self.quantization.kind is Kind.NONE else State.ACTIVE

    def reached(self, status: Status) -> bool:
        """Whether a status ends the wait.

        Raises:
            ApplyError: the engine ignores the setting, with the rule and the way out.
        """
        if status.state in (self.state, State.UNKNOWN, *self.ends):
            return True
        if not self._believed(status.state in (State.IGNORED, *self.tolerated)):
            return False
        if status.state in self.tolerated:
            return True
        raise ApplyError(
            f"the engine ignores {self.quantization}: {status.reason}", hint=status.advice or None
        )


def wait_for(store: Store, collection: str, vector: str, goal: Goal, wait: Wait) -> Status:
    """Look until the status of a vector is what ``goal`` asks for.

    Returns:
        The status: active (absent for none), or unknown where the store cannot be looked into.

    Raises:
        ApplyError: the engine ignores the setting, with the rule and the way out.
        StoreTimeoutError: not there in time, with what was seen last.
    """
    wanted = f"{goal.quantization} is {goal.state}"

    def look() -> Status:
        return collection_info.info(store, collection).vectors[vector].status

    return poll(
        look,
        goal.reached,
        lambda status: Progress(f"waiting until {wanted}", status.progress or 0, 1, "share"),
        lambda status: StoreTimeoutError(
            f"{goal.quantization} is {status.state} after {wait.deadline.seconds:g} seconds: "
            f"{status.reason}",
            hint="it may still be building: `qadapt inspect -v` shows the evidence",
        ),
        wait,
    )
