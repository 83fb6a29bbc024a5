"""Measured memory of an engine, which is shown beside the computed size of a vector."""

from __future__ import annotations

import ipaddress
import os
import re
from pathlib import Path

from qadapt.model.address import Address
from qadapt.model.engine_memory import EngineMemory
from qadapt.stores import local_processes

PROCESS = "resident memory of this process, everything included"
SERVER = "resident memory of {} (process {}{}), everything included"
STATM = Path("/proc/self/statm")
_PLACE = re.compile(r"\[?(?P<host>[^\]/]*?)\]?:(?P<port>\d+)(?:/.*)?")


def of_this_process() -> EngineMemory | None:
    """The resident memory of this process; None where the system has no ``/proc``."""
    try:
        pages = int(STATM.read_text(encoding="ascii").split()[1])
    except OSError:
        return None
    return EngineMemory(pages * os.sysconf("SC_PAGE_SIZE"), PROCESS)


def of_server(address: Address) -> EngineMemory:
    """The resident memory of the process that listens at an address, or why it is not known."""
    place = _PLACE.fullmatch(address.location)
    if place is None:
        return EngineMemory(None, "the address has no port")
    if not _is_loopback(place["host"]):
        return EngineMemory(None, "the server runs on another machine and does not report it")
    port = int(place["port"])
    pid = local_processes.listener(port)
    if pid is None:
        return EngineMemory(None, f"no visible process of this machine listens on port {port}")
    name = local_processes.name_of(pid)
    if name in local_processes.FORWARDERS:
        return EngineMemory(None, f"{name} passes port {port} on to the server")
    together = local_processes.with_children(pid)
    children = f" and {len(together) - 1} children" if len(together) > 1 else ""
    total = sum(map(local_processes.resident_bytes, together))
    return EngineMemory(total, SERVER.format(name, pid, children))


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Measured:
    """The part of a store that tells how much memory its engine uses."""

    address: Address

    @property
    def in_process(self) -> bool:
        """Whether the engine runs in this process."""
        return False

    def engine_memory(self) -> EngineMemory | None:
        """The measured memory of the engine, or why a server's is not known.

        None for an engine in this process on a system without ``/proc``.
        """
        return of_this_process() if self.in_process else of_server(self.address)
