"""Settings of qadapt in a property of a collection.

Milvus 2.3.5 and Milvus Lite 3 store properties of any name; Milvus Lite 2 stores none. 2.3.5 cannot
delete a property, so an empty one means that there are no settings
(docs/engines/milvus.md#collection-properties).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from qadapt.errors import IntegrityError
from qadapt.stores.milvus import schema

if TYPE_CHECKING:
    from qadapt.stores.milvus.store import MilvusStore

KEY = f"{schema.OURS}settings"
FRESH = 10.0  # seconds for which settings are cached


def load_settings(store: MilvusStore, collection: str) -> Mapping[str, Any] | None:
    """The settings in the property of a collection; None for Milvus Lite 2.

    Raises:
        IntegrityError: the property is not JSON.
    """
    if store.connection.old_lite:
        return None
    known = store.reader.layouts.get(collection, FRESH)
    text = (known or store.reader.read_again(collection)).settings
    if not text:
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise IntegrityError(
            f"the property {KEY!r} of {collection!r} is not JSON: {error}",
            hint="set it to an empty string with alter_collection_properties, then run `qadapt "
            "apply` again",
        ) from error
    return found if isinstance(found, Mapping) else {}


def write_settings(store: MilvusStore, collection: str, settings: Mapping[str, Any]) -> None:
    """Write settings to the property of a collection."""
    layout = store.reader.read_again(collection)
    text = json.dumps(dict(settings), sort_keys=True) if settings else ""
    connection = store.connection
    connection.call(
        f"save the settings of {collection!r}",
        connection.client.alter_collection_properties,
        layout.real,
        {KEY: text},
    )
