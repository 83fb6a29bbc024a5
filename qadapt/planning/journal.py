"""The journal: what was about to be done is on disk before it is done.

One folder a change, ``changes/ID``: ``plan.json``, ``journal.jsonl`` (one event a line, each
fsynced), ``queries.npy`` (a guard's queries, when they were given as an array). The folder appears
whole, with its first event. A line torn by a crash is the last one and is left out.

Changes are ordered by the ``sequence`` of their ``begun`` event, which no clock can turn round.

A record that cannot be read bars its own collection and no other. Which one that is remains known
when a file is lost: it is in the plan, in the ``begun`` event, and in the name of an empty file,
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
_PATIENCE = 10.0  # seconds to wait for another process that begins a change


def new_id() -> str:
    """An id that begins with the time."""
    now = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S%f")[:-3]
    return f"{now}-{secrets.token_hex(4)}"


def utc_now() -> str:
    """The time in UTC, ISO 8601."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


@dataclass(frozen=True)
class DamagedRecord:
    """A record that cannot be read.

    Attributes:
        id: the name of its folder.
        path: the folder.
        problem: what is wrong with it.
        hint: what to do.
        address, collection: what it changed, where that can still be read; else empty.
    """

    id: str
    path: str
    problem: str
    hint: str
    address: str = ""
    collection: str = ""

    def to_dict(self) -> dict[str, str]:
        """JSON-ready."""
        return dict(vars(self))

    def error(self) -> IntegrityError:
        """The error that names it."""
        of = f" of {self.collection!r}" if self.collection else ""
        return IntegrityError(
            f"the record of the change {self.id}{of} cannot be used: {self.problem} ({self.path})",
            hint=self.hint,
        )


class ChangeRecord:
    """One change on disk: its plan and its events."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.id = folder.name

    @property
    def plan(self) -> Plan:
        """The plan as it was applied.

        Raises:
            IntegrityError: the file is missing, damaged, or of a newer qadapt.
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
            IntegrityError: a line is damaged, or of a newer qadapt.
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
        """Read all of it.

        Raises:
            IntegrityError: something is missing, damaged, or of a newer qadapt.
        """
        if not self.folder.is_dir():
            raise self._unusable("it is not a folder")
        if not os.listdir(self.folder):
            raise self._unusable("its folder is empty")
        document = self._document()
        plan = Plan.from_dict(document)
        if plan.id != self.id:
            raise self._unusable(f"{PLAN} is of the change {plan.id!r:.60}")
        found = self._events(len(plan.steps))
        if not found or found[0]["event"] != "begun":
            raise self._unusable(f"{JOURNAL} does not tell that the change was begun")
        for item in found:
            reported = newer_version({"format": item.get("format")}, events.FORMAT)
            if reported is not None:
                raise self._unusable(newer_version(item, events.FORMAT) or reported, True)
        digests = [item["plan"] for item in found if "plan" in item]
        if digests and self.state != "undone" and events.digest(document) not in digests:
            raise self._unusable(f"{PLAN} was changed since the change was begun")
        try:
            Address.parse(plan.address)
        except QadaptError as error:
            raise self._unusable(f"{PLAN}: {error.message}") from error

    def latest(self) -> list[Event]:
        """The events since the change was last begun: a plan may be applied again once undone."""
        found = self.events()
        begun = [at for at, item in enumerate(found) if item["event"] == "begun"]
        return found[begun[-1] :] if begun else []

    def add(self, event: str, **values: Any) -> None:
        """Write one event and wait until it is on disk."""
        path = self.folder / JOURNAL
        with state_access(), os.fdopen(create_private(path), "rb+") as file:
            content = file.read()
            end = content.rfind(b"\n") + 1  # behind it is what a crash tore off
            file.seek(end)
            file.truncate()
            reported = {"at": utc_now(), "event": event, **values}
            file.write(events.encode(reported, events.last_sum(content)))
            file.flush()
            os.fsync(file.fileno())

    def last(self, event: str) -> Event | None:
        """The newest event of a name, or None."""
        return next((item for item in reversed(self.latest()) if item["event"] == event), None)

    def done_steps(self) -> set[int]:
        """Numbers of the steps that were carried out and not taken back."""
        return self._steps("step done")

    def started_steps(self) -> set[int]:
        """Numbers of the steps that were begun and not taken back."""
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


def abandon_hint(change: str) -> str:
    """What to do about a record that cannot be used."""
    return f"set the record aside, which changes no collection: qadapt history --abandon {change}"


