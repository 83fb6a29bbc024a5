"""Translate the exceptions of pymilvus to the errors of qadapt."""

from __future__ import annotations

import re
from typing import Any

from qadapt.errors import (
    AlreadyExistsError,
    AuthError,
    BusyError,
    InputError,
    NotFoundError,
    QadaptError,
    StoreError,
    StoreTimeoutError,
    TransientError,
    UnreachableError,
    UnsupportedError,
)
from qadapt.stores.error_table import SERVER_LOG, AnswerRule, TooLargeError, by_table

NOT_FOUND, NOT_LOADED, NO_INDEX, RATE_LIMIT = 100, 101, 700, 8
NO_ALIAS = 1600
LOAD = (
    "load it with client.load_collection(name); after a restart the server loads it within about a "
    "minute: then retry"
)


class NotLoadedError(StoreError):
    """The collection is not loaded, so Milvus can neither search nor read it."""


_KEY = "set the key with MILVUS_TOKEN, QADAPT_API_KEY or ?key_env=NAME"
_LESS = "write smaller batches: a server accepts 64 MB per request"
_SLOW = "raise the time limit with ?timeout=SECONDS"
_UP = "check that the server is running and that this is its gRPC port (19530)"
_TAKEN = "choose another name, or drop it first"
MISSING = "`qadapt inspect` lists the collections of the database"
SPACE = "free space on the disk of the database, then repeat the command"
_STATUSES = (
    AnswerRule(StoreTimeoutError, _SLOW, ("DEADLINE_EXCEEDED",)),
    AnswerRule(AuthError, _KEY, ("UNAUTHENTICATED", "PERMISSION_DENIED")),
    AnswerRule(UnsupportedError, "this version of Milvus does not support it", ("UNIMPLEMENTED",)),
    AnswerRule(TooLargeError, _LESS, ("RESOURCE_EXHAUSTED",)),
    AnswerRule(UnreachableError, _UP, ("UNAVAILABLE", "CANCELLED", "ABORTED")),
)
_WORDS = (
    AnswerRule(StoreError, SPACE, words=("no space left on device",)),
    AnswerRule(AlreadyExistsError, _TAKEN, words=("already exist",)),
    AnswerRule(AuthError, _KEY, words=("auth check failure", "unauthenticated", "privilege")),
    AnswerRule(TooLargeError, _LESS, words=("resource_exhausted", "message larger than max")),
    AnswerRule(StoreTimeoutError, _SLOW, words=("retry timeout", "timeout in ")),
    AnswerRule(
        UnreachableError, _UP, words=("fail connecting", "illegal connection", "unavailable")
    ),
    AnswerRule(NotLoadedError, LOAD, words=("not loaded", r"call load\(\)")),
    AnswerRule(
        InputError,
        "check the filter, which was sent as a Milvus expression",
        words=("cannot parse expression", "failed to create query plan"),
    ),
    AnswerRule(
        InputError,
        "correct the value that the message names",
        names=("DataNotMatchException", "ParamError"),
    ),
)


def translate(error: Exception, doing: str, limit: int | None = None) -> QadaptError:
    """The qadapt error for a client exception.

    Args:
        doing: the action, for the message: ``"write to 'articles'"``.
        limit: the time limit in seconds, for the message.
    """
    if isinstance(error, QadaptError):
        return error
    status = _status(error)
    if status is not None:
        if status == "DEADLINE_EXCEEDED" and limit is not None:
            doing = f"{doing} within {limit} s"
        return _by_status(status, _words(error), doing)
    message_text = f"could not {doing}: {_words(error)}"
    code = getattr(error, "code", None)
    if code in (NOT_FOUND, NO_ALIAS):
        return NotFoundError(message_text, hint=MISSING)
    if code == NOT_LOADED:
        return NotLoadedError(message_text, hint=LOAD)
    if code == RATE_LIMIT:
        return BusyError(
            message_text, hint="the server limits the rate of these requests: try again later"
        )
    return _by_words(error, message_text)


def _status(error: Any) -> str | None:
    """The gRPC status of an exception, or of its code after the last retry."""
    code = getattr(error, "code", None)
    if callable(code):
        code = code()
    # The codes of pymilvus are an enum too.
    return str(getattr(code, "name", "")) if type(code).__name__ == "StatusCode" else None


def _words(error: Any) -> str:
    details = getattr(error, "details", None)
    text = details() if callable(details) else getattr(error, "message", None)
    return re.sub(r"\s+", " ", str(text or error)).strip()[:600]


def _by_status(status: str, words: str, doing: str) -> QadaptError:
    message_text = f"could not {doing}: {words or status}"
    return by_table(_STATUSES, message_text, status=status) or StoreError(
        message_text, hint=SERVER_LOG
    )


def _by_words(error: Exception, message_text: str) -> QadaptError:
    found = by_table(_WORDS, message_text, words=message_text, name=type(error).__name__)
    if found is not None:
        return found
    return (
        TransientError(message_text, hint=SERVER_LOG)
        if getattr(error, "retriable", False)
        else StoreError(message_text, hint=SERVER_LOG)
    )
