"""Errors of chromadb, translated to those of qadapt.

Most come as InternalError or ChromaError, so the message decides
(docs/engines/chroma.md#errors).
"""

from __future__ import annotations

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
)
from qadapt.model.address import mask
from qadapt.stores.error_table import AnswerRule, by_table

OTHER_PROCESS = (
    "another process wrote to the folder, and the graph that this process has in memory lacks its "
    "rows: open the folder again, or let both use a server (chroma run --path DIR)"
)
LIMITS = "docs/chroma.md lists the limits of Chroma"
LISTED = "`qadapt inspect ADDRESS` lists the collections"
OPEN_ALREADY = (
    "the program has opened this folder with other settings: qa.wrap(client) uses its client"
)
WRITABLE = "Chroma writes to its folder even to read: give this user write permission"
START = "start the server (chroma run --path DIR --port PORT), or check the address"
_NETWORK = (
    "ConnectTimeout", "ReadTimeout", "WriteTimeout", "PoolTimeout", "ReadError", "WriteError",
    "RemoteProtocolError", "CloseError",
)  # fmt: skip
_DENIED = (r"\b401\b", r"\b403\b", "unauthorized", "forbidden", "permission denied")
_ARGUMENTS = (
    "InvalidArgumentError", "InvalidDimensionException", "DuplicateIDError",
    "BatchSizeExceededError",
)  # fmt: skip
_RULES: tuple[AnswerRule, ...] = (
    AnswerRule(BusyError, OTHER_PROCESS, words=("error finding id",)),
    AnswerRule(AlreadyExistsError, "choose another name, or drop it", words=("already exists$",)),
    AnswerRule(StoreError, OPEN_ALREADY, words=("already exists for .* with different settings",)),
    AnswerRule(UnreachableError, START, words=("could not connect", "connection refused")),
    AnswerRule(UnreachableError, START, names=("ConnectError",)),
    AnswerRule(UnreachableError, "check the server and the network", names=_NETWORK),
    AnswerRule(StorageError, WRITABLE, words=("readonly database", "permission denied.*os error")),
    AnswerRule(AuthError, "export CHROMA_API_KEY=...", words=_DENIED),
    AnswerRule(BusyError, "try again later", names=("RateLimitError",)),
    AnswerRule(BusyError, "another process writes to the folder", words=("database is locked",)),
    AnswerRule(StorageError, "free disk space", words=("disk is full", "no space left")),
    AnswerRule(
        StorageError,
        "check the free disk space, then write these rows again: some of them may be stored",
        words=("failed to apply logs",),
    ),
    AnswerRule(NotFoundError, LISTED, names=("NotFoundError",)),
    AnswerRule(NotFoundError, LISTED, words=("does not exist",)),
    AnswerRule(InputError, LIMITS, names=_ARGUMENTS),
)


def translate(error: Exception, doing: str) -> QadaptError:
    """The error of qadapt for one of the client.

    Args:
        doing: the attempted action, such as ``"write to 'articles'"``.
    """
    if isinstance(error, QadaptError):
        return error
    words = mask(str(error))
    message = f"could not {doing}: {words or type(error).__name__}"
    found = by_table(_RULES, message, words=words, name=type(error).__name__)
    return found or StoreError(message, hint=LIMITS)
