"""Conversion of errors of the client, gRPC and httpx to qadapt's, and retries.

Texts and codes are those of server 1.39.0 (docs/engines/weaviate.md#errors). Only transient errors
are retried, a limited number of times, and only for idempotent requests.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, TypeVar

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
from qadapt.stores import retry
from qadapt.stores.error_table import SERVER_LOG, AnswerRule, TooLargeError, by_table

T = TypeVar("T")

_READ_ONLY = "store is read-only"
_UPDATING = r"update\s*vector\s*index\s*config"
_GRPC_STATUS = {
    "INVALID_ARGUMENT": 422,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "RESOURCE_EXHAUSTED": 413,
    "INTERNAL": 422,
    "UNKNOWN": 422,
    "UNIMPLEMENTED": 501,
}


class CompressingError(BusyError):
    """A shard trains or writes its codes, and refuses writes and changes until it is done."""


_KEY = "set the key in WEAVIATE_API_KEY or QADAPT_API_KEY, or name its variable: ?key_env=NAME"
_TAKEN = "choose another name, or drop it first"
_GONE = "`qadapt inspect` lists the collections of the database"
_LESS = "send smaller batches"
_STATUSES = (
    AnswerRule(AuthError, _KEY, (401,)),
    AnswerRule(AuthError, "the key has no permission for this", (403,)),
    AnswerRule(AlreadyExistsError, _TAKEN, (409,)),
    AnswerRule(TooLargeError, _LESS, (413,)),
    AnswerRule(BusyError, "the server limits the rate of requests; try again later", (429,)),
    AnswerRule(UnsupportedError, "this version of Weaviate does not support it", (405, 501)),
)
_WORDS = (
    AnswerRule(
        CompressingError,
        "the shard is building codes, which blocks writes: try again when it is done",
        # Up to 1.35 without spaces: UpdateVectorIndexConfig.
        words=(f"(?s){_READ_ONLY}.*{_UPDATING}", f"(?s){_UPDATING}.*{_READ_ONLY}"),
    ),
    AnswerRule(
        CompressingError,
        "the disk may be full, or the shard was set read-only by hand: check its status",
        words=(_READ_ONLY,),
    ),
    AnswerRule(AuthError, _KEY, words=("unauthorized", "anonymous access not enabled")),
    AnswerRule(
        NotFoundError,
        _GONE,
        words=(
            "could not find class",
            r"class \S+ (not found|does not exist)",
            "class does not exist",  # 1.35.23, of an alias to nothing
            "could not find collection",
            "tenant not found",
        ),
    ),
    AnswerRule(AlreadyExistsError, _TAKEN, words=("already exists",)),
    AnswerRule(
        StoreError,
        "activate the tenant first, or set autoTenantActivation on the collection",
        words=("tenant not active",),
    ),
    AnswerRule(
        InputError,
        "add the tenant to the collection's name: NAME@TENANT",
        words=("multi-tenancy enabled, but request was without tenant",),
    ),
    AnswerRule(
        InputError,
        "remove the tenant from the collection's name",
        words=("multi-tenancy disabled, but request was with tenant",),
    ),
    AnswerRule(
        InputError,
        "check that the same model produced the stored and the given vectors",
        words=("vector lengths don't match", "do not match the index dimensions"),
    ),
    AnswerRule(
        InputError,
        "QUERY_MAXIMUM_RESULTS of the server limits the results of one search",
        words=("query maximum results exceeded",),
    ),
    AnswerRule(TooLargeError, _LESS, words=("message larger than max", "resource_exhausted")),
    AnswerRule(
        StoreTimeoutError, "raise the limit with ?timeout=SECONDS", words=("deadline exceeded",)
    ),
)


def translate(error: Exception, doing: str) -> QadaptError:
    """The error of qadapt for an error of the client, gRPC or httpx.

    Args:
        doing: the action, for the message: ``"write to 'Articles'"``.
    """
    if isinstance(error, QadaptError):
        return error
    name = type(error).__name__
    if callable(getattr(error, "code", None)) and callable(getattr(error, "details", None)):
        return _by_grpc(error, doing)
    if hasattr(error, "status_code"):
        return by_status(int(error.status_code), _words(error), doing)
    if name in ("WeaviateInvalidInputError", "WeaviateInsertInvalidPropertyError"):
        return InputError(
            f"could not {doing}: {_words(error)}", hint="correct the value that the message names"
        )
    if name == "WeaviateUnsupportedFeatureError" or "is not supported. Please use" in str(error):
        return UnsupportedError(
            f"could not {doing}: {_words(error)}",
            hint="upgrade the server, or install the client version for it",
        )
    if name == "WeaviateClosedClientError":
        return closed(doing)
    if "Timeout" in name:
        return _timed_out(doing)
    if name in ("WeaviateConnectionError", "WeaviateStartUpError", "ConnectError"):
        return UnreachableError(
            f"could not {doing}: {_cause(error)}",
            hint="check that the server runs, and that this is its REST port (8080 by default)",
        )
    if name in ("RemoteProtocolError", "ReadError", "WriteError", "CloseError"):
        return UnreachableError(
            f"could not {doing}: the connection broke: {_words(error) or name}",
            hint="the server stopped, or this is its gRPC port; the REST port is 8080 by default",
        )
    if name == "WeaviateGRPCUnavailableError":
        return _no_grpc(doing, "no gRPC server answers there")
    return by_words(_words(error) or name, f"could not {doing}: {_words(error) or name}")


def closed(doing: str) -> StoreError:
    """The error for a closed client."""
    return StoreError(f"could not {doing}: the client is closed", hint="open the database again")


def by_status(status: int, text: str, doing: str) -> QadaptError:
    """The error for an HTTP status and the server's message."""
    words = _message(text) or f"status {status}"
    message_text = f"could not {doing}: {words}"
    found = by_table(_STATUSES, message_text, status=status)
    if found is not None:
        return found
    if status in (408, 504):
        return _timed_out(doing)
    found = by_words(words, message_text)
    if type(found) is not StoreError:
        return found
    if status == 404:
        return NotFoundError(message_text, hint=_GONE)
    if status in (502, 503):
        return TransientError(message_text, hint=SERVER_LOG)
    return found


