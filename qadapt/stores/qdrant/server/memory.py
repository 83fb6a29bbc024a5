"""``GET /collections/NAME/memory``: bytes as the server reports them (since 1.18)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qadapt.errors import NotFoundError, StoreError
from qadapt.stores.qdrant import version
from qadapt.stores.qdrant.server.connection import Connection
from qadapt.stores.qdrant.server.errors import is_outage

PATH = "/collections/{collection_name}/memory"
SINCE = "1.18"


@dataclass(frozen=True)
class CodeBytes:
    """Bytes of one vector's codes on this node.

    Attributes:
        disk: of their files.
        ram: held by the process.
        cached: of the files that are currently in the page cache.
    """

    disk: int
    ram: int
    cached: int

    @property
    def held(self) -> int:
        """Bytes of the codes with any placement; files are always written."""
        return self.disk or self.ram


@dataclass(frozen=True)
class VectorBytes:
    """Bytes of one vector on this node.

    Attributes:
        codes: None without codes.
        graph: of the files of its index.
    """

    codes: CodeBytes | None
    graph: int


def vectors(connection: Connection, name: str) -> dict[str, VectorBytes]:
    """The memory of each vector.

    The size of the original vectors is not used: it includes 1 MiB for the flags of deleted rows
    of each growing segment (docs/engines/qdrant.md#memory-usage).

    Empty if the server does not report it: before 1.18, without permission, or not in time.
    """
    if version.is_older(connection.version, SINCE):
        return {}
    names = {"collection_name": name}
    try:
        found = connection.ask("GET", PATH, doing=f"read the memory usage of {name!r}", names=names)
    except (StoreError, NotFoundError) as error:
        if is_outage(error):
            raise
        return {}
    return {
        str(each.get("name", "")): VectorBytes(
            _codes(each.get("quantized")), int((each.get("index") or {}).get("disk_bytes") or 0)
        )
        for each in found.get("vectors") or []
    }


def _codes(reported: Mapping[str, Any] | None) -> CodeBytes | None:
    if not reported:
        return None
    return CodeBytes(*(int(reported.get(f"{kind}_bytes") or 0) for kind in _KINDS))


_KINDS = ("disk", "ram", "cached")
