"""Write-ahead journal of changes: every step is recorded on disk before it is executed.

There is one folder per change, ``changes/ID``, with ``plan.json``, ``journal.jsonl`` (one event per
line, each fsynced), ``queries.npy`` (queries of the guard, if they were given as an array) and
``guard_truth.json`` (see ``guard_truth``). The folder is created atomically with its first event. A
line that was truncated by a crash is the last one and is ignored.

Changes are ordered by the ``sequence`` of their ``begun`` event, which does not depend on a clock.

An unreadable record blocks changes of its own collection only. The collection is known even if a
file is lost: it is in the plan, in the ``begun`` event, and in the name of an empty file,
``by_collection/KEY/ID``.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

import numpy as np

from qadapt.durable import create_private, sync_folder
from qadapt.errors import BusyError, IntegrityError, NotFoundError, PlanError, QadaptError
from qadapt.local.state import key_of, private_folder, state_access, state_dir, write_state_file
from qadapt.locking import Lock, LockHeldError
from qadapt.model import Plan
from qadapt.model.address import Address
from qadapt.model.document_version import UPGRADE, newer_version
from qadapt.model.plan import PLAN_FORMAT
from qadapt.planning import events
from qadapt.planning.events import DamageError, Event
from qadapt.version import __version__

State = Literal["interrupted", "failed", "applied", "undone"]

PLAN, JOURNAL, QUERIES = "plan.json", "journal.jsonl", "queries.npy"
_MAKING = ".making-"
_PATIENCE = 10.0  # seconds to wait for another process that starts a change


def new_id() -> str:
    """Create an id that starts with the time."""
    now = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S%f")[:-3]
    return f"{now}-{secrets.token_hex(4)}"


def utc_now() -> str:
    """Current time in UTC, ISO 8601."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


