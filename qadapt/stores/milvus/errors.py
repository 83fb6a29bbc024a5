"""What pymilvus raises, as errors of qadapt: the one place where they are translated."""

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

NOT_FOUND, NOT_LOADED, NO_INDEX, RATE_LIMIT = 100, 101, 700, 8
NO_ALIAS = 1600
LOAD = (
    "load it: client.load_collection(name); after a restart the server does that by itself, within "
    "a minute or so: then do the same again"
)


class NotLoadedError(StoreError):
    """The collection is not loaded: Milvus searches and reads nothing of it."""


class TooLargeError(StoreError):
    """One request was larger than the server takes; a smaller one may do."""


def translate(error: Exception, doing: str, limit: int | None = None) -> QadaptError:
    """The error of qadapt for one of the client's.

    Args:
        doing: what was asked, for the message: ``"write to 'articles'"``.
        limit: seconds that it was given, for the message.
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
        return NotFoundError(message_text)
    if code == NOT_LOADED:
        return NotLoadedError(message_text, hint=LOAD)
    if code == RATE_LIMIT:
        return BusyError(
            message_text, hint="the server limits the rate of such requests; try later"
        )
    return _by_words(error, message_text)


def _status(error: Any) -> str | None:
    """The name of a gRPC status: of the error itself, or as its code after retries ran out."""
    code = getattr(error, "code", None)
    if callable(code):
        code = code()
    # pymilvus' own codes are an enum too.
    return str(getattr(code, "name", "")) if type(code).__name__ == "StatusCode" else None


def _words(error: Any) -> str:
    details = getattr(error, "details", None)
    text = details() if callable(details) else getattr(error, "message", None)
    return re.sub(r"\s+", " ", str(text or error)).strip()[:600]


def _by_status(status: str, words: str, doing: str) -> QadaptError:
    message_text = f"could not {doing}: {words or status}"
    if status == "DEADLINE_EXCEEDED":
        return StoreTimeoutError(message_text, hint="raise the limit with ?timeout=SECONDS")
    if status in ("UNAUTHENTICATED", "PERMISSION_DENIED"):
        return _auth(message_text)
    if status == "UNIMPLEMENTED":
        return UnsupportedError(message_text, hint="this version of Milvus does not have it")
    if status == "RESOURCE_EXHAUSTED":
        return TooLargeError(message_text, hint="send less at once: a server takes 64 MB")
    if status in ("UNAVAILABLE", "CANCELLED", "ABORTED"):
        return UnreachableError(
            message_text, hint="is the server up, and is this its gRPC port (19530)?"
        )
    return StoreError(message_text)


def _auth(message_text: str) -> AuthError:
    return AuthError(
        message_text, hint="give the key as MILVUS_TOKEN, QADAPT_API_KEY or ?key_env=NAME"
    )


def _by_words(error: Exception, message_text: str) -> QadaptError:
    low = message_text.lower()
    name = type(error).__name__
    if "already exist" in low:
        return AlreadyExistsError(message_text)
    if "auth check failure" in low or "unauthenticated" in low or "privilege" in low:
        return _auth(message_text)
    if "resource_exhausted" in low or "message larger than max" in low:
        return TooLargeError(message_text, hint="send less at once: a server takes 64 MB")
    if "retry timeout" in low or "timeout in " in low:
        return StoreTimeoutError(message_text, hint="raise the limit with ?timeout=SECONDS")
    if "fail connecting" in low or "illegal connection" in low or "unavailable" in low:
        return UnreachableError(
            message_text, hint="is the server up, and is this its gRPC port (19530)?"
        )
    if "not loaded" in low or "call load()" in low:
        return NotLoadedError(message_text, hint=LOAD)
    if "cannot parse expression" in low or "failed to create query plan" in low:
        return InputError(
            message_text, hint="is the filter right? it was sent as a Milvus expression"
        )
    if name in ("DataNotMatchException", "ParamError"):
        return InputError(message_text)
    if getattr(error, "retriable", False):
        return TransientError(message_text)
    return StoreError(message_text)
