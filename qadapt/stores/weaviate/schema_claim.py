"""A lock on the schema of a collection, so that only one client at a time reads and updates it.

Weaviate has no conditional update. A client that reads the schema before another client's change
and sends it afterwards replaces the other client's quantizer: the server answers 200, keeps the
codes of the first one, and may fail to load the shard at its next restart (run on 1.39.0). The
creation of an alias is atomic (60 of 60 rounds with four clients), so an alias with a reserved name
is the lock. It exists for the milliseconds between the two requests.
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
# A claim lasts for two requests. An older one was left by a killed process.
ABANDONED = 20.0


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
