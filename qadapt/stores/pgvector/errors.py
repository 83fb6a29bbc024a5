"""Errors of psycopg, translated to those of qadapt by SQLSTATE.

https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from qadapt.errors import (
    AlreadyExistsError,
    AuthError,
    BusyError,
    InputError,
    NotFoundError,
    QadaptError,
    ReadOnlyError,
    StoreError,
    StoreTimeoutError,
    UnreachableError,
    UnsupportedError,
)
from qadapt.model.masking import mask

_DENIED = re.compile(r"permission denied for (table|view|materialized view|schema) (\S+)")
_Rule = tuple[type[QadaptError], str]

# By SQLSTATE, or by its class (the first two characters).
_RULES: dict[str, _Rule] = {
    "28": (
        AuthError,
        "set PGPASSWORD, use a password file (~/.pgpass), or write postgresql://user@host/database",
    ),
    "3D000": (NotFoundError, "`psql -l` lists the databases of a server"),
    "42501": (AuthError, "connect as the owner of the table"),
    "42P01": (NotFoundError, "`qadapt inspect URL` lists the tables with vectors"),
    "42P07": (AlreadyExistsError, "choose another name"),
    "42883": (UnsupportedError, "upgrade pgvector: ALTER EXTENSION vector UPDATE"),
    "42704": (UnsupportedError, "upgrade pgvector: ALTER EXTENSION vector UPDATE"),
    "25006": (
        ReadOnlyError,
        "this server is read-only, such as a replica; run the command on the primary server",
    ),
    "53": (StoreError, "free disk space, memory or connections on the server, then try again"),
    "55P03": (BusyError, "another transaction holds a lock on the table; try again"),
    "40": (BusyError, "another transaction changed the same rows; try again"),
    "57014": (StoreTimeoutError, "raise the time limit (--timeout, or statement_timeout)"),
    "25P04": (StoreTimeoutError, "raise transaction_timeout of the server or of the role"),
    "57P": (
        UnreachableError,
        "the server starts or stops, or an administrator ended the connection; try again",
    ),
    "08": (UnreachableError, "check that the server runs and accepts connections"),
    "23": (InputError, "the table has a constraint that the row violates"),
}


def translate(error: Any, doing: str) -> QadaptError:
    """The error of qadapt for one of psycopg.

    Args:
        doing: the attempted action, such as ``"write to 'articles'"``.
    """
    state = str(getattr(error, "sqlstate", None) or "")
    words = mask(" ".join(str(error).split()))
    message = f"could not {doing}: {words}"
    if state == "22000" and "dimensions" in words:
        return InputError(message, hint="use vectors with the dimensions of the column")
    if state in ("22023", "42704") and "snapshot" in words:
        return StoreError(message, hint="the exporting connection was closed; run it again")
    denied = _DENIED.search(words)
    if state == "42501" and denied is not None:
        kind = denied[1]
        needed = "CREATE" if kind == "schema" else _privileges(doing)
        grant = f"GRANT {needed} ON {kind} {denied[2]} TO ..."
        return AuthError(message, hint=f"connect as the owner, or ask the owner for: {grant}")
    if state.startswith("22"):
        return InputError(message, hint="check the values of the row")
    for length in (5, 3, 2):
        if state[:length] in _RULES and state:
            kind, hint = _RULES[state[:length]]
            return kind(message, hint=hint)
    if not state and type(error).__name__ == "OperationalError":
        return _connection_error(message, words)
    return StoreError(message, hint="the log of the server has more details")


def _privileges(doing: str) -> str:
    """The privileges of a table that an action needs."""
    if doing.startswith("write to"):
        return "SELECT, INSERT, UPDATE"
    return "SELECT, DELETE" if doing.startswith("delete") else "SELECT"


def _connection_error(message: str, words: str) -> QadaptError:
    """The error of a connection that failed before the server sent a SQLSTATE."""
    low = words.lower()
    if "password" in low or "authentication" in low or "pg_hba" in low:
        return AuthError(message, hint=_RULES["28"][1])
    if "does not exist" in low and "database" in low:
        return NotFoundError(message, hint=_RULES["3D000"][1])
    if "service" in low or "certificate" in low or "ssl" in low:
        return UnreachableError(message, hint="check the options of the address and the server's")
    return UnreachableError(message, hint=_RULES["08"][1])


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raise the errors of psycopg as errors of qadapt."""
    import psycopg

    try:
        yield
    except psycopg.Error as error:
        raise translate(error, doing) from error
