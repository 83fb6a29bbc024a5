"""Sending a PATCH once, and waiting until the segments hold the configured codes.

The status may be green right after a PATCH (1.18.1 and newer) and codes may be in place before it
is green, so both are polled until they are stable. After a kill the status stays grey:
optimizations are queued and none is running. An empty PATCH does not start them (observed on
1.19.0); a PATCH of ``optimizers_config: {}`` does, and changes nothing. Repeating a PATCH during a
build cancels the build and restarts it, so nothing is sent if nothing differs
(docs/engines/qdrant.md#status).
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from qadapt.errors import StoreError, StoreTimeoutError
from qadapt.model import State, Status
from qadapt.stores.base import OnProgress, Progress
from qadapt.stores.polling import Deadline, Streak, Wait, poll
from qadapt.stores.qdrant.server import schema
from qadapt.stores.qdrant.server.connection import Connection
from qadapt.stores.qdrant.server.errors import first_of_its_step
from qadapt.stores.qdrant.server.snapshot import Snapshot, take_snapshot
from qadapt.stores.qdrant.server.status import GREEN, RED, STALLED, YELLOW, Observation, status_of

LONGEST = 0.5  # seconds between two polls: a waiting optimizer must be detected soon
CALM = 3  # consecutive polls with the same result
STUCK = 20  # consecutive polls of an idle collection before the optimizer is triggered again
TRIGGERING = "waking the optimizer"
EMPTY_OPTIMIZERS_CONFIG: Mapping[str, Any] = {"optimizers_config": {}}


def patch(connection: Connection, name: str, body: Mapping[str, Any]) -> bool:
    """Send a PATCH unless nothing differs, and compare the read-back.

    Returns:
        Whether it was sent.

    Raises:
        StoreError: the server accepted it but stored other settings; names each field.
    """
    names = {"collection_name": name}
    path = "/collections/{collection_name}"

    def differing() -> list[str]:
        info = connection.ask("GET", path, doing=f"read {name!r}", names=names)
        return schema.differences(body, info)

    if not differing():
        return False
    with first_of_its_step():
        connection.ask("PATCH", path, dict(body), doing=f"change {name!r}", names=names)
    dropped = differing()
    if dropped:
        raise StoreError(
            f"Qdrant {connection.version} accepted the change of {name!r} but did not store it as "
            f"it was sent: {'; '.join(dropped)}",
            hint="remove from `native` the fields that this version does not know; `qadapt "
            "inspect` shows the current configuration",
        )
    return True


@dataclass(frozen=True)
class _Shown:
    """One poll, and the status of a vector in it."""

    snapshot: Snapshot
    observation: Observation
    status: Status

    @property
    def settled(self) -> bool:
        return self.snapshot.colour == GREEN and self.status.state is not State.BUILDING


@dataclass
class _Optimizer:
    """Polls a collection during a rebuild, and triggers an optimizer that waits.

    Attributes:
        unchanged: the step has not changed anything yet.
    """

    connection: Connection
    name: str
    vector: str
    progress: OnProgress
    unchanged: bool = False
    idle: int = 0
    woken: int = 0

    def look(self) -> _Shown:
        snapshot = take_snapshot(self.connection, self.name)
        _raise_optimizer_error(snapshot, self.name)
        observation = snapshot.observation(self.vector, _rows(snapshot, self.vector))
        shown = _Shown(snapshot, observation, status_of(observation))
        self.idle = self.idle + 1 if snapshot.idle and not shown.settled else 0
        if _is_idle_grey(snapshot, self.idle):
            with first_of_its_step() if self.unchanged else nullcontext():
                trigger_optimizer(self.connection, self.name)
            self.unchanged = False
            self.woken += 1
            self.progress(Progress(f"{TRIGGERING}: {STALLED} (status {snapshot.colour})"))
        return shown

    def late(self, shown: _Shown, seconds: float) -> StoreTimeoutError:
        return StoreTimeoutError(
            f"{self.name!r} is {shown.snapshot.colour} after {seconds:g} seconds: "
            f"{shown.status.reason or shown.status.state}",
            hint=_hint(shown.snapshot, self.woken),
        )


def _describe(shown: _Shown) -> Progress:
    observation = shown.observation
    total = len(observation.expected) or None
    return Progress("waiting for segments", len(observation.obeying), total, "segments")


def settle(
    connection: Connection,
    name: str,
    vector: str,
    progress: OnProgress,
    timeout: float,
    *,
    unchanged: bool = False,
) -> Snapshot:
    """Wait until the collection is green and its segments hold the configured codes.

    Args:
        unchanged: the step has not changed anything yet.

    Returns:
        The last poll: settled, ignored by the engine's own rules, or not observable.

    Raises:
        StoreError: the optimizer failed (red; no disk space or memory).
        StoreTimeoutError: not settled after ``timeout`` seconds; nothing was rolled back.
    """
    optimizer = _Optimizer(connection, name, vector, progress, unchanged)
    calm = Streak(CALM)
    shown = poll(
        optimizer.look,
        lambda shown: calm(shown.settled),
        _describe,
        lambda shown: optimizer.late(shown, timeout),
        Wait(progress, Deadline(timeout), longest=LONGEST),
    )
    return shown.snapshot


def _is_idle_grey(snapshot: Snapshot, idle: int) -> bool:
    """Whether to trigger the optimizer, by the number of consecutive polls without a running one.

    A yellow collection may wait for one of the server's few optimization threads: the optimizer is
    triggered late, and only if the server reports queued optimizations.
    """
    if snapshot.colour != YELLOW:
        return idle % STUCK == CALM
    queued = snapshot.optimizations is not None and snapshot.optimizations.stalled
    return queued and idle > 0 and idle % STUCK == 0


def _hint(snapshot: Snapshot, woken: int) -> str:
    if not snapshot.idle:
        return "the server continues to build; run `qadapt apply` again to wait for the rest"
    sent = (
        f"it was triggered {woken} times" if woken else "it was not triggered within the time limit"
    )
    return (
        f"no optimization is running; {sent}: check the collection's max_optimization_threads and "
        "the server's log, then run `qadapt apply` again"
    )


def trigger_optimizer(connection: Connection, name: str) -> None:
    """Start an optimizer that waits. Never sent while one is running, which it would cancel."""
    names = {"collection_name": name}
    path = "/collections/{collection_name}"
    connection.ask(
        "PATCH",
        path,
        dict(EMPTY_OPTIMIZERS_CONFIG),
        doing=f"trigger the optimizer of {name!r}",
        names=names,
    )


def _rows(snapshot: Snapshot, vector: str) -> int:
    """A lower bound for the rows with the vector, from the segments; distinguishes none from
    some."""
    if snapshot.telemetry is None:
        return int(snapshot.info.get("points_count") or 0)
    return sum(each.present for each in snapshot.telemetry.segments.get(vector, ()))


def _raise_optimizer_error(snapshot: Snapshot, name: str) -> None:
    if snapshot.colour == RED or snapshot.optimizer_error:
        raise StoreError(
            f"the optimizer of {name!r} failed: {snapshot.optimizer_error or 'status red'}",
            hint="free disk space or RAM on the server, then run `qadapt apply` again",
        )
