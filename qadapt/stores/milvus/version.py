"""Which Milvus is asked, and from which version it has what."""

from __future__ import annotations

from dataclasses import dataclass

from qadapt.model.capabilities import older
from qadapt.stores.engine_version import EngineVersion
from qadapt.stores.milvus.connection import LITE, LITE_PYTHON, SERVER

SINCE_HNSW_CODES = "2.5"
SINCE_RABITQ = "2.6"
SINCE_IVF_REFINE = "2.6.6"
SINCE_SQ4U = "2.6.8"
SINCE_AUTO_SQ4U = "2.6.10"
SINCE_RABITQ_BITS = "3.0"
SINCE_NAMED = "2.4"
# The vector fields that are not float32. 2.3.5 creates them and fails with their first rows.
SINCE_DATATYPE = {"float16": "2.4", "bfloat16": "2.4", "int8": "2.6"}
SINCE_MMAP = "2.4"


@dataclass(frozen=True)
class ServerVersion(EngineVersion):
    """A Milvus server, or Milvus Lite."""

    product = "Milvus"

    deployment: str = SERVER

    @property
    def lite(self) -> bool:
        return self.deployment == LITE

    def has(self, since: str | None) -> bool:
        """Whether a server is not older; Lite has no version of a server."""
        return not self.lite and super().has(since)

    @property
    def old_lite(self) -> bool:
        """Milvus Lite 2, in C++, which has no index but FLAT and IVF_FLAT."""
        return self.lite and self.version is not None and older(self.version, LITE_PYTHON)

    @property
    def named(self) -> bool:
        """Whether a collection may have several vectors."""
        return self.lite or self.has(SINCE_NAMED)

    @property
    def several(self) -> bool:
        """Whether floats and bits may be vectors of one collection."""
        return self.old_lite or self.has(SINCE_NAMED)

    @property
    def words(self) -> str:
        name = "Milvus Lite" if self.lite else "Milvus"
        return f"{name} {self.version}" if self.version else name


NEWEST = ServerVersion()
