"""Measured memory of an engine, which is shown beside the computed size of a vector."""

from __future__ import annotations

import os
from pathlib import Path

from qadapt.model.engine_memory import EngineMemory

PROCESS = "resident memory of this process, everything included"
STATM = Path("/proc/self/statm")


def of_this_process() -> EngineMemory | None:
    """The resident memory of this process; None where the system has no ``/proc``."""
    try:
        pages = int(STATM.read_text(encoding="ascii").split()[1])
    except OSError:
        return None
    return EngineMemory(pages * os.sysconf("SC_PAGE_SIZE"), PROCESS)


class Measured:
    """The part of a store that tells how much memory its engine uses."""

    @property
    def in_process(self) -> bool:
        """Whether the engine runs in this process."""
        return False

    def engine_memory(self) -> EngineMemory | None:
        """The measured memory of the engine; None if it cannot be measured or is not reported."""
        return of_this_process() if self.in_process else None
