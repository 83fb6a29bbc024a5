"""Settings of qadapt in the metadata of a collection (since 1.16)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from qadapt.stores.qdrant import version as qdrant_version
from qadapt.stores.qdrant.server import errors, schema

if TYPE_CHECKING:
    from qadapt.stores.qdrant.server.store import QdrantStore

KEY = "qadapt"


def load_settings(store: QdrantStore, collection: str) -> Mapping[str, Any] | None:
    """The settings in the metadata of a collection; None if the server has no metadata."""
    if not _has_metadata(store):
        return None
    found = schema.metadata(store.snapshot(collection).info).get(KEY)
    return found if isinstance(found, Mapping) else {}


def write_settings(store: QdrantStore, collection: str, settings: Mapping[str, Any]) -> None:
    """Write settings to the metadata of a collection."""
    # The server merges metadata by key, and null removes a key.
    body = {"metadata": {KEY: dict(settings) or None}}
    names = {"collection_name": collection}
    doing = f"save the settings of {collection!r}"
    with errors.first_of_its_step():
        store.connection.ask(
            "PATCH", "/collections/{collection_name}", body, doing=doing, names=names
        )


def _has_metadata(store: QdrantStore) -> bool:
    if store.connection.local:
        return False
    return not qdrant_version.is_older(store.connection.version, qdrant_version.METADATA_SINCE)
