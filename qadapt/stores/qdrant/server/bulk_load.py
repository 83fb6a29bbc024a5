"""One index, after the rows: a server indexes nothing while many rows come in.

Its optimizer indexes a segment when it is large enough, and again when it is merged with others.
With ``indexing_threshold`` 0 it indexes none, and all once when the former value is back: the
fastest upload by Qdrant's own documentation (https://qdrant.tech/documentation/tutorials/bulk-upload/,
"Choose an Indexing Strategy"). Not measured here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qadapt.stores.base import OnProgress
from qadapt.stores.qdrant.server import polling, schema
from qadapt.stores.qdrant.server.collections import PATH
from qadapt.stores.qdrant.server.connection import Connection

KEY = "indexing_threshold"


def former(connection: Connection, name: str) -> dict[str, Any]:
    """What ``end`` has to give back; empty where indexing is to be left alone.

    That is so where it is off already; where the server does not say what it is, because null in a
    PATCH means "not given" and could not be given back; and where rows that are not indexed are
    hidden (``prevent_unoptimized``, since 1.17), because then nobody would see them.
    """
    now = _optimizers(connection, name)
    if not now.get(KEY) or now.get("prevent_unoptimized"):
        return {}
    return {KEY: int(now[KEY])}


def begin(connection: Connection, name: str) -> None:
    """Switch indexing off; twice is the same as once."""
    polling.patch(connection, name, {"optimizers_config": {KEY: 0}})


def end(connection: Connection, name: str, noted: Mapping[str, Any]) -> None:
    """Give back what ``former`` said, unless somebody else has set it meanwhile."""
    if _optimizers(connection, name).get(KEY) == 0:
        polling.patch(connection, name, {"optimizers_config": {KEY: int(noted[KEY])}})


def settle(connection: Connection, name: str, progress: OnProgress, timeout: float) -> None:
    """Wait until all vectors are indexed, as far as the engine's own rules index them.

    Raises:
        StoreError, StoreTimeoutError
    """
    names = {"collection_name": name}
    info = connection.ask("GET", PATH, doing=f"read {name!r}", names=names)
    for vector in schema.described(info):
        polling.settle(connection, name, vector, progress, timeout)


def _optimizers(connection: Connection, name: str) -> Mapping[str, Any]:
    names = {"collection_name": name}
    info = connection.ask("GET", PATH, doing=f"read {name!r}", names=names)
    found: Mapping[str, Any] = info["config"].get("optimizer_config") or {}
    return found
