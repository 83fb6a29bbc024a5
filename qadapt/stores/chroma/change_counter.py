"""The sequence number of a collection, in the SQLite file of an embedded database.

Each row that is written, and each id of a deletion, takes the next number of the folder. The table
``max_seq_id`` has the last one of each segment; that of the metadata segment moves with the call
(docs/engines/chroma.md#sequence-numbers). A server does not report it.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
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


OTHER_CLIENT = (
    "another client wrote to the folder; if it is another process, the graph in memory lacks its "
    "rows: open the folder again"
)


class ForeignWrites:
    """Detects rows of other clients that the graph in memory of this process may lack.

    Args:
        folder: None for a server, whose searches find all rows.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._file = None if folder is None else str(folder / "chroma.sqlite3")
        self._lock = threading.Lock()
        self._known: dict[str, ChangeCounter | None] = {}
        # Of each collection: the state of the file, and the note for it.
        self._notes: dict[str, tuple[tuple[int, int], tuple[str, ...]]] = {}

    @contextmanager
    def writing(self, uuid: str) -> Iterator[None]:
        """A write of this process, after which the graph has the rows of all clients."""
        if self._folder is None:
            yield
            return
        with self._lock:
            try:
                yield
            finally:
                self._known[uuid] = read(self._folder, uuid)
                self._notes.pop(uuid, None)

    def notes(self, uuid: str) -> tuple[str, ...]:
        """The note for a search; empty if no other client wrote since the first one."""
        if self._file is None:
            return ()
        try:
            found = os.stat(self._file)
        except OSError:
            return ()
        state = (found.st_mtime_ns, found.st_size)
        last = self._notes.get(uuid)
        if last is not None and last[0] == state:
            return last[1]
        with self._lock:  # a write of this process has ended
            now = read(self._folder, uuid)
            known = self._known.setdefault(uuid, now)
            differs = None not in (now, known) and now != known
            made = (OTHER_CLIENT,) if differs else ()
            self._notes[uuid] = (state, made)
            return made
