"""The header of Chroma's HNSW graph in a folder: the parameters with which it was built.

Chroma writes the files after 1,000 rows (``sync_threshold``)
(docs/engines/chroma.md#files).
"""

from __future__ import annotations

import sqlite3
import struct
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

# Version; offset, capacity, rows, bytes of a row, places of its label and vector; highest level,
# its first row; links on upper levels, on level 0, and as requested; factor of levels; candidates
# of the construction.
_HEADER = struct.Struct("<IQQQQQQiIQQQdQ")
_QUERY = "SELECT id FROM segments WHERE collection = ? AND scope = 'VECTOR'"


@dataclass(frozen=True)
class GraphFile:
    """The graph of a collection on disk.

    Attributes:
        rows: rows in the files; later rows are in memory only.
        max_neighbors: links of a row on each level but the lowest, which has twice as many.
        size: bytes of all files of the graph, vectors included.
    """

    rows: int
    max_neighbors: int
    size: int


def read(folder: Path | None, uuid: str) -> GraphFile | None:
    """The graph of a collection; None without files of the known layout."""
    segment = None if folder is None else _segment(folder, uuid)
    if folder is None or segment is None:
        return None
    place = folder / segment
    try:
        content = (place / "header.bin").read_bytes()
        size = sum(file.stat().st_size for file in place.iterdir())
    except OSError:
        return None
    if len(content) != _HEADER.size:
        return None
    fields = _HEADER.unpack(content)
    return GraphFile(rows=fields[3], max_neighbors=fields[11], size=size)


def _segment(folder: Path, uuid: str) -> str | None:
    file = f"file:{quote(str(folder / 'chroma.sqlite3'))}?mode=ro"
    try:
        with closing(sqlite3.connect(file, uri=True, timeout=1)) as at:
            row = at.execute(_QUERY, (uuid,)).fetchone()
    except sqlite3.Error:
        return None
    return None if row is None else str(row[0])
