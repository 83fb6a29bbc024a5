"""Free disk space, looked at before the engine needs it.

The engine maps its files into memory. Where a page of such a file cannot be allocated, the kernel
ends the process with SIGBUS, which nothing can catch. So there must be space before a shard is
opened or written to (seen on qdrant-edge-py 0.9.0, ext4 and tmpfs). Before a rebuild the engine
itself looks, and says what it needs.
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
# Logs, flags and configuration that are written besides what is asked for.
SPARE = 1 * MB
# The size in which the engine adds files for growing vectors.
CHUNK = 32 * MB
# What a write takes for each byte of its rows: the log, the storage, codes, and the rest of a page.
FACTOR = 3
# With more than this, the size of payloads need not be known.
PLENTY = 4096 * MB
# File systems in memory allocate a hole of a mapped file as it is read; those on disk do not.
_IN_MEMORY = ("tmpfs", "ramfs", "hugetlbfs")


def check_open(folder: Path) -> None:
    """Refuse to open a shard where that would end the process.

    Raises:
        StoreError: names the folder and the bytes that are needed.
    """
    holes = 0
    if _in_memory(folder):
        files = folder.glob("segments/*/vector_storage*/*/chunk_*")
        holes = sum(_hole(path) for path in files)
    _check(folder, f"open {folder.name!r}", SPARE + holes)


def check_create(parent: Path, name: str, vectors: int) -> None:
    """Refuse to create a shard; ``parent`` is the folder that it would be in."""
    needed = SPARE * (1 + vectors)
    if _in_memory(parent):
        needed += CHUNK * vectors
    _check(parent, f"create {name!r}", needed)


def check_change(folder: Path, doing: str, batch: Batch | None) -> None:
    """Refuse to change an open shard.

    Args:
        doing: what was asked, for the message.
        batch: rows to be written; None for a change that writes none.
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
    """Bytes of a file that no blocks are allocated for."""
    found = path.stat()
    return max(0, found.st_size - int(getattr(found, "st_blocks", 0)) * 512)


def _in_memory(folder: Path) -> bool:
    """Whether the file system of a folder is one in memory; known on Linux alone."""
    if not sys.platform.startswith("linux"):
        return False
    return _mounts().get(os.stat(folder).st_dev) in _IN_MEMORY


def _mounts() -> Mapping[int, str]:
    """The type of each mounted file system by the number of its device.

    A line of ``mountinfo``: ``36 35 98:0 /root /mount options ... - tmpfs source options``.
    """
    found: dict[int, str] = {}
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        words, _, rest = line.partition(" - ")
        major, _, minor = words.split()[2].partition(":")
        found[os.makedev(int(major), int(minor))] = rest.split()[0]
    return found
