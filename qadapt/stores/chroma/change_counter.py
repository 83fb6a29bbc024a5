"""The sequence number of a collection, in the SQLite file of an embedded database.

Each row that is written, and each id of a deletion, takes the next number of the folder. The table
``max_seq_id`` has the last one of each segment; that of the metadata segment moves with the call
(docs/engines/chroma.md#sequence-numbers). A server does not report it.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from qadapt.stores.change_counter import ChangeCounter

NAME = "sequence number"
_QUERY = (
    "SELECT m.seq_id FROM segments AS s JOIN max_seq_id AS m ON m.segment_id = s.id "
    "WHERE s.collection = ? AND s.scope = 'METADATA'"
)


def read(folder: Path | None, uuid: str) -> ChangeCounter | None:
    """The counter of a collection; None without a folder, or if the file has another layout."""
    if folder is None:
        return None
    file = f"file:{quote(str(folder / 'chroma.sqlite3'))}?mode=ro"
    try:
        with closing(sqlite3.connect(file, uri=True, timeout=1)) as at:
            row = at.execute(_QUERY, (uuid,)).fetchone()
    except sqlite3.Error:
        # Without a counter, a sample of rows is compared instead.
        return None
    number = int(row[0]) if row is not None else 0
    return ChangeCounter(NAME, f"{uuid}/{number}", number=number)
