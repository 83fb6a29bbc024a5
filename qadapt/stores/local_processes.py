"""The process of this machine that listens on a port, and its memory, from Linux's ``/proc``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc")
LISTENING = "0A"
# Programs that pass connections on to a server elsewhere: in a container, or on another machine.
FORWARDERS = ("docker-proxy", "rootlessport", "slirp4netns", "pasta", "ssh", "sshd", "kubectl")


def listener(port: int) -> int | None:
    """The id of a process that listens on a TCP port; None if it is not found or not visible."""
    sockets = {f"socket:[{inode}]" for inode in _inodes(port)}
    if not sockets:
        return None
    found = [pid for pid in _processes() if sockets & set(_open_files(pid))]
    # A forked child has the socket of its parent.
    return min(found, default=None)


def name_of(pid: int) -> str:
    """The name of a process; empty if it ended."""
    try:
        return (PROC / str(pid) / "comm").read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def with_children(pid: int) -> list[int]:
    """A process and all its descendants."""
    parents = {child: _parent(child) for child in _processes()}
    found = [pid]
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
    return found


def resident_bytes(pid: int) -> int:
    """Resident memory; of pages that processes share, the share of this one. 0 if it ended."""
    try:
        lines = (PROC / str(pid) / "smaps_rollup").read_text(encoding="ascii").splitlines()
        return 1024 * next(int(each.split()[1]) for each in lines if each.startswith("Pss:"))
    except (OSError, StopIteration):
        return _resident_pages(pid) * os.sysconf("SC_PAGE_SIZE")


def _resident_pages(pid: int) -> int:
    try:
        return int((PROC / str(pid) / "statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0


def _inodes(port: int) -> Iterator[str]:
    """Inodes of the sockets that listen on a port."""
    for table in ("tcp", "tcp6"):
        try:
            lines = (PROC / "net" / table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                yield fields[9]


def _processes() -> list[int]:
    return [int(each.name) for each in PROC.glob("[0-9]*")]


def _open_files(pid: int) -> list[str]:
    """What the open files of a process point to; empty for a process of another user."""
    try:
        entries = list((PROC / str(pid) / "fd").iterdir())
    except OSError:
        return []
    return [target for entry in entries if (target := _target(entry))]


def _target(entry: Path) -> str:
    try:
        return os.readlink(entry)
    except OSError:  # it was closed
        return ""


def _parent(pid: int) -> int | None:
    try:
        text = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return int(text.rpartition(")")[2].split()[1])
