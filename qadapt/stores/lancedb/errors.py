"""Errors of lancedb, translated to those of qadapt.

lancedb raises ValueError, RuntimeError and OSError, so the text of the message decides.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

from qadapt.errors import (
    AlreadyExistsError,
    AuthError,
    BusyError,
    InputError,
    NotFoundError,
    QadaptError,
    StorageError,
    StoreError,
    UnreachableError,
    UnsupportedError,
)
from qadapt.stores import error_table
from qadapt.stores.error_table import ErrorRule

CONFLICT = "another client changed the table at the same time; run it again"
_TEXTS: tuple[tuple[str, type[QadaptError], str], ...] = (
    ("commit conflict", BusyError, CONFLICT),
    ("too many concurrent writers", BusyError, CONFLICT),
    ("was not found", NotFoundError, "`qadapt inspect ADDRESS` lists the tables"),
    ("already exists", AlreadyExistsError, "choose another name"),
    (
        "invalid table name",
        InputError,
        "use letters, digits, '_', '-' and '.', such as 'articles'",
    ),
    ("contains nan", InputError, "remove the rows with NaN"),
    ("ambiguous merge", InputError, "write each id once"),
    (
        "no longer exists",
        StoreError,
        "the version was cleaned up; create a new plan with `qadapt plan`",
    ),
    ("permission denied", StorageError, "check the permissions of the folder"),
    ("read-only file system", StorageError, "open a folder that can be written to"),
    ("no space left", StorageError, "free disk space, then try again"),
    (
        "not found: ",
        StoreError,
        "another client may have removed old versions of the table; open the database again",
    ),
    ("unauthorized", AuthError, "set LANCEDB_API_KEY, or check the credentials of the bucket"),
    ("forbidden", AuthError, "check the permissions of the key or of the bucket"),
    ("access denied", AuthError, "check the permissions of the key or of the bucket"),
    ("error sending request", UnreachableError, "check the address and the network"),
    ("connection refused", UnreachableError, "check the address and the network"),
    ("dns error", UnreachableError, "check the host of the address"),
    ("not supported", UnsupportedError, "docs/lancedb.md lists the limits of LanceDB"),
    ("does not support", UnsupportedError, "docs/lancedb.md lists the limits of LanceDB"),
)
_RAISED = (ValueError, RuntimeError, OSError, NotImplementedError)
_RULES = (
    *(ErrorRule(each, raised, text, hint) for text, raised, hint in _TEXTS for each in _RAISED),
    ErrorRule(NotImplementedError, UnsupportedError, "", "LanceDB Cloud lacks some functions"),
    *(
        ErrorRule(each, StoreError, "", "docs/lancedb.md lists the limits of LanceDB")
        for each in _RAISED
    ),
)


def translated(doing: str) -> AbstractContextManager[None]:
    """Raise the errors of lancedb as errors of qadapt.

    Args:
        doing: the attempted action, such as ``"write to 'articles'"``.
    """
    return error_table.translated(_RULES, doing)
