"""Clients and engines of a parent process, in a forked child that does not have their threads.

A call of such an engine waits forever, and so may the destructor of its client.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qadapt.errors import StoreError

SPAWN = "start processes with multiprocessing.get_context('spawn')"
_FORKED = 0x40  # Linux: PF_FORKNOEXEC in the flags of a process

# The process in which an engine was started, by package.
_started: dict[str, int] = {}
_clients: weakref.WeakSet[Any] = weakref.WeakSet()


def engine_starts(package: str, place: str) -> None:
    """Record that an engine starts in this process.

    Args:
        package: that of the engine, which runs once per process.
        place: what it opens, for the message.

    Raises:
        StoreError: the parent process has started it.
    """
    parent = _started.setdefault(package, os.getpid())
    if started_by_parent(package):
        raise StoreError(
            f"{place} cannot be opened: the parent process {parent} has used {package}, whose "
            "threads do not exist after a fork",
            hint=f"{SPAWN}; or open databases after the fork only",
        )


def started_by_parent(package: str) -> bool:
    """Whether an engine was started before this process was forked."""
    return _started.get(package, os.getpid()) != os.getpid()


def refuse_inherited(package: str, threads: str, place: str, client: object = None) -> None:
    """Refuse an engine that the parent process has started, be it without qadapt.

    Only Linux lists the threads of a process; elsewhere nothing is refused.

    Args:
        package: that of the engine.
        threads: the start of the names of the engine's threads.
        place: what is opened or wrapped, for the message.
        client: one whose destructor would wait for the engine.

    Raises:
        StoreError: this process was forked, and no thread of the engine runs in it.
    """
    if _was_forked() and not any(name.startswith(threads) for name in _thread_names()):
        never_free(client)
        raise StoreError(
            f"{place} cannot be used: the parent process has loaded {package}, whose threads do "
            "not exist after a fork",
            hint=f"{SPAWN}; or import {package} after the fork only",
        )


def _was_forked() -> bool:
    """Whether this process was forked and has not started another program since."""
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return False
    return bool(int(fields[6]) & _FORKED)


def _thread_names() -> list[str]:
    found = []
    for thread in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):  # the thread has ended
            found.append((thread / "comm").read_text())
    return found


def leave_to_parent(client: object) -> None:
    """Do not free an object in a forked child."""
    _clients.add(client)


def never_free(something: object) -> None:
    """Add a reference that is never released, so that not even the end of the process runs the
    destructor."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(something))


def in_child(function: Callable[[], None]) -> None:
    """Call a function in each forked child."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=function)


def _leave_clients() -> None:
    for client in _clients:
        never_free(client)


in_child(_leave_clients)
