"""Versions of lancedb that qadapt supports (docs/engines/lancedb.md#versions)."""

from __future__ import annotations

from qadapt.errors import UnsupportedError
from qadapt.model.capabilities import older

# Its `list_indices` reports the codes of an index, which is the evidence of every status.
OLDEST = "0.40.0"


def require_oldest(version: str) -> None:
    """Check that qadapt supports a version.

    Raises:
        UnsupportedError
    """
    if older(version, OLDEST):
        raise UnsupportedError(
            f"lancedb {version} is installed; qadapt requires {OLDEST} or newer",
            hint="pip install --upgrade lancedb",
        )
