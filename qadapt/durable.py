"""Files that a crash or a loss of power leaves whole."""

from __future__ import annotations

import os
import uuid
from pathlib import Path


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


def write_whole(path: Path, text: str) -> None:
    """Write a file so that a crash leaves the old one or the new one, never half of it.

    Raises:
        OSError: the folder cannot be written.
    """
    fresh = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
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
