"""File lock with the name of its holder, released when the process ends."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import filelock

from qadapt.durable import create_private

# The holder is written just after the lock is acquired; a reader waits this long for it.
_SETTLE = 0.2


@dataclass(frozen=True)
class Holder:
    """Holder of a lock.

    Attributes:
        pid: process; None if unknown.
        host: machine.
        since: time in UTC, ISO 8601.
    """

    pid: int | None = None
    host: str = ""
    since: str = ""

    def __str__(self) -> str:
        """Format as ``process 4711, since 2026-01-02 03:04:05 UTC``."""
        if self.pid is None:
            return "another process"
        here = self.here
        if here and self.pid == os.getpid():
            name = f"this process ({self.pid})"
        else:
            name = f"process {self.pid}" + ("" if here else f" on {self.host}")
        return f"{name}, since {self.since[:19].replace('T', ' ')} UTC"

    @property
    def here(self) -> bool:
        """Whether the holder is a process of this machine."""
        return self.host == socket.gethostname()

    @property
    def release_hint(self) -> str:
        """Hint for the user."""
        if self.pid is None:
            return "wait until it has finished, then run the command again"
        if not self.here:
            return (
                f"wait until it has finished, or end it on {self.host}, then run the command again"
            )
        if self.pid == os.getpid():
            return "wait until the other thread has finished, or close the database there"
        return (
            f"wait until it has finished, or end it (kill {self.pid}), then run the command again"
        )


class LockHeldError(Exception):
    """The lock is held by another process or thread.

    Attributes:
        holder: holder of the lock.
    """

    def __init__(self, holder: Holder) -> None:
        super().__init__(str(holder))
        self.holder = holder


class Lock:
    """Exclusive lock across processes and threads, on a file that is never deleted.

    Args:
        path: lock file; the holder is written to ``PATH.holder``.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = _file_lock(path)
        self._pid = os.getpid()
        self._holder = path.with_name(f"{path.name}.holder")

    @property
    def held(self) -> bool:
        """Whether this object holds the lock, in this process."""
        return self._pid == os.getpid() and bool(self._lock.is_locked)

    def holder(self) -> Holder | None:
        """Holder according to the file, without acquiring the lock; None if it is not alive."""
        return _parsed(self._holder)

    def acquire(self, timeout: float = 0) -> None:
        """Acquire the lock.

        Args:
            timeout: seconds to wait for it.

        Raises:
            LockHeldError: another process or thread holds it.
            OSError: the file cannot be created.
        """
        if self._pid != os.getpid():
            # filelock 4 refuses a lock that was made before a fork. The parent's is kept, because
            # its destructor could release it.
            self._inherited = self._lock
            self._lock, self._pid = _file_lock(self._path), os.getpid()
        try:
            self._lock.acquire(timeout=timeout)
        except filelock.Timeout:
            raise LockHeldError(_read(self._holder)) from None
        # The lock works without the name of the holder, for example on a full disk.
        with contextlib.suppress(OSError):
            _write(self._holder)

    def release(self) -> None:
        """Release the lock; may be called twice."""
        if self.held:
            self._holder.unlink(missing_ok=True)
            self._lock.release()


def _file_lock(path: Path) -> filelock.BaseFileLock:
    return filelock.FileLock(path, mode=0o600, thread_local=False)


def _write(path: Path) -> None:
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    reported = {"pid": os.getpid(), "host": socket.gethostname(), "since": now}
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(create_private(fresh), "w", encoding="utf-8") as file:
        file.write(json.dumps(reported))
    os.replace(fresh, path)


def _read(path: Path) -> Holder:
    """Holder of the lock; the file of a killed process is ignored."""
    end = time.monotonic() + _SETTLE
    while True:
        found = _parsed(path)
        if found is not None or time.monotonic() > end:
            return found or Holder()
        time.sleep(0.01)


def _parsed(path: Path) -> Holder | None:
    try:
        reported = json.loads(path.read_text(encoding="utf-8"))
        pid, host, since = reported["pid"], reported["host"], reported["since"]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    if type(pid) is not int or not 0 < pid < 2**31:
        return None
    if not isinstance(host, str) or not isinstance(since, str):
        return None
    return Holder(pid, host, since) if _may_live(pid, host) else None


def _may_live(pid: int, host: str) -> bool:
    if os.name != "posix" or host != socket.gethostname():
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
