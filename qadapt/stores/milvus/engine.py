"""Which Milvus is asked, and from which version it has what."""

from __future__ import annotations

from dataclasses import dataclass

from qadapt.model.capabilities import older
from qadapt.stores.milvus.connection import LITE, SERVER

SINCE_HNSW_CODES = "2.5"
SINCE_RABITQ = "2.6"
SINCE_IVF_REFINE = "2.6.6"
SINCE_SQ4U = "2.6.8"
SINCE_AUTO_SQ4U = "2.6.10"
SINCE_RABITQ_BITS = "3.0"
SINCE_NAMED = "2.4"
SINCE_FLOAT16 = "2.4"


@dataclass(frozen=True)
class Engine:
    """What is asked: a version and a deployment; None is the newest."""

    version: str | None = None
    deployment: str = SERVER

    @property
    def lite(self) -> bool:
        return self.deployment == LITE

    def has(self, since: str) -> bool:
        """Whether a server is not older."""
        return not self.lite and (self.version is None or not older(self.version, since))

    @property
    def words(self) -> str:
        name = "Milvus Lite" if self.lite else "Milvus"
        return f"{name} {self.version}" if self.version else name


NEWEST = Engine()
