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
import shlex
import shutil
import sqlite3
import threading
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qadapt.durable import create_private
from qadapt.errors import IntegrityError, StoreError
from qadapt.local.state import collection_key, private_folder, state_access, state_dir
from qadapt.model import Id
from qadapt.model.address import Address
from qadapt.model.written import UPGRADE, newer, of_newer_format
from qadapt.stores.base import Part
from qadapt.version import __version__

FORMAT = 1
# Errors of SQLite that are not those of a damaged file.
_NOT_DAMAGED = ("disk is full", "readonly", "locked")
_DAMAGED = (
    OSError, sqlite3.Error, ValueError, TypeError, LookupError, ArithmeticError, RecursionError,
)  # fmt: skip

_TABLES = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL, sum INTEGER NOT NULL);
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
        if folder.exists() and (self.path.is_dir() or not folder.is_dir()):
            raise self.damaged("it is not a file in a folder of its own")
        private_folder(folder)
        with state_access():
            os.close(create_private(self.path))  # SQLite gives its other files the mode of this one
        with self._translated():
            self._db = sqlite3.connect(self.path, check_same_thread=False, isolation_level=None)
        try:
            with self._translated():
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.execute("PRAGMA synchronous=NORMAL")
                self._db.executescript(_TABLES)
            self._refuse_newer()
        except BaseException:
            self._db.close()
            raise

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn what a damaged file leads to into the error that names it. Nothing else inside."""
        try:
            yield
        except sqlite3.OperationalError as error:
            if not any(word in str(error) for word in _NOT_DAMAGED):
                raise self.damaged(str(error)) from error
            raise StoreError(
                f"the journal {self.path} cannot be written: {error}",
                hint="free the disk or the file, then run the same command again to go on",
            ) from error
        except _DAMAGED as error:
            raise self.damaged(str(error) or type(error).__name__) from error

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / "journal.sqlite"

    def damaged(self, problem: str) -> IntegrityError:
        """The error that names the journal."""
        return IntegrityError(
            f"the journal {self.path} cannot be read: {problem}",
            hint="delete its folder and drop the target, to copy from the beginning: "
            f"rm -r {shlex.quote(str(self.folder))}",
        )

    def _refuse_newer(self) -> None:
        told = newer({key: self.get(key) for key in ("format", "qadapt")}, FORMAT)
        if told is not None and of_newer_format({"format": self.get("format")}, FORMAT):
            raise IntegrityError(
                f"the journal of the migration in {self.folder} was {told}", hint=UPGRADE
            )

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        with self._translated(), self._lock:
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
        with self._translated(), self._lock, closing(self._db.cursor()) as cursor:
            found = cursor.execute("SELECT value, sum FROM meta WHERE key = ?", (key,)).fetchone()
            if found is None:
                return default
            text, checksum = found
            if not isinstance(text, str) or zlib.crc32(text.encode()) != checksum:
                raise ValueError(f"{key!r} has another checksum")
            return json.loads(text)

    def put(self, **values: Any) -> None:
        """Note values, all of them or none."""
        with self._changing() as db:
            _put(db, values)

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
            _put(db, {**values, "format": FORMAT, "qadapt": __version__})

    def stands(self) -> list[Stand]:
        """All parts."""
        with self._translated(), self._lock, closing(self._db.cursor()) as cursor:
            rows = cursor.execute("SELECT no, part, after, rows, bytes, done FROM parts").fetchall()
            return [_stand(*row) for row in rows]

    def stand(self, no: int) -> Stand:
        """One part."""
        found = next((each for each in self.stands() if each.no == no), None)
        if found is None:
            raise self.damaged(f"it has no part {no}")
        return found

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
        with self._translated(), self._lock, closing(self._db.cursor()) as cursor:
            rows = cursor.execute("SELECT id, why FROM left_out").fetchall()
            return dict(_left_out(text, why) for text, why in rows)


def _put(db: sqlite3.Connection, values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        text = json.dumps(value)
        line = (key, text, zlib.crc32(text.encode()))
        db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?, ?)", line)


def _stand(no: Any, part: Any, after: Any, rows: Any, size: Any, done: Any) -> Stand:
    """One part, as its line tells it."""
    within, last = json.loads(part), json.loads(after)
    if not isinstance(within, dict) or type(last) not in (int, str, type(None)):
        raise ValueError(f"part {no} is {part!r:.60}, behind {after!r:.60}")
    if {type(no), type(rows), type(size), type(done)} != {int} or rows < 0 or size < 0:
        raise ValueError(f"part {no!r:.20} has {rows!r:.20} rows, {size!r:.20} bytes")
    return Stand(no, within, last, rows, size, bool(done))


def _left_out(text: Any, why: Any) -> tuple[tuple[str | None, Id], str]:
    """A row that was not written, as its line tells it."""
    key = json.loads(text)
    within, row = key if isinstance(key, list) and len(key) == 2 else (None, key)
    if type(row) not in (int, str) or type(within) not in (str, type(None)):
        raise ValueError(f"a row left out is {text!r:.60}")
    return (within, row), str(why)


def forget(folder: Path) -> None:
    """Delete a journal, if there is one."""
    if folder.exists():
        shutil.rmtree(folder)
