"""Bulk loads: the index is built once, after all rows are written.

The optimizer indexes a segment when it is large enough, and again when it is merged with others.
With ``indexing_threshold`` 0 it indexes none until the former value is restored: the fastest upload
according to Qdrant's documentation (https://qdrant.tech/documentation/tutorials/bulk-upload/,
"Choose an Indexing Strategy"). Not measured here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qadapt.stores.base import OnProgress
from qadapt.stores.qdrant.server import schema, vector_index
from qadapt.stores.qdrant.server.collections import PATH
from qadapt.stores.qdrant.server.connection import Connection

KEY = "indexing_threshold"


def former(connection: Connection, name: str) -> dict[str, Any]:
    """The setting that ``end`` restores; empty if indexing must not be changed.

    That is the case if indexing is disabled already; if the server does not report the setting,
    because null in a PATCH means "not given" and could not be restored; and if rows without an
    index are hidden (``prevent_unoptimized``, since 1.17), because no search would find them.
    """
    now = _optimizers(connection, name)
    if not now.get(KEY) or now.get("prevent_unoptimized"):
        return {}
    return {KEY: int(now[KEY])}


def begin(connection: Connection, name: str) -> None:
    """Disable indexing; idempotent."""
    vector_index.patch(connection, name, {"optimizers_config": {KEY: 0}})


def end(connection: Connection, name: str, noted: Mapping[str, Any]) -> None:
    """Restore the setting of ``former``, unless another client has changed it since."""
    if _optimizers(connection, name).get(KEY) == 0:
        vector_index.patch(connection, name, {"optimizers_config": {KEY: int(noted[KEY])}})


def settle(connection: Connection, name: str, progress: OnProgress, timeout: float) -> None:
    """Wait until all vectors are indexed that the engine indexes by its own rules.

    Raises:
        StoreError, StoreTimeoutError
    """
    names = {"collection_name": name}
    info = connection.ask("GET", PATH, doing=f"read {name!r}", names=names)
    for vector in schema.described(info):
        vector_index.settle(connection, name, vector, progress, timeout)


def _optimizers(connection: Connection, name: str) -> Mapping[str, Any]:
    names = {"collection_name": name}
    info = connection.ask("GET", PATH, doing=f"read {name!r}", names=names)
    found: Mapping[str, Any] = info["config"].get("optimizer_config") or {}
    return found
