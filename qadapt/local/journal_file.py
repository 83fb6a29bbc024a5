"""SQLite file of a journal, used for changes of collections and for migrations.

All records are in one table. A record has a kind, a key, a JSON value, and a checksum of the three.
The number of records of each kind is recorded too, so that missing records are detected. The first
records are the format of the journal and the version of qadapt that created it.

Each commit is durable (``synchronous=EXTRA``, which also syncs the folder). There is one file per
change and per migration, so that a damaged, locked or newer file does not affect others.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qadapt.durable import create_private
from qadapt.errors import BusyError, QadaptError, StorageError, StoreError
from qadapt.local.state import STATE_VARIABLE, private_folder, state_access
from qadapt.model.document_version import newer_version, of_newer_format
from qadapt.version import __version__

NAME = "journal.sqlite"
VALUE = "value"
_COUNT = "count"
_TABLE = """CREATE TABLE IF NOT EXISTS records (
  kind TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, sum INTEGER NOT NULL,
  PRIMARY KEY (kind, key)) WITHOUT ROWID"""
_PATIENCE = 10.0  # seconds to wait for the lock of another process
_SYNCHRONOUS = "EXTRA"
_MALFORMED = (sqlite3.Error, ValueError, TypeError, LookupError, ArithmeticError, RecursionError)

# Creates the error for a problem; the second argument is True if a newer qadapt wrote the file.
Damaged = Callable[[str, bool], QadaptError]


class JournalFile:
    """Open journal. Threads may share it; a forked process must open it again.

    Args:
        folder: folder of the file.
        format: format number of the journal; a file of a newer one is refused.
        damaged: creates the error for a file that cannot be used.
        create: create the folder and the file if they do not exist.
        wal: use a write-ahead log, which is faster for many commits. Otherwise, reading does not
            need write access.

    Raises:
        QadaptError: from ``damaged``: the file is missing, damaged or of another format.
        StorageError: the file cannot be read or written, or the disk is full.
        BusyError: another process holds the lock of the file for too long.
    """

    def __init__(
        self,
        folder: Path,
        format: int,
        damaged: Damaged,
        *,
        create: bool = False,
        wal: bool = False,
    ) -> None:
        self.path = folder / NAME
        self._format, self._damaged = format, damaged
        self._lock = threading.RLock()
        self._process = os.getpid()
        self._locate(folder, create)
        with self._translated():
            self._db = sqlite3.connect(
                f"{self.path.absolute().as_uri()}?mode=rw", uri=True, timeout=_PATIENCE,
                isolation_level=None, check_same_thread=False,
            )  # fmt: skip
        try:
            with self._translated():
                self._db.execute(f"PRAGMA synchronous={_SYNCHRONOUS}")
                if wal:
                    self._db.execute("PRAGMA journal_mode=WAL")
            self._prepare(create)
        except BaseException:
            self._db.close()
            raise

    def _locate(self, folder: Path, create: bool) -> None:
        if self.path.is_dir() or (os.path.lexists(folder) and not folder.is_dir()):
            raise self._damaged("it is not a file in a folder", False)
        if create:
            private_folder(folder)
        with state_access():
            try:
                exists = bool(self.path.stat())
            except FileNotFoundError:
                exists = False
            if create and not exists:
                os.close(create_private(self.path))  # SQLite gives its other files the same mode
        if not create and not exists:
            raise self._damaged(f"{NAME} does not exist", False)

    def _prepare(self, create: bool) -> None:
        """Check structure and format; an empty file gets its table and format."""
        with self._translated():
            check = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]
            tables = self._db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            names = {name for (name,) in tables.fetchall()}
        if check != "ok":
            raise self._damaged(str(check), False)
        if not names and create:
            with self.changing():
                self._db.execute(_TABLE)
                self.put(VALUE, self._first_values())
        elif "records" not in names:
            reason = "has the form of an earlier development version" if names else "is empty"
            raise self._damaged(f"{NAME} {reason}", False)
        header = self.header()
        if of_newer_format(header, self._format):
            raise self._damaged(newer_version(header, self._format) or "", True)
        if header["format"] != self._format:
            found = f"{NAME} has the format {header['format']!r:.20}"
            raise self._damaged(f"{found}; this version reads {self._format}", False)

    def _first_values(self) -> dict[str, Any]:
        return {"format": self._format, "qadapt": __version__}

    def header(self) -> dict[str, Any]:
        """Return ``format`` and ``qadapt``, the version that created the journal."""
        with self.reading():
            found = self._decoded(VALUE, "AND key IN ('format', 'qadapt')")
        return {"format": found.get("format"), "qadapt": found.get("qadapt")}

    def close(self) -> None:
        """Close the file; in a forked process, the file belongs to the parent."""
        if self._process == os.getpid():
            with self._lock:
                self._db.close()

    def __enter__(self) -> JournalFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- access ------------------------------------------------------------------------------

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Commit the changes in the block together, or none of them if it raises an error."""
        with self._transaction("BEGIN IMMEDIATE"):
            yield

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Read the same state throughout the block."""
        with self._transaction("BEGIN"):
            yield

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[None]:
        with self._translated(), self._lock:
            if self._db.in_transaction:  # the outer block commits
                yield
                return
            self._db.execute(begin)
            try:
                yield
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Convert errors of SQLite and of malformed records."""
        if self._process != os.getpid():
            raise StoreError(
                f"the journal {self.path} was opened before this process was forked",
                hint="open it in the child, or start processes with "
                'multiprocessing.get_context("spawn")',
            )
        try:
            yield
        except sqlite3.OperationalError as error:
            raise self._system_error(str(error)) or self._damaged(str(error), False) from error
        except _MALFORMED as error:
            raise self._damaged(str(error) or type(error).__name__, False) from error

    def _system_error(self, reason: str) -> QadaptError | None:
        """Error for a problem of the system; None if the file is damaged."""
        what = f"the journal {self.path} cannot be used: {reason}"
        if "locked" in reason:
            return BusyError(what, hint="wait for the other process, then run the command again")
        if "full" in reason or "disk I/O" in reason:
            return StorageError(what, hint="free disk space, then run the command again")
        # SQLite reports a missing permission, a limit of open files and a damaged header alike.
        try:
            os.close(os.open(self.path, os.O_RDWR))
            if not os.access(self.path.parent, os.W_OK):
                raise PermissionError(13, "the folder is read-only", str(self.path.parent))
        except OSError as error:
            hint = f"set {STATE_VARIABLE} to a writable folder"
            return StorageError.of(error, f"the journal {self.path} cannot be used", hint=hint)
        return None

    # -- records -----------------------------------------------------------------------------

    def put(self, kind: str, values: Mapping[str, Any]) -> None:
        """Write records in one transaction.

        Args:
            values: JSON values by key.
        """
        rows = [_encoded(kind, key, value) for key, value in values.items()]
        with self.changing():
            insert = "INSERT OR IGNORE INTO records VALUES (?, ?, ?, ?)"
            added = sum(self._db.execute(insert, row).rowcount for row in rows)
            replace = "INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?)"
            self._db.executemany(replace, rows)
            if added:
                self._db.execute(replace, _encoded(_COUNT, kind, self._count(kind) + added))

    def get(self, kind: str, key: str, default: Any = None) -> Any:
        """Read the value of one record; ``default`` if it was never written."""
        with self.reading():
            found = self._decoded(kind, "AND key = ?", key)
            return found[key] if key in found else self.all(kind).get(key, default)

    def all(self, kind: str) -> dict[str, Any]:
        """Read the values of a kind by key."""
        with self.reading():
            found, count = self._decoded(kind), self._count(kind)
            if len(found) != count:
                raise ValueError(f"{len(found)} of {count} records of the kind {kind!r} exist")
            return found

    def append(self, kind: str, *values: Any) -> None:
        """Append records to a list, whose keys are numbers from 0."""
        with self.changing():
            start = self._count(kind)
            self.put(kind, {str(at): value for at, value in enumerate(values, start)})

    def items(self, kind: str) -> list[Any]:
        """Read a list."""
        with self.reading():
            found = self.all(kind)
            return [found[str(at)] for at in range(len(found))]

    def _count(self, kind: str) -> int:
        count = self._decoded(_COUNT, "AND key = ?", kind).get(kind, 0)
        if type(count) is not int or count < 0:
            raise ValueError(f"the number of records of the kind {kind!r} is {count!r:.20}")
        return count

    def clear(self) -> None:
        """Delete all records but the format and the version."""
        with self.changing():
            self._db.execute("DELETE FROM records")
            self.put(VALUE, self._first_values())

    def _decoded(self, kind: str, where: str = "", *values: str) -> dict[str, Any]:
        query = f"SELECT key, value, sum FROM records WHERE kind = ? {where}"
        found = {}
        for key, text, checksum in self._db.execute(query, (kind, *values)).fetchall():
            if checksum != _checksum(kind, key, text):
                raise ValueError(f"the checksum of {kind} {key!r:.60} does not match")
            found[key] = json.loads(text)
        return found


def _encoded(kind: str, key: str, value: Any) -> tuple[str, str, str, int]:
    # ASCII, because file names in messages may not be valid UTF-8.
    text = json.dumps(value)
    return kind, key, text, _checksum(kind, key, text)


def _checksum(kind: str, key: str, text: str) -> int:
    return zlib.crc32("\0".join((kind, key, text)).encode())
