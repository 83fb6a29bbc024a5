"""The journal: what was about to be done is on disk before it is done.

One folder a change: ``plan.json`` (whole before the first event), ``journal.jsonl`` (one event a
line, each fsynced), ``queries.npy`` (a guard's queries, when they were given as an array). A
line torn by a crash is the last one and is left out.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from qadapt.durable import sync_folder
from qadapt.errors import IntegrityError, NotFoundError
from qadapt.local.state import state_dir, write_whole
from qadapt.model import Plan

State = Literal["interrupted", "failed", "applied", "undone"]


def new_id() -> str:
    """An id that sorts by time."""
    now = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S%f")[:-3]
    return f"{now}-{secrets.token_hex(4)}"


def utc_now() -> str:
    """The time in UTC, ISO 8601."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


class Record:
    """One change on disk: its plan and its events."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.id = folder.name

    @property
    def plan(self) -> Plan:
        """The plan as it was applied.

        Raises:
            IntegrityError: the file is missing or damaged.
        """
        path = self.folder / "plan.json"
        try:
            return Plan.from_json(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise IntegrityError(
                f"the change {self.id} cannot be read: {error}",
                hint=f"look at {path}; delete the folder to forget the change",
            ) from error

    def events(self) -> list[dict[str, Any]]:
        """All events, oldest first.

        Raises:
            IntegrityError: a line is damaged.
        """
        path = self.folder / "journal.jsonl"
        if not path.exists():
            return []
        lines = path.read_bytes().split(b"\n")
        whole = lines[:-1]  # what follows the last newline is empty, or torn
        try:
            return [json.loads(line) for line in whole]
        except ValueError as error:
            raise IntegrityError(
                f"the journal of the change {self.id} is damaged: {error}",
                hint=f"look at {path}; delete the folder to forget the change",
            ) from error

    def latest(self) -> list[dict[str, Any]]:
        """The events since the change was last begun: a plan may be applied again once undone."""
        events = self.events()
        begun = [at for at, item in enumerate(events) if item["event"] == "begun"]
        return events[begun[-1] :] if begun else []

    def add(self, event: str, **values: Any) -> None:
        """Write one event and wait until it is on disk."""
        line = json.dumps({"at": utc_now(), "event": event, **values}, ensure_ascii=False)
        path = self.folder / "journal.jsonl"
        with path.open("rb+" if path.exists() else "wb+") as file:
            _drop_torn_end(file)
            file.write(line.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def last(self, event: str) -> dict[str, Any] | None:
        """The newest event of a name, or None."""
        return next((item for item in reversed(self.latest()) if item["event"] == event), None)

    def done_steps(self) -> set[int]:
        """Numbers of the steps that were carried out and not taken back."""
        done: set[int] = set()
        for item in self.latest():
            if item["event"] == "step done":
                done.add(item["step"])
            elif item["event"] == "step taken back":
                done.discard(item["step"])
        return done

    def started_steps(self) -> set[int]:
        """Numbers of the steps that were begun and not taken back."""
        started: set[int] = set()
        for item in self.latest():
            if item["event"] == "step begun":
                started.add(item["step"])
            elif item["event"] == "step taken back":
                started.discard(item["step"])
        return started

    @property
    def undoing(self) -> bool:
        """Whether an undo was begun and not finished."""
        return self.state in ("interrupted", "failed") and self.last("undo begun") is not None

    @property
    def state(self) -> State:
        """How far the change got."""
        for item in reversed(self.latest()):
            if item["event"] in ("applied", "undone", "failed"):
                state: State = item["event"]
                return state
            if item["event"] in ("begun", "undo begun", "resumed"):
                break
        return "interrupted"


def _drop_torn_end(file: Any) -> None:
    """Cut off a last line that a crash left without its end, then stand at the end."""
    content = file.read()
    end = content.rfind(b"\n") + 1
    file.seek(end)
    file.truncate()


def folder_of(plan: Plan) -> Path:
    """Where the record of a plan lies, or will lie."""
    return state_dir() / "changes" / plan.id


def begin(plan: Plan) -> Record:
    """A new record, with the plan on disk and the change marked as begun."""
    folder = folder_of(plan)
    write_whole(folder / "plan.json", plan.to_json())
    sync_folder(folder.parent)
    record = Record(folder)
    record.add("begun")
    return record


def records() -> Iterator[Record]:
    """All changes, the one begun last first."""
    folder = state_dir() / "changes"
    if not folder.exists():
        return
    known = [Record(path) for path in folder.iterdir() if (path / "plan.json").exists()]
    begun = [(run[0]["at"], record.id, record) for record in known if (run := record.latest())]
    for _, _, record in sorted(begun, key=lambda item: item[:2], reverse=True):
        yield record


def find(change: str) -> Record:
    """The record of a change, by its id or the beginning of it.

    Raises:
        NotFoundError: none, or more than one.
    """
    known = [record.id for record in records()]
    fitting = [name for name in known if name.startswith(change)]
    if change in known:
        fitting = [change]
    if len(fitting) > 1:
        raise NotFoundError(
            f"{len(fitting)} changes begin with {change!r}",
            hint=f"say more of it: {', '.join(fitting[:5])}",
        )
    if not fitting:
        raise NotFoundError.missing("change", change, known[:20])
    return Record(state_dir() / "changes" / fitting[0])


def forget(address: str, collection: str) -> None:
    """Mark the changes of a collection that is gone as undone: nothing is left to take back."""
    for record in records():
        plan = record.plan
        if (plan.address, plan.collection) == (address, collection) and record.state != "undone":
            record.add("undone", error="the collection was dropped")


def pending(address: str, collection: str) -> Record | None:
    """The newest change of a collection, if it was left unfinished."""
    for record in records():
        plan = record.plan
        if (plan.address, plan.collection) == (address, collection):
            return record if record.state in ("interrupted", "failed") else None
    return None
