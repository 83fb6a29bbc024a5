"""One writer at a time: an advisory lock on a file, given back when the process ends."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from qadapt.errors import BusyError
from qadapt.index.storage import LOCK_NAME


class FolderLock:
    """An exclusive lock on a folder. The lock file stays; only the lock on it comes and goes.

    Raises:
        BusyError: another index object, here or in another process, has it.
    """

    def __init__(self, folder: Path) -> None:
        self._handle: int | None = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _lock(self._handle)
        except OSError as error:
            self.release()
            raise BusyError(
                f"{folder} is open for writing elsewhere",
                hint="close it there, or open it here with read_only=True",
            ) from error

    def release(self) -> None:
        """Give the lock back. Harmless the second time."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int) -> None:
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