@dataclass(frozen=True)
class DamagedRecord:
    """Unreadable record.

    Attributes:
        id: name of its folder.
        path: folder.
        problem: why it is unreadable.
        hint: how to proceed.
        address, collection: collection that it changed; empty if that is unreadable.
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


class ChangeRecord:
    """Record of a change on disk: plan and events."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.id = folder.name

    @property
    def plan(self) -> Plan:
        """Plan that was applied.

        Raises:
            IntegrityError: the file is missing, damaged, or written by a newer qadapt.
        """
        return Plan.from_dict(self._document())

    def _document(self) -> Any:
        path = self.folder / PLAN
        try:
            document = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError) as error:
            raise self._unusable(f"{PLAN}: {_words(error)}") from error
        reported = newer_version(document, PLAN_FORMAT)
        try:
            Plan.from_dict(document)
        except QadaptError as error:
            raise self._unusable(
                reported or f"{PLAN}: {error.message}", reported is not None
            ) from error
        return document

    def events(self) -> list[Event]:
        """All events, oldest first.

        Raises:
            IntegrityError: a line is damaged, or written by a newer qadapt.
        """
        return self._events(None)

    def _events(self, steps: int | None) -> list[Event]:
        content = self._content()
        try:
            return events.decode(content, steps)
        except DamageError as error:
            reported = next(
                (
                    why
                    for item in events.readable(content)
                    if (why := newer_version(item, events.FORMAT))
                ),
                None,
            )
            raise self._unusable(reported or f"{JOURNAL}: {error}", reported is not None) from error

    def _content(self) -> bytes:
        try:
            return (self.folder / JOURNAL).read_bytes()
        except OSError as error:
            raise self._unusable(f"{JOURNAL}: {_words(error)}") from error

    def _unusable(self, problem: str, of_newer: bool = False) -> IntegrityError:
        hint = abandon_hint(self.id)
        if of_newer:
            hint = f"{UPGRADE}; or {hint}"
        reported = f"the record of the change {self.id} cannot be used: {problem} ({self.folder})"
        error = IntegrityError(reported, hint=hint)
        error.__dict__["problem"] = problem
        return error

    def check(self) -> None:
        """Read and check the record.

        Raises:
            IntegrityError: a file is missing, damaged, or written by a newer qadapt.
        """
        if not self.folder.is_dir():
            raise self._unusable("it is not a folder")
        if not os.listdir(self.folder):
            raise self._unusable("its folder is empty")
        document = self._document()
        plan = Plan.from_dict(document)
        if plan.id != self.id:
            raise self._unusable(f"{PLAN} belongs to the change {plan.id!r:.60}")
        found = self._events(len(plan.steps))
        if not found or found[0]["event"] != "begun":
            raise self._unusable(f"{JOURNAL} has no 'begun' event")
        for item in found:
            reported = newer_version({"format": item.get("format")}, events.FORMAT)
            if reported is not None:
                raise self._unusable(newer_version(item, events.FORMAT) or reported, True)
        digests = [item["plan"] for item in found if "plan" in item]
        if digests and self.state != "undone" and events.digest(document) not in digests:
            raise self._unusable(f"{PLAN} was modified after the change was started")
        try:
            Address.parse(plan.address)
        except QadaptError as error:
            raise self._unusable(f"{PLAN}: {error.message}") from error

    def latest(self) -> list[Event]:
        """Events since the last start; a plan can be applied again after it was undone."""
        found = self.events()
        begun = [at for at, item in enumerate(found) if item["event"] == "begun"]
        return found[begun[-1] :] if begun else []

    def add(self, event: str, **values: Any) -> None:
        """Append an event and fsync it."""
        path = self.folder / JOURNAL
        with state_access(), os.fdopen(create_private(path), "rb+") as file:
            content = file.read()
            end = content.rfind(b"\n") + 1  # a truncated line may follow
            file.seek(end)
            file.truncate()
            reported = {"at": utc_now(), "event": event, **values}
            file.write(events.encode(reported, events.last_sum(content)))
            file.flush()
            os.fsync(file.fileno())

    def last(self, event: str) -> Event | None:
        """Newest event with this name, or None."""
        return next((item for item in reversed(self.latest()) if item["event"] == event), None)

    def done_steps(self) -> set[int]:
        """Numbers of steps that were done and not rolled back."""
        return self._steps("step done")

    def started_steps(self) -> set[int]:
        """Numbers of steps that were started and not rolled back."""
        return self._steps("step begun")

    def _steps(self, event: str) -> set[int]:
        found: set[int] = set()
        for item in self.latest():
            if item["event"] == event:
                found.add(item["step"])
            elif item["event"] == "step taken back":
                found.discard(item["step"])
        return found

    @property
    def undoing(self) -> bool:
        """Whether an undo was started and not finished."""
        return self.state in ("interrupted", "failed") and self.last("undo begun") is not None

    @property
    def state(self) -> State:
        """State of the change."""
        for item in reversed(self.latest()):
            if item["event"] in ("applied", "undone", "failed"):
                state: State = item["event"]
                return state
            if item["event"] in ("begun", "undo begun", "resumed"):
                break
        return "interrupted"


def abandon_hint(change: str) -> str:
    """Hint for an unusable record."""
    return f"abandon the record, which modifies no collection: qadapt history --abandon {change}"


