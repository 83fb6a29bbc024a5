"""The change counter of local mode on disk: the counter of the collection's SQLite file.

SQLite increments the four bytes at offset 24 of the file with each transaction, and the client
makes one transaction for each point that it writes or deletes (observed with qdrant-client 1.20.0:
an upsert of 100 rows adds 100; an update of a point, its payload or its vectors and a deletion add
1 each; the deletion of an unknown id, reads and reopening add 0). The inode and its change time
distinguish a collection that was recreated or restored. In memory there is no file and no counter.
"""

from __future__ import annotations

from pathlib import Path

from qadapt.errors import StoreError
from qadapt.stores.change_counter import ChangeCounter
from qadapt.stores.qdrant.server import local_mode
from qadapt.stores.qdrant.server.connection import Connection

NAME = "SQLite file change counter"
_OFFSET, _END = 24, 28
_MAGIC = b"SQLite format 3\0"


def read(connection: Connection, collection: str) -> ChangeCounter | None:
    """The counter; None in memory, or if a version of the client stores rows in another way.

    Raises:
        StoreError: the file cannot be read.
    """
    client = connection.client._client
    real = local_mode.aliases(connection).get(collection, collection)
    kept = getattr(client, "collections", {}).get(real)
    location = getattr(getattr(kept, "storage", None), "location", None)
    if location is None:
        return None
    path = Path(location)
    try:
        with path.open("rb") as file:
            head = file.read(_END)
        about = path.stat()
    except OSError as error:
        raise StoreError(
            f"could not read the change counter of {collection!r}: {error}",
            hint="check the permissions of the folder",
        ) from error
    if len(head) < _END or not head.startswith(_MAGIC):
        return None
    number = int.from_bytes(head[_OFFSET:], "big")
    value = f"{about.st_ino}/{about.st_mtime_ns}/{number}"
    return ChangeCounter(NAME, value, number=number)
