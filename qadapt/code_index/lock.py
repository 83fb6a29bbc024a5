"""Writer lock: an advisory file lock that is released when the process ends."""

from __future__ import annotations

from pathlib import Path

import filelock

from qadapt.code_index.storage import LOCK_NAME, file_mode
from qadapt.errors import BusyError


class FolderLock:
    """Exclusive lock on a folder.

    Args:
        folder: folder to lock.
        wait: seconds to wait for it.

    Raises:
        BusyError: another index object in this or another process has the lock.
    """

    def __init__(self, folder: Path, *, wait: float = 0) -> None:
        self._lock = filelock.FileLock(folder / LOCK_NAME, timeout=wait, mode=file_mode(folder))
        try:
            self._lock.acquire()
        except filelock.Timeout:
            raise BusyError(
                f"{folder} is already open for writing",
                hint="close the other index, or open this one with read_only=True",
            ) from None

    def release(self) -> None:
        """Release the lock; may be called twice."""
        self._lock.release()