def by_words(words: str, message_text: str) -> QadaptError:
    """The error for the server's message; the status is not specific: mostly 422 or 500."""
    return by_table(_WORDS, message_text, words=words) or StoreError(message_text, hint=SERVER_LOG)


def _by_grpc(error: Any, doing: str) -> QadaptError:
    code = getattr(error.code(), "name", str(error.code()))
    details = _shorten(str(error.details() or ""))
    if code in ("DEADLINE_EXCEEDED", "CANCELLED"):
        # qadapt does not wait for requests that it cancelled. A server whose deadline passes first
        # resets the stream (RST_STREAM with the code 8), which gRPC reports as CANCELLED.
        return _timed_out(doing)
    if code == "UNAVAILABLE":
        return _no_grpc(doing, details or code)
    if code in _GRPC_STATUS:
        return by_status(_GRPC_STATUS[code], details or code, doing)
    return StoreError(f"could not {doing}: gRPC error {code}: {details}", hint=SERVER_LOG)


def _no_grpc(doing: str, words: str) -> UnreachableError:
    return UnreachableError(
        f"could not {doing}: {words}",
        hint="check that the server runs, and that ?grpc= is its gRPC port (50051 by default)",
    )


def _timed_out(doing: str) -> StoreTimeoutError:
    return StoreTimeoutError(
        f"could not {doing}: no response within the time limit",
        hint="raise the limit with ?timeout=SECONDS; searches wait while PQ trains",
    )


def _cause(error: BaseException) -> str:
    """The message of the first cause: the client wraps errors in several layers."""
    while error.__cause__ is not None:
        error = error.__cause__
    return _words(error)


def _words(error: BaseException) -> str:
    return _shorten(str(getattr(error, "message", None) or error))


def _shorten(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()[:600]


def _message(text: str) -> str:
    """The server's message from ``{"error": [{"message": TEXT}]}`` or ``{"message": TEXT}``."""
    try:
        message_text = json.loads(text)
        if isinstance(message_text, dict) and isinstance(message_text.get("error"), list):
            return _shorten("; ".join(str(each["message"]) for each in message_text["error"]))
        if isinstance(message_text, dict) and "message" in message_text:
            return _shorten(str(message_text["message"]))
    except (ValueError, KeyError, TypeError):
        pass
    return _shorten(text)


# -- retries -------------------------------------------------------------------------------------


def with_retries(call: Callable[[], T], *, repeatable: bool, sleep: Callable[[float], None]) -> T:
    """Run ``call()``, and repeat it after transient errors.

    Args:
        repeatable: whether the request is idempotent.
        sleep: waits for the given number of seconds.
    """

    return retry.with_retries(
        call, lambda error: repeatable and retry.is_transient(error), sleep=sleep
    )
