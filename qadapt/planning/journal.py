"""Write-ahead journal of changes: each step is recorded durably before it is executed.

There is one folder per change, ``changes/KEY/ID``, with ``journal.sqlite`` (plan and events),
``queries.npy`` (queries of the guard, if they were given as an array) and ``guard_truth.json`` (see
``guard_truth``). ``KEY`` identifies the
collection, which ``changes/KEY/collection.json`` names. The folder of a change appears atomically,
with the event ``started``.

Changes are ordered by their sequence number, which does not depend on a clock. An unreadable record
blocks changes of its own collection only.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from qadapt.durable import create_private, sync_folder
from qadapt.errors import BusyError, NotFoundError, PlanError, QadaptError
from qadapt.local.state import key_of, private_folder, state_access, state_dir, write_state_file
from qadapt.locking import Lock, LockHeldError
from qadapt.model import Plan
from qadapt.model.address import Address
from qadapt.planning.change_record import (
    ChangeRecord,
    DamagedRecord,
    UnusableRecordError,
    abandon_hint,
)

if TYPE_CHECKING:
    import numpy as np

QUERIES, COLLECTION = "queries.npy", "collection.json"
_MAKING = ".making-"
_KEY = re.compile(r"[0-9a-f]{24}")
_PATIENCE = 10.0  # seconds to wait for another process that starts a change


def new_id() -> str:
    """Create an id that starts with the time."""
    now = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S%f")[:-3]
    return f"{now}-{secrets.token_hex(4)}"


# -- creating ------------------------------------------------------------------------------------


def changes_dir() -> Path:
    """Folder of the records."""
    return state_dir() / "changes"


def folder_of(plan: Plan) -> Path:
    """Folder of the record of a plan."""
    return changes_dir() / place_of(plan) / plan.id


# Ids of the changes that this process began.
begun_here: set[str] = set()


def begin(plan: Plan, queries: np.ndarray | None = None) -> ChangeRecord:
    """Create a record with the plan and a ``started`` event.

    Args:
        queries: queries of the guard, saved as ``queries.npy``.

    Raises:
        PlanError: another change has the id of the plan.
        BusyError: another process holds the lock for too long.
    """
    with _one_at_a_time():
        folder = folder_of(plan)
        for other in _folders():
            if other.name == plan.id and other != folder:
                raise PlanError(
                    f"the id {plan.id} of the plan belongs to a change of another collection",
                    hint="make the plan again: `qadapt plan`",
                )
        with state_access():
            _remove_unfinished()
            _name_collection(folder.parent, plan)
            if folder.exists():
                _begin_again(ChangeRecord(folder), plan, queries)
            else:
                _begin_new(folder, plan, queries)
        begun_here.add(plan.id)
        return ChangeRecord(folder)


def _remove_unfinished() -> None:
    """Remove records that a killed process did not finish; no other process creates one now."""
    for left in changes_dir().glob(f"*/{_MAKING}*"):
        shutil.rmtree(left)


def _name_collection(folder: Path, plan: Plan) -> None:
    """Save address and collection, in case that a record cannot be read."""
    private_folder(folder)
    named = (plan.address, plan.collection)
    if _collection_of(folder) != named:
        text = json.dumps({"address": named[0], "collection": named[1]})
        write_state_file(folder / COLLECTION, text)


def _begin_new(folder: Path, plan: Plan, queries: np.ndarray | None) -> None:
    making = private_folder(folder.with_name(f"{_MAKING}{plan.id}"))
    _write_queries(making, queries)
    ChangeRecord(making).begin(plan, folder.parent.name, _next_number(), create=True)
    sync_folder(making)
    making.rename(folder)
    sync_folder(folder.parent)


def _begin_again(record: ChangeRecord, plan: Plan, queries: np.ndarray | None) -> None:
    record.check()
    _write_queries(record.folder, queries)
    record.begin(plan, record.folder.parent.name, _next_number(), create=False)


def _write_queries(folder: Path, queries: np.ndarray | None) -> None:
    if queries is None:
        return
    import numpy as np

    with os.fdopen(create_private(folder / QUERIES), "wb") as file:
        file.truncate()
        np.save(file, queries, allow_pickle=False)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Lock the numbering of changes."""
    lock = Lock(private_folder(state_dir() / "locks") / "journal.lock")
    try:
        with state_access():
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
    """Next sequence number; the number of an unreadable record is not needed."""
    highest = 0
    for folder in _folders():
        with suppress(QadaptError):
            highest = max(highest, ChangeRecord(folder).sequence)
    return highest + 1


