"""The journal of a migration: scan ranges, and the last row of each that the target acknowledged.

There is one SQLite file for each pair of collections, in the state folder. The entry of a range is
updated only after the target acknowledged a batch. After a crash, the last batch of each worker is
written again, to the same ids. The file uses WAL with ``synchronous=NORMAL``: it loses nothing when
the process is killed; after a power failure the last updates may be lost, and then a few more
batches are written again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
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
from qadapt.model.document_version import UPGRADE, newer_version, of_newer_format
from qadapt.stores.base import ScanRange
from qadapt.version import __version__

FORMAT = 1
# Messages of SQLite errors that do not mean a damaged file.
_NOT_DAMAGED = ("disk is full", "readonly", "locked")
_DAMAGED = (
    OSError, sqlite3.Error, ValueError, TypeError, LookupError, ArithmeticError, RecursionError,
)  # fmt: skip

_TABLES = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL, sum INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS scan_ranges (
  number INTEGER PRIMARY KEY, scan_range TEXT NOT NULL, after TEXT NOT NULL DEFAULT 'null',
  rows INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0,
  done INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS skipped (id TEXT PRIMARY KEY, reason TEXT NOT NULL);
"""


@dataclass(frozen=True)
class RangeProgress:
    """The progress of one scan range.

    Attributes:
        number: position in the journal.
        scan_range: as the store returned it.
        after: the last id that the target acknowledged; None for none yet.
        rows, bytes: acknowledged so far.
        done: whether the range was read to its end.
    """

    number: int
    scan_range: ScanRange
    after: Id | None
    rows: int
    bytes: int
    done: bool


def folder_of(source: tuple[Address, str], target: tuple[Address, str]) -> Path:
    """The folder of the journal of a pair of collections."""
    text = collection_key(*source) + collection_key(*target)
    return state_dir() / "migrations" / hashlib.sha256(text.encode()).hexdigest()[:24]


