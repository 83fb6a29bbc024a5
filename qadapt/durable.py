"""Atomic and durable file writes, and cleanup of temporary files of killed processes.

The names of temporary files contain the machine, the process and its start time, so that other
processes can detect and remove abandoned files.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
import uuid
from hashlib import blake2b
from pathlib import Path

_MARK = re.compile(r"q([0-9a-f]{8})-(\d+)-(\d+)-[0-9a-f]{8}")
# Folders that this process has cleaned up.
_swept: set[tuple[str, str]] = set()


def private_folder(folder: Path) -> None:
    """Create a folder and its parents with owner-only access.

    Existing folders are not modified.

    Raises:
        OSError: a folder cannot be created, or a file has that name.
    """
    # Path.mkdir applies the mode only to the last folder.
    for each in reversed((folder, *folder.parents)):
        if not each.is_dir():
            each.mkdir(mode=0o700, exist_ok=True)


def create_private(path: Path, *, exclusive: bool = False) -> int:
    """Open a file for reading and writing; a new file has owner-only access.

    Args:
        path: file; created if it does not exist.
        exclusive: fail if it exists.

    Returns:
        A file descriptor, for ``os.fdopen``.
    """
    return os.open(path, os.O_RDWR | os.O_CREAT | (os.O_EXCL if exclusive else 0), 0o600)


def atomic_write(path: Path, text: str) -> None:
    """Replace a file atomically: a crash leaves the old or the new content.

    Raises:
        OSError: the folder is not writable.
    """
    remove_leftovers_once(path.parent, f".{path.name}.")
    fresh = path.with_name(f".{path.name}.{mark()}")
    try:
        with os.fdopen(create_private(fresh, exclusive=True), "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Fsync a folder, which makes renames in it durable."""
    if os.name == "nt":  # Windows cannot open a folder for fsync
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# -- cleanup -------------------------------------------------------------------------------------


def mark() -> str:
    """Unique part of a file name that identifies this process."""
    pid = os.getpid()
    return f"q{_host()}-{pid}-{_began(pid)}-{uuid.uuid4().hex[:8]}"


def remove_leftovers(folder: Path, prefix: str) -> list[Path]:
    """Remove temporary files of killed processes of this machine.

    Args:
        folder: folder to clean up, without subfolders.
        prefix: prefix of the names; only files with the ``mark`` of a dead process are removed.

    Returns:
        Removed paths.
    """
    gone = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        found = _MARK.search(path.name) if path.name.startswith(prefix) else None
        if found is None or found[1] != _host() or _is_alive(int(found[2]), int(found[3])):
            continue
        try:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        except OSError:
            # It belongs to another user, or another process is removing it.
            continue
        gone.append(path)
    return gone


def remove_leftovers_once(folder: Path, prefix: str) -> None:
    """Call ``remove_leftovers`` once per process, folder and prefix."""
    key = str(folder.absolute()), prefix
    if key not in _swept:
        _swept.add(key)
        remove_leftovers(folder, prefix)


def _host() -> str:
    return blake2b(platform.node().encode(), digest_size=4).hexdigest()


def _began(pid: int) -> int:
    """Start time of a process in kernel ticks; 0 if not on Linux."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    # The program name in parentheses may contain any character.
    return int(text.rpartition(")")[2].split()[19])


def _is_alive(pid: int, began: int) -> bool:
    """Whether the process of a mark is running; True in doubt."""
    if sys.platform == "win32":
        import ctypes

        handle = ctypes.windll.kernel32.OpenProcess(0x1000, False, pid)
        if handle:
            ctypes.windll.kernel32.CloseHandle(handle)
        return bool(handle)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # a process of another user, which may be the one
    now = _began(pid)
    return not (began and now) or began == now
