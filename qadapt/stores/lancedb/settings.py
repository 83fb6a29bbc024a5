"""Settings of qadapt in the metadata of fields, which every client of the table reads.

The metadata of the schema cannot be changed after the creation of a table, that of a field can
(docs/engines/lancedb.md#changes).
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from qadapt.stores.lancedb.connection import retried
from qadapt.stores.lancedb.schema import METADATA, Table, note_of

if TYPE_CHECKING:
    from qadapt.stores.lancedb.store import LanceDbStore

KEY = "settings"


def read(handle: Any, table: Table) -> dict[str, Any]:
    """The settings of a table at the version of a handle."""
    found = note_of(handle.schema.field(table.key)).get(KEY)
    return found if isinstance(found, dict) else {}


def write(store: LanceDbStore, collection: str, settings: Mapping[str, Any]) -> None:
    """Replace the settings of a table."""
    layout = store.layout(collection)
    table = layout.table
    note = note_of(layout.handle.schema.field(table.key))
    note.pop(KEY, None)
    put(store, collection, table.key, {**note, **({KEY: dict(settings)} if settings else {})})


def write_if_different(store: LanceDbStore, collection: str, settings: Mapping[str, Any]) -> None:
    """Write settings that a restored version does not have."""
    store.forget(collection)
    layout = store.layout(collection)
    if read(layout.handle, layout.table) != dict(settings):
        write(store, collection, settings)


def put(store: LanceDbStore, collection: str, field: str, note: Mapping[str, Any]) -> None:
    """Replace what qadapt recorded in the metadata of a field."""
    word = METADATA.decode()
    text = json.dumps(note, sort_keys=True, ensure_ascii=False) if note else None

    def update() -> None:
        handle = store.connection.open_table(collection)
        handle.update_field_metadata({"path": field, "metadata": {word: text}})

    retried(f"write settings of {collection!r}", update, time.sleep)
    store.forget(collection)
