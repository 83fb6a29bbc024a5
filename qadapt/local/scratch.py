"""Scratch collections in a store: made for a moment, and removed whatever happens.

Each has a name of its own and an owner: a file in the state folder that this process keeps locked
while it lives. A process that was killed leaves its collection behind; its lock is free then, and
the next call that makes one in that store removes what it left.
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
from qadapt.local.state import forget, private_folder, state_dir, write_state_file
from qadapt.stores.base import Store

# A first letter in upper case, because Weaviate's classes begin with one.
EVAL, TRIAL = "Qadapt_eval_", "Qadapt_trial_"
PREFIXES = (EVAL, TRIAL)

_log = logging.getLogger(__name__)


@contextmanager
def scratch_collection(store: Store, prefix: str, of: str = "") -> Iterator[str]:
    """The name of a collection that the block may create; it is gone when the block is left.

    Args:
        of: the collection that it is for, for whoever finds it.
    """
    token = uuid.uuid4().hex[:12]
    name = prefix + token
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
    """Remove the copies in this store whose owners are dead; their names.

    Raises:
        StoreError: one cannot be removed.
    """
    gone = []
    for path in sorted(_folder().glob("*.json")):
        try:
            reported = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            continue  # another process is just writing or removing it
        if not isinstance(reported, dict) or not isinstance(reported.get("collection"), str):
            _log.warning("%s does not tell which copy it is of; delete it", path)
            continue
        if reported.get("store") != store.address.identity:
            continue
        lock = filelock.FileLock(path.with_suffix(".lock"), mode=0o600)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
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
    """Copies in this store that no file here tells of: another machine's or user's."""
    known = {path.stem for path in _folder().glob("*.json")}
    return [
        name
        for name in store.collections()
        if name.startswith(PREFIXES) and name.rpartition("_")[2] not in known
    ]


def _folder() -> Path:
    folder = state_dir() / "copies"
    return private_folder(folder)


def _owned(store: Store, name: str, token: str, of: str) -> tuple[filelock.BaseFileLock, Path]:
    path = _folder() / f"{token}.json"
    lock = filelock.FileLock(path.with_suffix(".lock"), mode=0o600)
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
    """Drop a copy, and our codes of it; False when it is not there."""
    there = _drop(store, name)
    forget(store.address, name)
    return there


def _drop(store: Store, name: str) -> bool:
    try:
        store.drop(name)
    except NotFoundError:
        return False
    except QadaptError:
        # Another call may have removed it meanwhile, or its creation was cut off.
        if name not in store.collections():
            return False
        _log.warning("the copy %s in %s could not be removed", name, store.address)
        raise
    return True
