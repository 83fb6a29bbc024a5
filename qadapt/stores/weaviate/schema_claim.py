"""A claim on the schema of a collection: of two clients, one at a time reads it and sends it back.

Weaviate has no conditional update. A schema that was read before another client's change and is
sent after it puts the quantizer of this client in the place of the other one: the server answers
200, keeps the codes of the first, and may fail to load the shard at its next restart (seen on
1.39.0). The creation of an alias is atomic (60 of 60 rounds of four at once), so an alias with a
reserved name is the claim. It exists for the milliseconds between the two requests.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

from qadapt.errors import AlreadyExistsError, AuthError, NotFoundError
from qadapt.model.capabilities import older
from qadapt.stores.base import OnProgress, Progress
from qadapt.stores.weaviate.aliases import SINCE
from qadapt.stores.weaviate.connection import Connection

PREFIX = "QadaptClaim_"
PAUSE = 0.05  # seconds between two attempts
# A claim lasts for two requests. One that is older belongs to a process that was killed.
ABANDONED = 20.0


def alias_of(real: str) -> str:
    """The name of the alias that claims a collection."""
    return f"{PREFIX}{real}"


@contextmanager
def claimed(connection: Connection, real: str, progress: OnProgress) -> Iterator[None]:
    """While the block runs, no other client of qadapt sends a schema of this collection.

    A server without aliases (before 1.32), or a key that may not create them, leaves only the
    check of what was read; the progress says so for such a key.
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
                progress(Progress(f"removing the claim that a killed process left on {real!r}"))
                _release(connection, real)
                end = time.monotonic() + ABANDONED
                continue
            progress(Progress(f"waiting for another client that changes {real!r}"))
            time.sleep(PAUSE)
        except AuthError:
            progress(Progress("the key may not create aliases: other clients are not kept out"))
            return False
        else:
            return True


def _release(connection: Connection, real: str) -> None:
    path = f"/v1/aliases/{quote(alias_of(real))}"
    try:
        connection.rest("DELETE", path, doing=f"release the schema of {real!r}", repeatable=True)
    except NotFoundError:
        return  # somebody took it for abandoned