class Journal:
    """An open journal; threads may share it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        if folder.exists() and (self.path.is_dir() or not folder.is_dir()):
            raise self.damaged("it is not a file in a folder")
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
        """Turn the errors of a damaged file into one that names it; wraps file access only."""
        try:
            yield
        except sqlite3.OperationalError as error:
            if not any(word in str(error) for word in _NOT_DAMAGED):
                raise self.damaged(str(error)) from error
            raise StoreError(
                f"the journal {self.path} cannot be written: {error}",
                hint="free disk space or close other programs that use the file, then run the same "
                "command again to continue",
            ) from error
        except _DAMAGED as error:
            raise self.damaged(str(error) or type(error).__name__) from error

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / "journal.sqlite"

    def damaged(self, problem: str) -> IntegrityError:
        """The error for a damaged journal, with its path."""
        return IntegrityError(
            f"the journal {self.path} cannot be read: {problem}",
            hint="to copy from the beginning, drop the target and delete the journal's folder: "
            f"rm -r {shlex.quote(str(self.folder))}",
        )

    def _refuse_newer(self) -> None:
        origin = newer_version({key: self.get(key) for key in ("format", "qadapt")}, FORMAT)
        if origin is not None and of_newer_format({"format": self.get("format")}, FORMAT):
            raise IntegrityError(
                f"the journal of the migration in {self.folder} was {origin}", hint=UPGRADE
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

    # -- values ------------------------------------------------------------------------------

    def get(self, key: str, default: Any = None) -> Any:
        """A stored value."""
        with self._translated(), self._lock, closing(self._db.cursor()) as cursor:
            found = cursor.execute("SELECT value, sum FROM meta WHERE key = ?", (key,)).fetchone()
            if found is None:
                return default
            text, checksum = found
            if not isinstance(text, str) or zlib.crc32(text.encode()) != checksum:
                raise ValueError(f"the checksum of {key!r} does not match")
            return json.loads(text)

    def put(self, **values: Any) -> None:
        """Store values in one transaction."""
        with self._changing() as db:
            _put(db, values)

    # -- scan ranges -------------------------------------------------------------------------

    def begin(self, scan_ranges: Sequence[ScanRange], **values: Any) -> None:
        """Begin a migration, and delete the entries of an earlier one."""
        with self._changing() as db:
            db.execute("DELETE FROM scan_ranges")
            db.execute("DELETE FROM skipped")
            db.execute("DELETE FROM meta")
            for number, each in enumerate(scan_ranges):
                text = json.dumps(dict(each))
                db.execute(
                    "INSERT INTO scan_ranges (number, scan_range) VALUES (?, ?)", (number, text)
                )
            _put(db, {**values, "format": FORMAT, "qadapt": __version__})

    def ranges(self) -> list[RangeProgress]:
        """The progress of all scan ranges."""
        query = "SELECT number, scan_range, after, rows, bytes, done FROM scan_ranges"
        with self._translated(), self._lock, closing(self._db.cursor()) as cursor:
            return [_range_progress(*row) for row in cursor.execute(query).fetchall()]

    def range_progress(self, number: int) -> RangeProgress:
        """The progress of one scan range."""
        found = next((each for each in self.ranges() if each.number == number), None)
        if found is None:
            raise self.damaged(f"it has no scan range {number}")
        return found

    def rows(self) -> int:
        """Rows that the target acknowledged."""
        return sum(each.rows for each in self.ranges())

    def all_done(self) -> bool:
        """Whether all scan ranges were read to their ends."""
        return all(each.done for each in self.ranges())

    def acknowledge(
        self,
        number: int,
        after: Id,
        rows: int,
        size: int,
        skipped: Mapping[Id, str] | None = None,
        partition: str | None = None,
    ) -> None:
        """Record that a batch is written: the range continues behind ``after``.

        Args:
            skipped: the reason for each row that was not written, by source id.
            partition: the partition that these ids are unique in.
        """
        with self._changing() as db:
            db.execute(
                "UPDATE scan_ranges SET after = ?, rows = rows + ?, bytes = bytes + ? "
                "WHERE number = ?",
                (json.dumps(after), rows, size, number),
            )
            for key, reason in (skipped or {}).items():
                text = json.dumps(key if partition is None else [partition, key])
                db.execute("INSERT OR REPLACE INTO skipped VALUES (?, ?)", (text, reason))

    def finish(self, number: int) -> None:
        """Record that all rows of a scan range are written."""
        with self._changing() as db:
            db.execute("UPDATE scan_ranges SET done = 1 WHERE number = ?", (number,))

    def skipped(self) -> dict[tuple[str | None, Id], str]:
        """The reason for each row that was not written, by partition (or None) and id."""
        with self._translated(), self._lock, closing(self._db.cursor()) as cursor:
            rows = cursor.execute("SELECT id, reason FROM skipped").fetchall()
            return dict(_skipped(text, reason) for text, reason in rows)


def _put(db: sqlite3.Connection, values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        text = json.dumps(value)
        line = (key, text, zlib.crc32(text.encode()))
        db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?, ?)", line)


def _range_progress(
    number: Any, scan_range: Any, after: Any, rows: Any, size: Any, done: Any
) -> RangeProgress:
    """A row of the table, validated."""
    inside, last = json.loads(scan_range), json.loads(after)
    if not isinstance(inside, dict) or type(last) not in (int, str, type(None)):
        raise ValueError(f"scan range {number} is {scan_range!r:.60}, behind {after!r:.60}")
    if {type(number), type(rows), type(size), type(done)} != {int} or rows < 0 or size < 0:
        raise ValueError(f"scan range {number!r:.20} has {rows!r:.20} rows, {size!r:.20} bytes")
    return RangeProgress(number, inside, last, rows, size, bool(done))


def _skipped(text: Any, reason: Any) -> tuple[tuple[str | None, Id], str]:
    """A row of the table, validated."""
    key = json.loads(text)
    partition, row = key if isinstance(key, list) and len(key) == 2 else (None, key)
    if type(row) not in (int, str) or type(partition) not in (str, type(None)):
        raise ValueError(f"the id of a skipped row is {text!r:.60}")
    return (partition, row), str(reason)
