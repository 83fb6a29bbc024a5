"""Settings of qadapt in the metadata of a collection, which every client reads.

Chroma replaces the metadata as a whole. It refuses a change of metadata with ``hnsw:space``, even
of the same value, so a collection that was created with such metadata keeps no settings: removing
the key would break programs that read it (docs/engines/chroma.md#metadata).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qadapt.stores.chroma.connection import Connection
from qadapt.stores.chroma.schema import Layout, metadata_with

SEARCH = "search"
_REFUSED = "hnsw:space"


def writable(layout: Layout) -> bool:
    """Whether Chroma accepts a change of the metadata."""
    return _REFUSED not in layout.metadata


def load(layout: Layout) -> Mapping[str, Any] | None:
    """The default search parameters; None if the collection cannot keep any."""
    if not writable(layout):
        return None
    found = layout.settings.get(SEARCH)
    return found if isinstance(found, dict) else {}


def update(connection: Connection, layout: Layout, **entries: Any) -> None:
    """Change entries of qadapt; an empty one is removed."""
    metadata = metadata_with(layout, {**layout.settings, **entries})
    doing = f"write settings of {layout.name!r}"
    connection.call(doing, layout.native.modify, metadata=metadata)
