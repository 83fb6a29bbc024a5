"""Servers of Milvus Lite in this process: one for each folder, shared by its clients."""

from __future__ import annotations

import atexit
import sys
import threading
from pathlib import Path
from typing import Any

from qadapt.stores import forks
from qadapt.stores.client_imports import load

_MODULE = "milvus_lite.server_manager"
_users: dict[Path, int] = {}
_lock = threading.Lock()


def path_of(config: Any) -> Path | None:
    """The folder of a Lite server in this process; None for any other server."""
    host, _, port = str(config.address).rpartition(":")
    if host != "127.0.0.1" or _MODULE not in sys.modules:
        return None
    for path, (_, _, number) in _running().items():
        if str(number) == port:
            return Path(path)
    return None


def _running() -> dict[str, Any]:
    """The running servers by folder."""
    manager = load(_MODULE).server_manager_instance
    return dict(getattr(manager, "_servers", {}))


def _leave_servers_to_parent() -> None:
    """At its exit, a forked process would stop the servers of its parent."""
    if module := sys.modules.get(_MODULE):
        forks.never_free(module.server_manager_instance)
        atexit.unregister(module.server_manager_instance.release_all)


forks.in_child(_leave_servers_to_parent)


def add_user(path: Path) -> None:
    """Count a user of a Lite server started by qadapt; other servers are never stopped."""
    with _lock:
        if path in _users or str(path) not in _running():
            _users[path] = _users.get(path, 0) + 1


def remove_user(path: Path) -> None:
    """Stop a Lite server started by qadapt when its last user closes.

    Closing the client alone leaves the server running and its folder locked.
    """
    with _lock:
        if path not in _users:
            return
        _users[path] -= 1
        if _users[path] > 0:
            return
        del _users[path]
        manager = load(_MODULE).server_manager_instance
        manager.release_server(str(path))
