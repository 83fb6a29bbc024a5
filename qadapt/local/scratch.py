"""Temporary collections in a database that are always removed.

Each has a unique name and an owner: a file in the state folder that this process keeps locked. If
the process is killed, the lock is released, and the next call that creates a temporary collection
in that database removes the abandoned one.
"""

from __future__ import annotations

import json
import logging
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

from qadapt.errors import NotFoundError, QadaptError
from qadapt.local.state import (
    forget,
    private_folder,
    state_access,
    state_dir,
    write_state_file,
)
from qadapt.stores.base import Store

# The first letter is upper case, as Weaviate requires for class names. Other stores require lower
# case (``Traits.lowercase_names``).
EVAL, TRIAL = "Qadapt_eval_", "Qadapt_trial_"
PREFIXES = (EVAL, TRIAL)

_log = logging.getLogger(__name__)


@contextmanager
def scratch_collection(store: Store, prefix: str, of: str = "") -> Iterator[str]:
    """Context manager with the name of a collection to create; it is dropped at the end.

    Args:
        of: collection that it is a copy of, for the log message.
    """
    token = uuid.uuid4().hex[:12]
    name = (prefix.lower() if store.traits.lowercase_names else prefix) + token
    lock, path = _owned(store, name, token, of)
    try:
        yield name
    finally:
        try:
            _remove(store, name)
            path.unlink(missing_ok=True)
        finally:
            lock.release()
            Path(lock.lock_file).unlink(missing_ok=True)


def remove_leftovers(store: Store) -> list[str]:
    """Remove copies whose owners have ended; returns their names.

    Raises:
        StoreError: a copy cannot be removed.
    """
    gone = []
    for path in _owner_files():
        try:
            reported = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            continue  # another process is writing or removing it
        if not isinstance(reported, dict) or not isinstance(reported.get("collection"), str):
            _log.warning("%s does not name a copy; delete it", path)
            continue
        if reported.get("store") != store.address.identity:
            continue
        lock = filelock.FileLock(path.with_suffix(".lock"), mode=0o600)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            continue
        except OSError as error:
            _log.warning("the copy named in %s cannot be removed: %s", path, error)
            continue
        try:
            if _remove(store, reported["collection"]):
                gone.append(reported["collection"])
            path.unlink(missing_ok=True)
        finally:
            lock.release()
            path.with_suffix(".lock").unlink(missing_ok=True)
    return gone


def unowned_collections(store: Store) -> list[str]:
    """Copies in this database without an owner file here: of another machine or user."""
    known = {path.stem for path in _owner_files()}
    return [
        name
        for name in store.collections()
        if name.capitalize().startswith(PREFIXES) and name.rpartition("_")[2] not in known
    ]


def _folder() -> Path:
    return state_dir() / "copies"


def _owner_files() -> list[Path]:
    with state_access():
        return sorted(_folder().glob("*.json"))


def _owned(store: Store, name: str, token: str, of: str) -> tuple[filelock.BaseFileLock, Path]:
    path = private_folder(_folder()) / f"{token}.json"
    lock = filelock.FileLock(path.with_suffix(".lock"), mode=0o600)
    with state_access():
        lock.acquire()
    reported = {
        "store": store.address.identity,
        "collection": name,
        "of": of,
        "process": os.getpid(),
    }
    write_state_file(path, json.dumps(reported))
    return lock, path


def _remove(store: Store, name: str) -> bool:
    """Drop a copy and its client-side codes; False if it does not exist."""
    there = _drop(store, name)
    forget(store.address, name)
    return there


def _drop(store: Store, name: str) -> bool:
    try:
        store.drop(name)
    except NotFoundError:
        return False
    except QadaptError:
        # Another call may have removed it, or its creation was interrupted.
        if name not in store.collections():
            return False
        _log.warning("the copy %s in %s could not be removed", name, store.address)
        raise
    return True
