"""Aliases: further names of collections, usable in searches and writes (1.32 and newer).

The server allows dropping a collection that has aliases, which then point to nothing.

An alias is also the lock on the schema of a collection (``claimed``), so that only one client at a
time reads and updates it. Weaviate has no conditional update. A client that reads the schema before
another client's change and sends it afterwards replaces the other client's quantizer: the server
answers 200, keeps the codes of the first one, and may fail to load the shard at its next restart
(run on 1.39.0). The creation of an alias is atomic (60 of 60 rounds with four clients), so an alias
with a reserved name is the lock. It exists for the milliseconds between the two requests.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

from qadapt.errors import AlreadyExistsError, AuthError, NotFoundError, UnsupportedError
from qadapt.model.capabilities import older
from qadapt.stores.base import OnProgress, Progress
from qadapt.stores.weaviate.connection import Connection
from qadapt.stores.weaviate.schema import check_name

SINCE = "1.32"
PREFIX = "QadaptClaim_"
PAUSE = 0.05  # seconds between two attempts
# A claim lasts for two requests. An older one was left by a killed process.
ABANDONED = 20.0


def aliases(connection: Connection) -> dict[str, str]:
    """The collection of each alias; empty for a server without aliases."""
    if older(connection.version, SINCE):
        return {}
    found = connection.rest("GET", "/v1/aliases", doing="list aliases") or {}
    return {each["alias"]: each["class"] for each in found.get("aliases") or ()}


def switch(connection: Connection, alias: str, collection: str) -> None:
    """Create an alias, or move it atomically.

    Raises:
        UnsupportedError: the server has no aliases.
        NotFoundError: the collection does not exist.
        AlreadyExistsError: a collection has that name.
    """
    if older(connection.version, SINCE):
        raise UnsupportedError(
            f"aliases need Weaviate {SINCE}; this is {connection.version}",
            hint="make the collection name configurable in your application",
        )
    check_name(alias)
    doing = f"point the alias {alias!r} to {collection!r}"
    if alias in aliases(connection):
        body = {"class": collection}
        connection.rest("PUT", f"/v1/aliases/{quote(alias)}", body, doing=doing, repeatable=True)
    else:
        connection.rest("POST", "/v1/aliases", {"alias": alias, "class": collection}, doing=doing)


def drop(connection: Connection, alias: str) -> None:
    """Delete an alias.

    Raises:
        NotFoundError
    """
    known = aliases(connection)
    if alias not in known:
        raise NotFoundError.missing("alias", alias, known)
    connection.rest("DELETE", f"/v1/aliases/{quote(alias)}", doing=f"drop the alias {alias!r}")


# -- the lock on a schema ------------------------------------------------------------------------


def alias_of(real: str) -> str:
    """The name of the alias that claims a collection."""
    return f"{PREFIX}{real}"


@contextmanager
def claimed(connection: Connection, real: str, progress: OnProgress) -> Iterator[None]:
    """Keep other clients of qadapt from sending a schema of this collection during the block.

    If the server has no aliases (before 1.32), or the key may not create them, there is no lock,
    only a check of the schema that was read; for a key without permission, progress reports it.
    """
    if older(connection.version, SINCE) or not _claim(connection, real, progress):
        yield
        return
    try:
        yield
    finally:
        _release(connection, real)


def _claim(connection: Connection, real: str, progress: OnProgress) -> bool:
    end = time.monotonic() + ABANDONED
    body = {"alias": alias_of(real), "class": real}
    while True:
        try:
            connection.rest("POST", "/v1/aliases", body, doing=f"claim the schema of {real!r}")
        except AlreadyExistsError:
            if time.monotonic() >= end:
                progress(Progress(f"removing the claim of a killed process on {real!r}"))
                _release(connection, real)
                end = time.monotonic() + ABANDONED
                continue
            progress(Progress(f"waiting for another client to change {real!r}"))
            time.sleep(PAUSE)
        except AuthError:
            progress(Progress("the key may not create aliases: other clients are not locked out"))
            return False
        else:
            return True


def _release(connection: Connection, real: str) -> None:
    path = f"/v1/aliases/{quote(alias_of(real))}"
    try:
        connection.rest("DELETE", path, doing=f"release the schema of {real!r}", repeatable=True)
    except NotFoundError:
        return  # another client removed it as abandoned
