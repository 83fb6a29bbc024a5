"""``GET /collections/NAME/memory``: bytes of codes as the server reports them (since 1.18)."""

from __future__ import annotations

from dataclasses import dataclass

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


def codes(connection: Connection, name: str) -> dict[str, CodeBytes]:
    """The memory of each vector's codes; vectors without codes are omitted.

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
    reported = {
        str(each.get("name", "")): each.get("quantized") for each in found.get("vectors") or []
    }
    return {
        vector: CodeBytes(*(int(each.get(f"{kind}_bytes") or 0) for kind in _KINDS))
        for vector, each in reported.items()
        if each
    }


_KINDS = ("disk", "ram", "cached")
