"""Waiting until the engine has a quantization; distinguishes pending, failed and ignored."""

from __future__ import annotations

from dataclasses import dataclass, field

from qadapt.errors import ApplyError, StoreTimeoutError
from qadapt.local import collection_info
from qadapt.model import Kind, Quantization, State, Status
from qadapt.stores.base import Progress, Store
from qadapt.stores.polling import Streak, Wait, poll

CALM = 3  # consecutive polls with the state "ignored" that end the wait


@dataclass
class Goal:
    """Requested quantization of a vector.

    Attributes:
        quantization: the quantization; ``none`` for no codes.
        ends: other states that end the wait at once.
        tolerated: states that end the wait after several consecutive polls, such as ``ignored`` if
        a change is rolled back to a setting that the engine ignored before.
        dim: dimensions of the vector, which ``wait_for`` sets; None if they are not known yet.
    """

    quantization: Quantization
    ends: tuple[State, ...] = ()
    tolerated: tuple[State, ...] = ()
    dim: int | None = None
    _believed: Streak = field(default_factory=lambda: Streak(CALM))

    @property
    def state(self) -> State:
        """State in which the quantization is reached."""
        asked = self.quantization
        whole = self.dim is None or asked.kept_dims(self.dim) == self.dim
        plain = asked.kind is Kind.NONE and whole
        return State.ABSENT if plain or asked.originals == "none" else State.ACTIVE

    def reached(self, status: Status) -> bool:
        """Whether a status ends the wait.

        Raises:
            ApplyError: the engine ignores the setting; the message contains the rule, the hint an
            alternative.
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
    """Poll until the status of a vector is that of ``goal``.

    Returns:
        The status: active (absent for none), or unknown if the store cannot determine it.

    Raises:
        ApplyError: the engine ignores the setting; the message contains the rule, the hint an
        alternative.
        StoreTimeoutError: time limit exceeded, with the last observed status.
    """

    def look() -> Status:
        found = collection_info.info(store, collection).vectors[vector]
        goal.dim = found.dim
        return found.status

    def progress(status: Status) -> Progress:
        wanted = f"waiting until {goal.quantization} is {goal.state}"
        return Progress(wanted, status.progress or 0, 1, "share")

    return poll(
        look,
        goal.reached,
        progress,
        lambda status: StoreTimeoutError(
            f"{goal.quantization} is {status.state} after {wait.deadline.seconds:g} seconds: "
            f"{status.reason}",
            hint="the build may still be in progress: `qadapt inspect -v` shows the evidence",
        ),
        wait,
    )
