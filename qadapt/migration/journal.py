"""The journal of a migration: parts, and how far each was acknowledged by the target.

One SQLite file a pair of collections, in the state folder. A part's line is moved on only after
the target said that a batch is written, so what a crash leaves is at most written again, to the
same ids. WAL with ``synchronous=NORMAL``: nothing is lost when the process is killed; when the
machine loses its power the last lines may be, and then a few more batches are written again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qadapt.durable import create_private, private_folder
from qadapt.errors import IntegrityError
from qadapt.local.state import collection_key, state_access, state_dir
from qadapt.model import Id
from qadapt.model.address import Address
from qadapt.stores.base import Part

_TABLES = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS parts (
  no INTEGER PRIMARY KEY, part TEXT NOT NULL, after TEXT NOT NULL DEFAULT 'null',
  rows INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0,
  done INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS left_out (id TEXT PRIMARY KEY, why TEXT NOT NULL);
"""


@dataclass(frozen=True)
class Stand:
    """How far one part is.

    Attributes:
        no: its number.
        part: as the store gave it.
        after: the last id that the target acknowledged; None for none yet.
        rows, bytes: acknowledged so far.
        done: whether it was read to its end.
    """

    no: int
    part: Part
    after: Id | None
    rows: int
    bytes: int
    done: bool


def folder_of(source: tuple[Address, str], target: tuple[Address, str]) -> Path:
    """Where the journal of a pair of collections lies."""
    text = collection_key(*source) + collection_key(*target)
    return state_dir() / "migrations" / hashlib.sha256(text.encode()).hexdigest()[:24]


class Journal:
    """An open journal; threads may share it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        path = folder / "journal.sqlite"
        with state_access():
            private_folder(folder)
            os.close(create_private(path))  # SQLite gives its other files the mode of this one
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        try:
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.executescript(_TABLES)
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise IntegrityError(
                f"the journal {path} cannot be read: {error}",
                hint="delete its folder to copy from the beginning; what is there stays",
            ) from error

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    # -- what is noted -----------------------------------------------------------------------

    def get(self, key: str, default: Any = None) -> Any:
        """A noted value."""
        with self._lock, closing(self._db.cursor()) as cursor:
            row = cursor.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return default if row is None else json.loads(row[0])

    def put(self, **values: Any) -> None:
        """Note values, all of them or none."""
        with self._changing() as db:
            for key, value in values.items():
                text = json.dumps(value, ensure_ascii=False)
                db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, text))

    # -- parts -------------------------------------------------------------------------------

    def begin(self, parts: Sequence[Part], **values: Any) -> None:
        """Note the parts and how it began; what an earlier migration left is forgotten."""
        with self._changing() as db:
            db.execute("DELETE FROM parts")
            db.execute("DELETE FROM left_out")
            db.execute("DELETE FROM meta")
            for no, part in enumerate(parts):
                text = json.dumps(dict(part))
                db.execute("INSERT INTO parts (no, part) VALUES (?, ?)", (no, text))
            for key, value in values.items():
                text = json.dumps(value, ensure_ascii=False)
                db.execute("INSERT INTO meta VALUES (?, ?)", (key, text))

    def stands(self) -> list[Stand]:
        """All parts."""
        with self._lock, closing(self._db.cursor()) as cursor:
            rows = cursor.execute("SELECT no, part, after, rows, bytes, done FROM parts").fetchall()
        return [
            Stand(no, json.loads(part), json.loads(after), count, size, bool(done))
            for no, part, after, count, size, done in rows
        ]

    def stand(self, no: int) -> Stand:
        """One part."""
        return next(each for each in self.stands() if each.no == no)

    def acknowledge(
        self,
        no: int,
        after: Id,
        rows: int,
        size: int,
        left_out: Mapping[Id, str] | None = None,
        within: str | None = None,
    ) -> None:
        """A batch is written: the part goes on behind ``after``.

        Args:
            left_out: source ids of rows that were not written, and why.
            within: the tenant or partition that these ids are unique in.
        """
        with self._changing() as db:
            db.execute(
                "UPDATE parts SET after = ?, rows = rows + ?, bytes = bytes + ? WHERE no = ?",
                (json.dumps(after), rows, size, no),
            )
            for key, why in (left_out or {}).items():
                text = json.dumps(key if within is None else [within, key])
                db.execute("INSERT OR REPLACE INTO left_out VALUES (?, ?)", (text, why))

    def done(self, no: int) -> None:
        """A part was read to its end, and all of it is written."""
        with self._changing() as db:
            db.execute("UPDATE parts SET done = 1 WHERE no = ?", (no,))

    def left_out(self) -> dict[tuple[str | None, Id], str]:
        """Rows that were not written, and why: by tenant or partition (or None), and id."""
        with self._lock, closing(self._db.cursor()) as cursor:
            rows = cursor.execute("SELECT id, why FROM left_out").fetchall()
        found: dict[tuple[str | None, Id], str] = {}
        for text, why in rows:
            key = json.loads(text)
            found[tuple(key) if isinstance(key, list) else (None, key)] = why
        return found


def forget(folder: Path) -> None:
    """Delete a journal, if there is one."""
    if folder.exists():
        shutil.rmtree(folder)
