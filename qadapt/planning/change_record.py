"""Record of one change: its plan and events, in a journal file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from qadapt.errors import IntegrityError, QadaptError
from qadapt.local.journal_file import VALUE, JournalFile
from qadapt.model import Plan
from qadapt.model.address import Address
from qadapt.model.document_version import UPGRADE, newer_version
from qadapt.planning import events
from qadapt.planning.events import Event

State = Literal["interrupted", "failed", "applied", "undone"]

# Format 1 had plan.json and journal.jsonl.
FORMAT = 2
# Kinds and keys of records.
EVENT = "event"
PLAN, KEY, SEQUENCE = "plan", "collection key", "sequence"


def utc_now() -> str:
    """Current time in UTC, ISO 8601."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def abandon_hint(change: str) -> str:
    """Hint for an unusable record."""
    return f"abandon the record, which modifies no collection: qadapt history --abandon {change}"


@dataclass(frozen=True)
class DamagedRecord:
    """Unreadable record.

    Attributes:
        id: name of its folder.
        path: folder.
        problem: why it is unreadable.
        hint: how to proceed.
        address, collection: collection that it changed; empty if unknown.
    """

    id: str
    path: str
    problem: str
    hint: str
    address: str = ""
    collection: str = ""

    def to_dict(self) -> dict[str, str]:
        """Convert to JSON types."""
        return dict(vars(self))

    def error(self) -> IntegrityError:
        """Create the error for this record."""
        of = f" of {self.collection!r}" if self.collection else ""
        return IntegrityError(
            f"the record of the change {self.id}{of} cannot be used: {self.problem} ({self.path})",
            hint=self.hint,
        )


class UnusableRecordError(IntegrityError):
    """The record of a change is damaged or was written by a newer qadapt.

    Attributes:
        problem: reason without the id of the change.
    """

    def __init__(self, folder: Path, problem: str, *, newer: bool = False) -> None:
        hint = abandon_hint(folder.name)
        super().__init__(
            f"the record of the change {folder.name} cannot be used: {problem} ({folder})",
            hint=f"{UPGRADE}; or {hint}" if newer else hint,
        )
        self.problem = problem


class ChangeRecord:
    """Record of a change on disk; each call opens the file and reads its current content.

    Args:
        folder: folder with the journal file; its parent is named by the key of the collection.

    All methods raise ``IntegrityError`` if the file is missing, damaged, or written by a newer
    qadapt, ``StorageError`` if it is not accessible, and ``BusyError`` if it is locked too long.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.id = folder.name

    def _open(self, *, create: bool = False) -> JournalFile:
        return JournalFile(self.folder, FORMAT, self._unusable, create=create)

    def _unusable(self, problem: str, newer: bool = False) -> UnusableRecordError:
        return UnusableRecordError(self.folder, problem, newer=newer)

    def begin(self, plan: Plan, key: str, sequence: int, *, create: bool) -> None:
        """Write the plan and the event ``started`` in one commit.

        Args:
            key: key of the collection.
            sequence: number that orders all changes.
            create: create the file; otherwise the plan is applied again.
        """
        values = {PLAN: plan.to_dict(), KEY: key, SEQUENCE: sequence}
        with self._open(create=create) as file, file.changing():
            file.put(VALUE, values)
            file.append(EVENT, {"at": utc_now(), "event": "started", "sequence": sequence})

    def add(self, event: str, **values: Any) -> None:
        """Append an event durably."""
        with self._open() as file:
            file.append(EVENT, {"at": utc_now(), "event": event, **values})

    @property
    def sequence(self) -> int:
        """Number of the newest start of the change."""
        with self._open() as file:
            return self._sequence(file)

    def _sequence(self, file: JournalFile) -> int:
        found = file.get(VALUE, SEQUENCE)
        if type(found) is not int or not 0 < found < 2**52:
            raise self._unusable(f"the sequence number is {found!r:.60}")
        return found

    @property
    def plan(self) -> Plan:
        """Plan that was applied."""
        with self._open() as file:
            return self._plan(file)

    def events(self) -> list[Event]:
        """All events, oldest first."""
        with self._open() as file, file.reading():
            return self._events(file, self._plan(file))

    def check(self) -> int:
        """Check the whole record, and return its sequence number."""
        with self._open() as file, file.reading():
            plan = self._plan(file)
            found = self._events(file, plan)
            key, sequence = file.get(VALUE, KEY), self._sequence(file)
        if plan.id != self.id:
            raise self._unusable(f"the plan belongs to the change {plan.id!r:.60}")
        if key != self.folder.parent.name:
            raise self._unusable("it belongs to another collection")
        if not found or found[0]["event"] != "started":
            raise self._unusable("the event 'started' is missing")
        try:
            Address.parse(plan.address)
        except QadaptError as error:
            raise self._unusable(error.message) from error
        return sequence

    def _plan(self, file: JournalFile) -> Plan:
        try:
            return Plan.from_dict(file.get(VALUE, PLAN))
        except IntegrityError:
            raise
        except QadaptError as error:
            raise self._invalid(file.header(), f"plan: {error.message}") from error

    def _events(self, file: JournalFile, plan: Plan) -> list[Event]:
        found = file.items(EVENT)
        for number, event in enumerate(found, start=1):
            problem = events.problem_of(event, len(plan.steps))
            if problem is not None:
                raise self._invalid(file.header(), f"event {number}: {problem}")
        return found

    def _invalid(self, header: Mapping[str, Any], problem: str) -> IntegrityError:
        newer = newer_version(header, FORMAT)
        return self._unusable(newer or problem, newer is not None)

    def latest(self) -> list[Event]:
        """Events since the last start; a plan can be applied again after it was undone."""
        found = self.events()
        started = [at for at, item in enumerate(found) if item["event"] == "started"]
        return found[started[-1] :] if started else []

    def last(self, event: str) -> Event | None:
        """Newest event with this name, or None."""
        return next((item for item in reversed(self.latest()) if item["event"] == event), None)

    def done_steps(self) -> set[int]:
        """Numbers of steps that were done and not reversed."""
        return self._steps("step done")

    def started_steps(self) -> set[int]:
        """Numbers of steps that were started and not reversed."""
        return self._steps("step started")

    def _steps(self, event: str) -> set[int]:
        found: set[int] = set()
        for item in self.latest():
            if item["event"] == event:
                found.add(item["step"])
            elif item["event"] == "step reversed":
                found.discard(item["step"])
        return found

    @property
    def undoing(self) -> bool:
        """Whether an undo was started and not finished."""
        return self.state in ("interrupted", "failed") and self.last("undo started") is not None

    @property
    def state(self) -> State:
        """State of the change."""
        return state_of(self.latest())


def state_of(latest: Sequence[Event]) -> State:
    """State of a change from its events since the last start."""
    for item in reversed(latest):
        if item["event"] in ("applied", "undone", "failed"):
            state: State = item["event"]
            return state
        if item["event"] in ("started", "undo started", "resumed"):
            break
    return "interrupted"
