"""Features by version of pgvector (docs/engines/pgvector.md#versions)."""

from __future__ import annotations

from dataclasses import dataclass

from qadapt.errors import UnsupportedError
from qadapt.model.capabilities import older

OLDEST = "0.5.0"  # hnsw
SINCE_QUANTIZATION = "0.7.0"  # halfvec, bit indexes, binary_quantize
SINCE_ITERATIVE = "0.8.0"  # hnsw.iterative_scan


@dataclass(frozen=True)
class ExtensionVersion:
    """The features of a version; None for the newest."""

    number: str | None = None

    def has(self, since: str) -> bool:
        """Whether the version is ``since`` or newer."""
        return self.number is None or not older(self.number, since)

    def require_oldest(self) -> None:
        """Check that qadapt supports the version.

        Raises:
            UnsupportedError
        """
        if not self.has(OLDEST):
            raise UnsupportedError(
                f"pgvector {self.number} is installed; qadapt requires {OLDEST} or newer",
                hint="ALTER EXTENSION vector UPDATE",
            )