def _words(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


# -- beginning -----------------------------------------------------------------------------------


def changes_dir() -> Path:
    """Where the records lie."""
    return state_dir() / "changes"


def folder_of(plan: Plan) -> Path:
    """Where the record of a plan lies, or will lie."""
    return changes_dir() / plan.id


def index_files(key: str) -> Path:
    """The folder whose files name the changes of a collection."""
    return state_dir() / "by_collection" / key


def begin(plan: Plan, queries: np.ndarray | None = None) -> ChangeRecord:
    """A new record, with the plan on disk and the change marked as begun.

    Args:
        queries: of the plan's guard, which names ``queries.npy`` in the record's folder.

    Raises:
        PlanError: another change has the plan's id.
        BusyError: another process begins changes without end.
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
    for left in folder.parent.glob(f"{_MAKING}*"):  # by a crash; nobody else begins just now
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
            f"the plan has the id {plan.id} of a change of another collection",
            hint="make the plan again: `qadapt plan`",
        )
    # The event first: a crash in between leaves the plan of before, which an event names too.
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
    """Only one process at a time numbers a change."""
    lock = Lock(private_folder(state_dir() / "locks") / "journal.lock")
    try:
        lock.acquire(_PATIENCE)
    except LockHeldError as held:
        raise BusyError(
            f"another change is being begun by {held.holder}", hint=held.holder.release_hint
        ) from None
    try:
        yield
    finally:
        lock.release()


def _next_number() -> int:
    """One more than that of any change."""
    highest = 0
    for folder in _folders():
        try:
            content = (folder / JOURNAL).read_bytes()
        except OSError:
            continue  # listed as damaged; its number is not needed
        for item in events.readable(content):
            number = item.get("sequence")
            if type(number) is int and highest < number < 2**52:
                highest = number
    return highest + 1


# -- looking -------------------------------------------------------------------------------------


def key(address: str, collection: str) -> str:
    """By what a collection is known in the state folder.

    Args:
        address: in any spelling.
    """
    # One that cannot be parsed is of a damaged record, and no other collection's key.
    with suppress(QadaptError):
        address = Address.parse(address).identity
    return key_of(address, collection)


def place_of(plan: Plan) -> str:
    """The key of the collection that a plan changes."""
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
            hint="make it a folder that you may read, or set QADAPT_STATE_DIR to another folder",
        ) from error
    return [folder / name for name in names if not name.startswith(".")]


def scan() -> tuple[list[ChangeRecord], list[DamagedRecord]]:
    """All changes, the one begun last first; and the records that cannot be read."""
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
            if os.path.lexists(folder):  # else it was set aside while we looked
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
    """Address and collection as the files of a damaged record tell them."""
    reported: list[Any] = []
    for name in (PLAN, JOURNAL):
        try:
            content = (folder / name).read_bytes()
        except OSError:
            continue  # reported by name elsewhere
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
    """The collections that a damaged record may be of."""
    found = {key(*place) for place in _told_places(changes_dir() / change)}
    folder = state_dir() / "by_collection"
    if folder.is_dir():
        found |= {mark.parent.name for mark in folder.glob(f"*/{_literal(change)}")}
    return found


def _literal(name: str) -> str:
    """A name for ``glob``."""
    return "".join(f"[{char}]" if char in "*?[" else char for char in name)


def records() -> Iterator[ChangeRecord]:
    """All changes that can be read, the one begun last first."""
    yield from scan()[0]


def of_collection(address: str, collection: str) -> list[ChangeRecord]:
    """The changes of one collection, the one begun last first.

    Raises:
        IntegrityError: a record of this collection cannot be read.
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
    """The record of a change, by its id or the beginning of it.

    Raises:
        NotFoundError: none, or more than one.
        IntegrityError: it cannot be read.
    """
    found = locate(change)
    if isinstance(found, DamagedRecord):
        raise found.error()
    return found


def locate(change: str) -> ChangeRecord | DamagedRecord:
    """As ``find``, and a damaged record too.

    Raises:
        NotFoundError: none, or more than one.
    """
    good, bad = scan()
    known: dict[str, ChangeRecord | DamagedRecord] = {item.id: item for item in good}
    known.update({item.id: item for item in bad})
    fitting = [name for name in known if name.startswith(change)]
    if change in known:
        fitting = [change]
    if len(fitting) > 1:
        raise NotFoundError(
            f"{len(fitting)} changes begin with {change!r}",
            hint=f"say more of it: {', '.join(fitting[:5])}",
        )
    if not fitting:
        raise NotFoundError.missing("change", change, list(known)[:20])
    return known[fitting[0]]


def pending(address: str, collection: str) -> ChangeRecord | None:
    """The newest change of a collection, if it was left unfinished.

    Raises:
        IntegrityError: a record of this collection cannot be read.
    """
    newest = next(iter(of_collection(address, collection)), None)
    return newest if newest is not None and newest.state in ("interrupted", "failed") else None
