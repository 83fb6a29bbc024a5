"""Checks of free disk space before the engine needs it.

The engine maps its files into memory. If a page of a mapped file cannot be allocated, the kernel
ends the process with SIGBUS, which cannot be caught. Space is therefore checked before a shard is
opened or written to (observed with qdrant-edge-py 0.9.0, ext4 and tmpfs). Before a rebuild the
engine checks the space itself and reports what it needs.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from qadapt.errors import StoreError
from qadapt.model import Batch

MB = 1 << 20
# Logs, flags and configuration that are written in addition.
SPARE = 1 * MB
# The size by which the engine extends files of growing vectors.
CHUNK = 32 * MB
# Bytes that a write needs per byte of its rows: log, storage, codes, and the rest of a page.
FACTOR = 3
# With more free space, the size of payloads is not computed.
PLENTY = 4096 * MB
# File systems in memory allocate a hole of a mapped file when it is read; those on disk do not.
_IN_MEMORY = ("tmpfs", "ramfs", "hugetlbfs")


def check_open(folder: Path) -> None:
    """Reject opening a shard if it would end the process.

    Raises:
        StoreError: names the folder and the required bytes.
    """
    holes = 0
    if _in_memory(folder):
        files = folder.glob("segments/*/vector_storage*/*/chunk_*")
        holes = sum(_hole(path) for path in files)
    _check(folder, f"open {folder.name!r}", SPARE + holes)


def check_create(parent: Path, name: str, vectors: int) -> None:
    """Reject the creation of a shard; ``parent`` is the folder that will contain it."""
    needed = SPARE * (1 + vectors)
    if _in_memory(parent):
        needed += CHUNK * vectors
    _check(parent, f"create {name!r}", needed)


def check_change(folder: Path, doing: str, batch: Batch | None) -> None:
    """Reject a change of an open shard.

    Args:
        doing: the attempted action, for the message.
        batch: the rows to write; None for a change that writes none.
    """
    needed = SPARE
    if batch is not None:
        needed += FACTOR * batch.nbytes
        if shutil.disk_usage(folder).free < needed + PLENTY:
            payloads = json.dumps(list(map(dict, batch.payloads or ())), ensure_ascii=False)
            needed += FACTOR * len(payloads.encode())
    _check(folder, doing, needed)


def _check(folder: Path, doing: str, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise StoreError(
            f"not enough disk space to {doing}: {needed:,} bytes are required in {folder}, "
            f"{free:,} are free",
            hint="nothing was changed; free space on that disk, or move the collection's folder "
            "to another disk",
        )


def _hole(path: Path) -> int:
    """Bytes of a file without allocated blocks."""
    found = path.stat()
    return max(0, found.st_size - int(getattr(found, "st_blocks", 0)) * 512)


def _in_memory(folder: Path) -> bool:
    """Whether a folder's file system is in memory; detected only on Linux."""
    if not sys.platform.startswith("linux"):
        return False
    return _mounts().get(os.stat(folder).st_dev) in _IN_MEMORY


def _mounts() -> Mapping[int, str]:
    """The type of each mounted file system by its device number.

    A line of ``mountinfo``: ``36 35 98:0 /root /mount options ... - tmpfs source options``.
    """
    found: dict[int, str] = {}
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        words, _, rest = line.partition(" - ")
        major, _, minor = words.split()[2].partition(":")
        found[os.makedev(int(major), int(minor))] = rest.split()[0]
    return found
