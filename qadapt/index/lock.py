"""One writer at a time: an advisory lock on a file, given back when the process ends."""

from __future__ import annotations

from pathlib import Path

import filelock

from qadapt.errors import BusyError
from qadapt.index.storage import LOCK_NAME, file_mode


class FolderLock:
    """An exclusive lock on a folder.

    Args:
        folder: what is locked.
        wait: seconds to wait for it.

    Raises:
        BusyError: another index object, here or in another process, has it.
    """

    def __init__(self, folder: Path, *, wait: float = 0) -> None:
        self._lock = filelock.FileLock(folder / LOCK_NAME, timeout=wait, mode=file_mode(folder))
        try:
            self._lock.acquire()
        except filelock.Timeout:
            raise BusyError(
                f"{folder} is open for writing elsewhere",
                hint="close it there, or open it here with read_only=True",
            ) from None

    def release(self) -> None:
        """Give the lock back. Harmless the second time."""
        self._lock.release()
