"""Memory of an engine, as measured."""

from __future__ import annotations

from dataclasses import dataclass

from qadapt.model.serializable import Serializable
from qadapt.model.table import human_bytes


@dataclass(frozen=True)
class EngineMemory(Serializable):
    """Memory that an engine uses for all its collections, caches and programs.

    It is larger than the computed size of one vector, and not to be compared with it.

    Attributes:
        bytes: as measured; None if it is not known.
        what: what was measured, for example the resident memory of this process; or why it is not
            known.
    """

    bytes: int | None
    what: str

    def __str__(self) -> str:
        if self.bytes is None:
            return f"memory of the server is not known: {self.what}"
        return f"measured: {human_bytes(self.bytes)}, {self.what}"