# -- reading -------------------------------------------------------------------------------------


def key(address: str, collection: str) -> str:
    """Key of a collection in the state folder.

    Args:
        address: address in any spelling.
    """
    return key_of(Address.parse(address).identity, collection)


def place_of(plan: Plan) -> str:
    """Key of the collection of a plan."""
    return key(plan.address, plan.collection)


def keys_of(folder: Path) -> set[str]:
    """Collections that a record may belong to; empty if that is unknown."""
    if folder.parent != changes_dir():
        return {folder.parent.name}
    if _KEY.fullmatch(folder.name):
        return {folder.name}
    # Format 1: changes/ID, and an empty file by_collection/KEY/ID.
    marks = state_dir() / "by_collection"
    return {mark.name for mark in _listed(marks) if os.path.lexists(mark / folder.name)}


def _folders(wanted: str | None = None) -> list[Path]:
    """Records of all collections, or of one; files that are not records are reported as damaged."""
    found = []
    for place in _listed(changes_dir()):
        if wanted is not None and wanted not in keys_of(place):
            continue
        if _KEY.fullmatch(place.name) and place.is_dir():
            found += [each for each in _listed(place) if each.name != COLLECTION]
        else:
            found.append(place)
    return found


def _listed(folder: Path) -> list[Path]:
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    except OSError as error:
        with state_access():
            raise error
    return [folder / name for name in names if not name.startswith(".")]


def scan() -> tuple[list[ChangeRecord], list[DamagedRecord]]:
    """All changes, newest first, and all unreadable records."""
    return _checked(_folders())


def _checked(folders: Iterable[Path]) -> tuple[list[ChangeRecord], list[DamagedRecord]]:
    good: list[tuple[int, str, ChangeRecord]] = []
    bad = []
    for folder in folders:
        record = ChangeRecord(folder)
        try:
            if folder.parent == changes_dir():
                raise _misplaced(folder)
            good.append((record.check(), record.id, record))
        except QadaptError as error:
            if os.path.lexists(folder):  # else it was abandoned in the meantime
                bad.append(_damaged(folder, error))
    good.sort(key=lambda item: item[:2], reverse=True)
    return [item[2] for item in good], bad


def _misplaced(folder: Path) -> UnusableRecordError:
    if (folder / "journal.jsonl").exists() or (folder / "plan.json").exists():
        return UnusableRecordError(
            folder, "it has the form of an earlier development version (plan.json, journal.jsonl)"
        )
    return UnusableRecordError(folder, "it is not the folder of a collection")


def _damaged(folder: Path, error: QadaptError) -> DamagedRecord:
    problem = error.problem if isinstance(error, UnusableRecordError) else error.message
    address, collection = _collection_of(folder.parent) or ("", "")
    hint = error.hint or abandon_hint(folder.name)
    return DamagedRecord(folder.name, str(folder), problem, hint, address, collection)


def _collection_of(folder: Path) -> tuple[str, str] | None:
    """Address and collection of a key; None if the file is missing or does not match the key."""
    try:
        found = json.loads((folder / COLLECTION).read_bytes())
        address, collection = found["address"], found["collection"]
        matches = key(address, collection) == folder.name
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    except QadaptError:  # the address is invalid
        return None
    return (address, collection) if matches else None


def records() -> Iterator[ChangeRecord]:
    """All readable changes, newest first."""
    yield from scan()[0]


def of_collection(address: str, collection: str) -> list[ChangeRecord]:
    """Changes of one collection, newest first.

    Raises:
        IntegrityError: a record of this collection is unreadable.
    """
    good, bad = _checked(_folders(key(address, collection)))
    for item in bad:
        raise item.error()
    return good


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
