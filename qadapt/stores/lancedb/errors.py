"""Errors of lancedb, translated to those of qadapt.

lancedb raises ValueError, RuntimeError and OSError, so the text of the message decides.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

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
from qadapt.stores.error_table import AnswerRule, by_table

LIMITS = "docs/lancedb.md lists the limits of LanceDB"
CONFLICT = "another client changed the table at the same time; run it again"
_RULES = (
    AnswerRule(BusyError, CONFLICT, words=("commit conflict", "too many concurrent writers")),
    AnswerRule(
        NotFoundError, "`qadapt inspect ADDRESS` lists the tables", words=("was not found",)
    ),
    AnswerRule(AlreadyExistsError, "choose another name", words=("already exists",)),
    AnswerRule(
        InputError,
        "use letters, digits, '_', '-' and '.', such as 'articles'",
        words=("invalid table name",),
    ),
    AnswerRule(InputError, "remove the rows with NaN", words=("contains nan",)),
    AnswerRule(InputError, "write each id once", words=("ambiguous merge",)),
    AnswerRule(
        StoreError,
        "the version was cleaned up; create a new plan with `qadapt plan`",
        words=("no longer exists",),
    ),
    AnswerRule(StorageError, "check the permissions of the folder", words=("permission denied",)),
    AnswerRule(
        StorageError, "open a folder that can be written to", words=("read-only file system",)
    ),
    AnswerRule(StorageError, "free disk space, then try again", words=("no space left",)),
    AnswerRule(
        StoreError,
        "another client may have removed old versions of the table; open the database again",
        words=("not found: ",),
    ),
    AnswerRule(
        AuthError,
        "set LANCEDB_API_KEY, or check the credentials of the bucket",
        words=("unauthorized", "api_key is required", "tokenrequest", "azure account name"),
    ),
    AnswerRule(
        AuthError,
        "check the permissions of the key or of the bucket",
        words=("forbidden", "access denied"),
    ),
    AnswerRule(
        UnreachableError,
        "check the address and the network",
        words=("error sending request", "connection refused"),
    ),
    AnswerRule(UnreachableError, "check the host of the address", words=("dns error",)),
    AnswerRule(UnsupportedError, LIMITS, words=("not supported", "does not support")),
    AnswerRule(
        UnsupportedError,
        "LanceDB Cloud does not support this: use a folder or a bucket",
        names=("NotImplementedError",),
    ),
)
# NotImplementedError is a RuntimeError.
_RAISED = (ValueError, RuntimeError, OSError)


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raise the errors of lancedb as errors of qadapt.

    Args:
        doing: the attempted action, such as ``"write to 'articles'"``.
    """
    try:
        yield
    except QadaptError:
        raise
    except _RAISED as error:
        message = f"could not {doing}: {error}"
        found = by_table(_RULES, message, words=str(error), name=type(error).__name__)
        raise found or StoreError(message, hint=LIMITS) from error
