"""Abandoned records: damaged, written by a newer qadapt, or of a change that cannot be rolled back.

A record is moved to ``abandoned/ID/record``, next to ``abandoned.json``, and never deleted.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from qadapt.durable import sync_folder
from qadapt.local.state import (
    exclusive_key,
    private_folder,
    state_access,
    state_dir,
    write_state_file,
)
from qadapt.model import Serializable, Symbol
from qadapt.model.cli_commands import cli_command
from qadapt.model.table import FieldTable
from qadapt.planning import journal
from qadapt.planning.change_record import ChangeRecord, DamagedRecord, utc_now

NOTE, RECORD = "abandoned.json", "record"


@dataclass(frozen=True)
class Abandoned(FieldTable, Serializable):
    """Abandoned record of a change.

    Attributes:
        id: id of the change.
        path: current path of the record.
        at: time in UTC, ISO 8601.
        why: problem of the record; empty if it was readable.
        address, collection: collection that it changed; empty if that is unreadable.
        left: possible state of the collection.
        next: command that shows the state of the collection; empty if that is unknown.
    """

    id: str
    path: str
    at: str
    why: str
    address: str
    collection: str
    left: str
    next: str


def abandon(change: str, why: str = "") -> Abandoned:
    """Abandon the record of a change; the collection is not modified.

    Raises:
        NotFoundError: the change does not exist.
        BusyError: the change is in progress.
    """
    found = journal.locate(change)
    with ExitStack() as held:
        for key in sorted(journal.keys_of(_folder_of(found))):
            held.enter_context(exclusive_key(key, f"the collection of the change {found.id}"))
        return _set_aside(found, why)


def forget(address: str, collection: str) -> None:
    """Abandon the changes of a dropped collection, which cannot be rolled back."""
    key = journal.key(address, collection)
    good, bad = journal.scan()
    for record in good:
        if record.folder.parent.name == key and record.state != "undone":
            record.add("undone", error="the collection was dropped")
    for damaged in bad:
        if key in journal.keys_of(_folder_of(damaged)):
            _set_aside(damaged, "the collection was dropped")


def _folder_of(found: ChangeRecord | DamagedRecord) -> Path:
    return Path(found.path) if isinstance(found, DamagedRecord) else found.folder


def describe(found: ChangeRecord | DamagedRecord) -> str:
    """Describe the possible state of the collection of a change."""
    if isinstance(found, DamagedRecord):
        return "unknown: none, some or all steps of the change may have been applied or rolled back"
    plan = found.plan
    if found.state == "applied":
        return (
            f"the change was applied: {plan.current} -> {plan.target}; it can no longer be undone"
        )
    if found.state == "undone":
        return f"the change was undone, or never changed anything: {plan.current}"
    done, started = found.done_steps(), found.started_steps()
    parts = [
        f"{step.action} ({'done' if at in done else 'started' if at in started else 'not started'})"
        for at, step in enumerate(plan.steps)
        if step.symbol is not Symbol.NOTHING
    ]
    return f"between {plan.current} and {plan.target}: " + "; ".join(parts)


def _set_aside(found: ChangeRecord | DamagedRecord, why: str) -> Abandoned:
    folder = _folder_of(found)
    place = _free(state_dir() / "abandoned" / found.id)
    if isinstance(found, DamagedRecord):
        address, collection, problem = found.address, found.collection, found.problem
    else:
        plan = found.plan
        address, collection, problem = plan.reopen or plan.address, plan.collection, ""
    reported = Abandoned(
        id=found.id,
        path=str(place / RECORD),
        at=utc_now(),
        why="; ".join(part for part in (problem, why) if part),
        address=address,
        collection=collection,
        left=describe(found),
        next=cli_command("inspect", address, collection) if collection else "",
    )
    private_folder(place)
    write_state_file(place / NOTE, reported.to_json())
    with state_access():
        os.rename(folder, place / RECORD)
        sync_folder(place)
        sync_folder(folder.parent)
    return reported


def _free(place: Path) -> Path:
    """Unused name for an abandoned record; a folder without a record (after a crash) is reused."""
    at, number = place, 1
    while (at / RECORD).exists():
        number += 1
        at = place.with_name(f"{place.name}.{number}")
    return at
