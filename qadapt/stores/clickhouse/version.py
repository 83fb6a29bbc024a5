"""Features by version of ClickHouse (docs/engines/clickhouse.md#versions)."""

from __future__ import annotations

from qadapt.errors import UnsupportedError
from qadapt.model.capabilities import older

OLDEST = "25.8"  # vector_similarity without an experimental setting, rescoring, binary codes
SINCE_CODEC = "26.7"  # CODEC(Quantized(...))

SINCE_BIT_PLANES = "26.7"  # codes in a QBit, and distances of them


def require_oldest(version: str) -> None:
    """Check that qadapt supports the version.

    Raises:
        UnsupportedError
    """
    if older(version, OLDEST):
        raise UnsupportedError(
            f"the server is ClickHouse {version}; qadapt requires {OLDEST} or newer",
            hint="upgrade the server",
        )


def has_codec(version: str | None) -> bool:
    """Whether columns can have the codec ``Quantized``; None is the newest version."""
    return version is None or not older(version, SINCE_CODEC)


def has_bit_planes(version: str | None) -> bool:
    """Whether codes can be stored in columns of the type QBit; None is the newest version."""
    return version is None or not older(version, SINCE_BIT_PLANES)