def _words(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


# -- creating ------------------------------------------------------------------------------------


def changes_dir() -> Path:
    """Folder of the records."""
    return state_dir() / "changes"


def folder_of(plan: Plan) -> Path:
    """Folder of the record of a plan."""
    return changes_dir() / plan.id


def index_files(key: str) -> Path:
    """Folder whose file names are the changes of a collection."""
    return state_dir() / "by_collection" / key


def begin(plan: Plan, queries: np.ndarray | None = None) -> ChangeRecord:
    """Create a record with the plan and a ``begun`` event.

    Args:
        queries: queries of the guard, saved as ``queries.npy``.

    Raises:
        PlanError: another change has the id of the plan.
        BusyError: another process holds the lock for too long.
    """
    with _one_at_a_time():
        folder = folder_of(plan)
        document = plan.to_dict()
        reported = {
            "sequence": _next_number(),
            "format": events.FORMAT,
            "qadapt": __version__,
            "address": plan.address,
            "collection": plan.collection,
            "plan": events.digest(document),
        }
        mark = private_folder(index_files(key(plan.address, plan.collection))) / plan.id
        mark.touch(mode=0o600)
        sync_folder(mark.parent)
        if folder.exists():
            return _begin_again(ChangeRecord(folder), plan, queries, reported)
        return _begin_new(folder, plan, queries, reported)


def _begin_new(
    folder: Path, plan: Plan, queries: np.ndarray | None, reported: Mapping[str, Any]
) -> ChangeRecord:
    private_folder(folder.parent)
    for left in folder.parent.glob(
        f"{_MAKING}*"
    ):  # by a crash; no other process starts a change now
        shutil.rmtree(left)
    making = private_folder(folder.parent / f"{_MAKING}{plan.id}")
    _write_plan(making, plan, queries)
    ChangeRecord(making).add("begun", **reported)
    sync_folder(making)
    making.rename(folder)
    sync_folder(folder.parent)
    return ChangeRecord(folder)


def _begin_again(
    record: ChangeRecord, plan: Plan, queries: np.ndarray | None, reported: Mapping[str, Any]
) -> ChangeRecord:
    record.check()
    if place_of(record.plan) != place_of(plan):
        raise PlanError(
            f"the id {plan.id} of the plan belongs to a change of another collection",
            hint="make the plan again: `qadapt plan`",
        )
    # The event first: after a crash in between, an earlier event still matches the old plan.
    record.add("begun", **reported)
    _write_plan(record.folder, plan, queries)
    return record


def _write_plan(folder: Path, plan: Plan, queries: np.ndarray | None) -> None:
    if queries is not None:
        with os.fdopen(create_private(folder / QUERIES), "wb") as file:
            file.truncate()
            np.save(file, queries, allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
    write_state_file(folder / PLAN, plan.to_json())


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Lock the numbering of changes."""
    lock = Lock(private_folder(state_dir() / "locks") / "journal.lock")
    try:
        lock.acquire(_PATIENCE)
    except LockHeldError as held:
        raise BusyError(
            f"{held.holder} is starting another change", hint=held.holder.release_hint
        ) from None
    try:
        yield
    finally:
        lock.release()


def _next_number() -> int:
    """Next sequence number."""
    highest = 0
    for folder in _folders():
        try:
            content = (folder / JOURNAL).read_bytes()
        except OSError:
            continue  # it is listed as damaged; its number is not needed
        for item in events.readable(content):
            number = item.get("sequence")
            if type(number) is int and highest < number < 2**52:
                highest = number
    return highest + 1


# -- reading -------------------------------------------------------------------------------------


def key(address: str, collection: str) -> str:
    """Key of a collection in the state folder.

    Args:
        address: address in any spelling.
    """
    # An invalid address is of a damaged record, and must not match any collection.
    with suppress(QadaptError):
        address = Address.parse(address).identity
    return key_of(address, collection)


def place_of(plan: Plan) -> str:
    """Key of the collection of a plan."""
    return key(plan.address, plan.collection)


def _folders() -> list[Path]:
    folder = changes_dir()
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise IntegrityError(
            f"the changes in {folder} cannot be listed: {_words(error)}",
            hint="make the folder readable, or set QADAPT_STATE_DIR to another folder",
        ) from error
    return [folder / name for name in names if not name.startswith(".")]


def scan() -> tuple[list[ChangeRecord], list[DamagedRecord]]:
    """All changes, newest first, and all unreadable records."""
    return _checked(_folders())


def _checked(folders: Iterable[Path]) -> tuple[list[ChangeRecord], list[DamagedRecord]]:
    good: list[tuple[int, str, str, ChangeRecord]] = []
    bad = []
    for folder in folders:
        record = ChangeRecord(folder)
        try:
            record.check()
            begun = record.latest()[0]
        except IntegrityError as error:
            if os.path.lexists(folder):  # else it was abandoned in the meantime
                bad.append(_damaged(record, error))
            continue
        good.append((begun.get("sequence", 0), begun["at"], record.id, record))
    good.sort(key=lambda item: item[:3], reverse=True)
    return [item[3] for item in good], bad


def _damaged(record: ChangeRecord, error: IntegrityError) -> DamagedRecord:
    address, collection = next(iter(_told_places(record.folder)), ("", ""))
    problem = str(error.__dict__.get("problem", error.message))
    return DamagedRecord(
        record.id, str(record.folder), problem, error.hint or "", address, collection
    )


def _told_places(folder: Path) -> list[tuple[str, str]]:
    """Read address and collection from the intact files of a damaged record."""
    reported: list[Any] = []
    for name in (PLAN, JOURNAL):
        try:
            content = (folder / name).read_bytes()
        except OSError:
            continue  # reported elsewhere
        if name == JOURNAL:
            reported += events.readable(content)
            continue
        try:
            reported.append(json.loads(content))
        except (ValueError, RecursionError):
            continue
    places = []
    for item in reported:
        if not isinstance(item, dict):
            continue
        address, collection = item.get("address"), item.get("collection")
        if isinstance(address, str) and isinstance(collection, str):
            places.append((address, collection))
    return places


def keys_of(change: str) -> set[str]:
    """Collections that a damaged record may belong to."""
    found = {key(*place) for place in _told_places(changes_dir() / change)}
    folder = state_dir() / "by_collection"
    if folder.is_dir():
        found |= {mark.parent.name for mark in folder.glob(f"*/{_literal(change)}")}
    return found


def _literal(name: str) -> str:
    """Escape a name for ``glob``."""
    return "".join(f"[{char}]" if char in "*?[" else char for char in name)


def records() -> Iterator[ChangeRecord]:
    """All readable changes, newest first."""
    yield from scan()[0]


def of_collection(address: str, collection: str) -> list[ChangeRecord]:
    """Changes of one collection, newest first.

    Raises:
        IntegrityError: a record of this collection is unreadable.
    """
    wanted = key(address, collection)
    marked = index_files(wanted)
    names = set(os.listdir(marked)) if marked.is_dir() else set()
    theirs = [
        folder
        for folder in _folders()
        if folder.name in names or wanted in {key(*place) for place in _told_places(folder)}
    ]
    good, bad = _checked(theirs)
    for item in bad:
        raise item.error()
    return [record for record in good if place_of(record.plan) == wanted]


def find(change: str) -> ChangeRecord:
    """Find the record of a change by its id or a prefix of it.

    Raises:
        NotFoundError: no match, or several matches.
        IntegrityError: the record is unreadable.
    """
    found = locate(change)
    if isinstance(found, DamagedRecord):
        raise found.error()
    return found


def locate(change: str) -> ChangeRecord | DamagedRecord:
    """Find a readable or damaged record, as ``find``.

    Raises:
        NotFoundError: no match, or several matches.
    """
    if not change:  # every id starts with it
        raise NotFoundError("the id of the change is empty", hint="`qadapt history` lists the ids")
    good, bad = scan()
    known: dict[str, ChangeRecord | DamagedRecord] = {item.id: item for item in good}
    known.update({item.id: item for item in bad})
    fitting = [name for name in known if name.startswith(change)]
    if change in known:
        fitting = [change]
    if len(fitting) > 1:
        raise NotFoundError(
            f"{len(fitting)} changes start with {change!r}",
            hint=f"give more of the id: {', '.join(fitting[:5])}",
        )
    if not fitting:
        raise NotFoundError.missing("change", change, list(known)[:20])
    return known[fitting[0]]


def pending(address: str, collection: str) -> ChangeRecord | None:
    """Newest change of a collection if it is unfinished, else None.

    Raises:
        IntegrityError: a record of this collection is unreadable.
    """
    newest = next(iter(of_collection(address, collection)), None)
    return newest if newest is not None and newest.state in ("interrupted", "failed") else None
