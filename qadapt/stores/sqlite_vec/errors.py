"""Errors of sqlite3, translated to those of qadapt."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from qadapt.errors import (
    AlreadyExistsError,
    BusyError,
    InputError,
    IntegrityError,
    NotFoundError,
    QadaptError,
    StorageError,
    StoreError,
    UnsupportedError,
)

BUSY = (
    "another connection is writing, and SQLite allows one writer at a time: end its transaction "
    "(`fuser FILE` lists the processes), or wait longer with ?timeout=SECONDS in the address"
)
# Parts of a message in lower case, with the error and what to do next. The first match counts.
_RULES: tuple[tuple[str, type[QadaptError], str], ...] = (
    ("database is locked", BusyError, BUSY),
    ("table is locked", BusyError, BUSY),
    (
        "such module: vec0",
        UnsupportedError,
        "load the extension into the connection: sqlite_vec.load(connection)",
    ),
    (
        "could not parse vector column",
        UnsupportedError,
        "a newer version of sqlite-vec created the table: pip install --upgrade sqlite-vec",
    ),
    ("already exists", AlreadyExistsError, "choose another name"),
    ("such table", NotFoundError, "`qadapt inspect ADDRESS` lists the tables with vectors"),
    (
        "readonly database",
        StorageError,
        "open the file with write permission for the file and its folder",
    ),
    ("unable to open", StorageError, "check the path and the permissions of its folder"),
    ("disk is full", StorageError, "free disk space, then try again"),
    ("disk i/o error", StorageError, "check the disk and the free space, then try again"),
    ("not a database", IntegrityError, "check the path: the file is no SQLite database"),
    ("malformed", IntegrityError, "restore the file from a backup: PRAGMA integrity_check"),
    (
        "created in a thread",
        StoreError,
        "open the connection with check_same_thread=False, or use it in one thread",
    ),
    ("dimension mismatch", InputError, "use vectors with the dimensions of the column"),
    ("unique constraint", InputError, "the id exists already"),
    ("expected ", InputError, "metadata columns accept values of their type only, and no null"),
    ("interrupted", StoreError, "run it again"),
)


def translate(error: Exception, doing: str) -> QadaptError:
    """The error of qadapt for one of sqlite3.

    Args:
        doing: the attempted action, such as ``"write to 'articles'"``.
    """
    words = str(error)
    low = words.lower()
    for part, kind, hint in _RULES:
        if part in low:
            return kind(f"could not {doing}: {words}", hint=hint)
    return StoreError(
        f"could not {doing}: {words}", hint="docs/sqlite-vec.md lists the limits of sqlite-vec"
    )


def classes() -> tuple[type[Exception], ...]:
    """The base classes of errors of the imported SQLite packages."""
    found: list[type[Exception]] = [sqlite3.Error]
    other = sys.modules.get("pysqlite3")
    if other is not None:
        found.append(other.Error)
    return tuple(found)


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raise the errors of sqlite3 as errors of qadapt."""
    try:
        yield
    except classes() as error:
        raise translate(error, doing) from error
