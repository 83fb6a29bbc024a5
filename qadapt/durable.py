"""Files that a crash or a loss of power leaves whole, and what a killed process left beside them.

What is made under another name first carries its maker in that name: this machine, the process and
when it began. So whoever comes next can tell what belongs to nobody any more, and remove it.
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
# Folders that this process has looked through for what others left.
_swept: set[tuple[str, str]] = set()


def private_folder(folder: Path) -> None:
    """Make a folder, and those above it, that only their owner may enter.

    Folders that exist stay as they are.

    Raises:
        OSError: one cannot be made, or a file has that name.
    """
    # Path.mkdir gives its mode to the last folder alone.
    for each in reversed((folder, *folder.parents)):
        if not each.is_dir():
            each.mkdir(mode=0o700, exist_ok=True)


def create_private(path: Path, *, exclusive: bool = False) -> int:
    """Open a file for reading and writing; a new one may be read by its owner alone.

    Args:
        path: the file; made when missing.
        exclusive: fail where it exists.

    Returns:
        A file descriptor, for ``os.fdopen``.
    """
    return os.open(path, os.O_RDWR | os.O_CREAT | (os.O_EXCL if exclusive else 0), 0o600)


def atomic_write(path: Path, text: str) -> None:
    """Write a file so that a crash leaves the old one or the new one, never half of it.

    Raises:
        OSError: the folder cannot be written.
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
    """Put a folder's list of names on the disk, which makes a rename in it last."""
    if os.name == "nt":  # Windows cannot open a folder for fsync
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# -- what a killed process left ------------------------------------------------------------------


def mark() -> str:
    """Part of a name that no other file has, and that tells which process made it."""
    pid = os.getpid()
    return f"q{_host()}-{pid}-{_began(pid)}-{uuid.uuid4().hex[:8]}"


def remove_leftovers(folder: Path, prefix: str) -> list[Path]:
    """Remove what processes of this machine made and left, because they were killed.

    Args:
        folder: looked through, but not what is in its folders.
        prefix: that the names begin with; only those with the ``mark`` of a dead process go.

    Returns:
        What was removed.
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
            # Another user's, or another process is just removing it: not ours to remove.
            continue
        gone.append(path)
    return gone


def remove_leftovers_once(folder: Path, prefix: str) -> None:
    """As ``remove_leftovers``, once in a process for each folder and prefix."""
    key = str(folder.absolute()), prefix
    if key not in _swept:
        _swept.add(key)
        remove_leftovers(folder, prefix)


def _host() -> str:
    return blake2b(platform.node().encode(), digest_size=4).hexdigest()


def _began(pid: int) -> int:
    """When a process began, in the kernel's ticks; 0 where only Linux would tell."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    # The name of the program, in brackets, may hold anything.
    return int(text.rpartition(")")[2].split()[19])


def _is_alive(pid: int, began: int) -> bool:
    """Whether the process that a mark tells of still runs; when in doubt it does."""
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
        pass  # somebody else's process, which may be the one
    now = _began(pid)
    return not (began and now) or began == now
