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
from qadapt.stores.error_table import AnswerRule, by_table

BUSY = (
    "another connection is writing, and SQLite allows one writer at a time: end its transaction "
    "(`fuser FILE` lists the processes), or wait longer with ?timeout=SECONDS in the address"
)
_RULES = (
    AnswerRule(BusyError, BUSY, words=("database is locked", "table is locked")),
    AnswerRule(
        UnsupportedError,
        "load the extension into the connection: sqlite_vec.load(connection)",
        words=("such module: vec0",),
    ),
    AnswerRule(
        UnsupportedError,
        "a newer version of sqlite-vec created the table: pip install --upgrade sqlite-vec",
        words=("could not parse vector column",),
    ),
    AnswerRule(AlreadyExistsError, "choose another name", words=("already exists",)),
    AnswerRule(
        NotFoundError,
        "`qadapt inspect ADDRESS` lists the tables with vectors",
        words=("such table",),
    ),
    AnswerRule(
        StorageError,
        "open the file with write permission for the file and its folder",
        words=("readonly database",),
    ),
    AnswerRule(
        StorageError, "check the path and the permissions of its folder", words=("unable to open",)
    ),
    AnswerRule(StorageError, "free disk space, then try again", words=("disk is full",)),
    AnswerRule(
        StorageError, "check the disk and the free space, then try again", words=("disk i/o error",)
    ),
    AnswerRule(
        IntegrityError,
        "check the path: the file is not a SQLite database",
        words=("not a database",),
    ),
    AnswerRule(
        IntegrityError,
        "restore the file from a backup: PRAGMA integrity_check",
        words=("malformed",),
    ),
    AnswerRule(
        StoreError,
        "open the connection with check_same_thread=False, or use it in one thread",
        words=("created in a thread",),
    ),
    AnswerRule(
        InputError, "use vectors with the dimensions of the column", words=("dimension mismatch",)
    ),
    AnswerRule(InputError, "the id exists already", words=("unique constraint",)),
    AnswerRule(
        InputError,
        "metadata columns accept values of their type only, and no null",
        words=("expected ",),
    ),
    AnswerRule(StoreError, "run it again", words=("interrupted",)),
)


def translate(error: Exception, doing: str) -> QadaptError:
    """The error of qadapt for one of sqlite3.

    Args:
        doing: the attempted action, such as ``"write to 'articles'"``.
    """
    message = f"could not {doing}: {error}"
    found = by_table(_RULES, message, words=str(error))
    return found or StoreError(message, hint="docs/sqlite-vec.md lists the limits of sqlite-vec")


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
