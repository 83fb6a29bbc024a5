"""What the client, gRPC and httpx raise, made errors of qadapt; and what is tried again.

Texts and codes are those of server 1.39.0 (docs/engines/weaviate.md#errors). Only what is transient
is repeated, a bounded number of times, and never a request whose second arrival could do
something else than the first.
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
from qadapt.stores.error_table import AnswerRule, by_table

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


class TooLargeError(StoreError):
    """One message was larger than the server takes; a smaller one may do."""


class CompressingError(BusyError):
    """A shard trains or writes its codes, and takes no writes and no changes until it has."""


_KEY = "give the key as WEAVIATE_API_KEY, QADAPT_API_KEY or ?key_env=NAME"
_LESS = "send less at once"
_STATUSES = (
    AnswerRule(AuthError, _KEY, (401,)),
    AnswerRule(AuthError, "this key lacks the right", (403,)),
    AnswerRule(AlreadyExistsError, status=(409,)),
    AnswerRule(TooLargeError, _LESS, (413,)),
    AnswerRule(BusyError, "the server limits the rate of such requests; try later", (429,)),
    AnswerRule(UnsupportedError, "this version of Weaviate does not have it", (405, 501)),
)
_WORDS = (
    AnswerRule(
        CompressingError,
        "the shard builds its codes, which stops writes: try again when it is done",
        # Up to 1.35 in one word: UpdateVectorIndexConfig.
        words=(f"(?s){_READ_ONLY}.*{_UPDATING}", f"(?s){_UPDATING}.*{_READ_ONLY}"),
    ),
    AnswerRule(
        CompressingError,
        "the disk may be full, or somebody set the shard read-only: see its status",
        words=(_READ_ONLY,),
    ),
    AnswerRule(AuthError, _KEY, words=("unauthorized", "anonymous access not enabled")),
    AnswerRule(
        NotFoundError,
        words=(
            "could not find class",
            r"class \S+ (not found|does not exist)",
            "class does not exist",  # 1.35.23, of an alias to nothing
            "could not find collection",
            "tenant not found",
        ),
    ),
    AnswerRule(AlreadyExistsError, words=("already exists",)),
    AnswerRule(
        StoreError,
        "activate it first, or let the collection do so: autoTenantActivation",
        words=("tenant not active",),
    ),
    AnswerRule(
        InputError,
        "name the tenant behind the collection: NAME@TENANT",
        words=("multi-tenancy enabled, but request was without tenant",),
    ),
    AnswerRule(
        InputError,
        "leave the tenant out of the collection's name",
        words=("multi-tenancy disabled, but request was with tenant",),
    ),
    AnswerRule(
        InputError,
        "check that the same model made stored and given vectors",
        words=("vector lengths don't match", "do not match the index dimensions"),
    ),
    AnswerRule(
        InputError,
        "the server's QUERY_MAXIMUM_RESULTS bounds one search",
        words=("query maximum results exceeded",),
    ),
    AnswerRule(TooLargeError, _LESS, words=("message larger than max", "resource_exhausted")),
    AnswerRule(
        StoreTimeoutError, "raise the limit with ?timeout=SECONDS", words=("deadline exceeded",)
    ),
)


def translate(error: Exception, doing: str) -> QadaptError:
    """The error of qadapt for one of the client, of gRPC or of httpx.

    Args:
        doing: what was asked, for the message: ``"write to 'Articles'"``.
    """
    if isinstance(error, QadaptError):
        return error
    name = type(error).__name__
    if callable(getattr(error, "code", None)) and callable(getattr(error, "details", None)):
        return _by_grpc(error, doing)
    if hasattr(error, "status_code"):
        return by_status(int(error.status_code), _words(error), doing)
    if name in ("WeaviateInvalidInputError", "WeaviateInsertInvalidPropertyError"):
        return InputError(f"could not {doing}: {_words(error)}")
    if name == "WeaviateUnsupportedFeatureError" or "is not supported. Please use" in str(error):
        return UnsupportedError(f"could not {doing}: {_words(error)}")
    if name == "WeaviateClosedClientError":
        return closed(doing)
    if "Timeout" in name:
        return _timed_out(doing)
    if name in ("WeaviateConnectionError", "WeaviateStartUpError", "ConnectError"):
        return UnreachableError(
            f"could not {doing}: {_cause(error)}",
            hint="is the server up, and is this its REST port (8080 by default)?",
        )
    if name in ("RemoteProtocolError", "ReadError", "WriteError", "CloseError"):
        return UnreachableError(
            f"could not {doing}: the connection broke: {_words(error) or name}",
            hint="the server went away, or this is its gRPC port: REST is 8080 by default",
        )
    if name == "WeaviateGRPCUnavailableError":
        return _no_grpc(doing, "nothing serves gRPC there")
    return by_words(_words(error) or name, f"could not {doing}: {_words(error) or name}")


def closed(doing: str) -> StoreError:
    """The error for a client that was closed."""
    return StoreError(f"could not {doing}: the client is closed", hint="open the store again")


def by_status(status: int, text: str, doing: str) -> QadaptError:
    """The error for an HTTP status and the server's words."""
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
        return NotFoundError(message_text)
    if status in (502, 503):
        return TransientError(message_text, hint="the server's log says more")
    return found


def by_words(words: str, message_text: str) -> QadaptError:
    """The error for what the server says, whose status tells little: most are 422 or 500."""
    return by_table(_WORDS, message_text, words=words) or StoreError(message_text)


def _by_grpc(error: Any, doing: str) -> QadaptError:
    code = getattr(error.code(), "name", str(error.code()))
    details = _shorten(str(error.details() or ""))
    if code in ("DEADLINE_EXCEEDED", "CANCELLED"):
        # qadapt waits for no answer that it cancelled itself. A server whose clock runs out before
        # ours breaks the request off (RST_STREAM with the code 8), which gRPC tells as CANCELLED.
        return _timed_out(doing)
    if code == "UNAVAILABLE":
        return _no_grpc(doing, details or code)
    if code in _GRPC_STATUS:
        return by_status(_GRPC_STATUS[code], details or code, doing)
    return StoreError(f"could not {doing}: gRPC says {code}: {details}")


def _no_grpc(doing: str, words: str) -> UnreachableError:
    return UnreachableError(
        f"could not {doing}: {words}",
        hint="is the server up, and is ?grpc= its gRPC port (50051 by default)?",
    )


def _timed_out(doing: str) -> StoreTimeoutError:
    return StoreTimeoutError(
        f"could not {doing}: no answer in time",
        hint="raise the limit with ?timeout=SECONDS; while PQ trains, searches wait for its end",
    )


def _cause(error: BaseException) -> str:
    """The first cause's words: the client wraps its own in several layers."""
    while error.__cause__ is not None:
        error = error.__cause__
    return _words(error)


def _words(error: BaseException) -> str:
    return _shorten(str(getattr(error, "message", None) or error))


def _shorten(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()[:600]


def _message(text: str) -> str:
    """The server's words out of ``{"error": [{"message": TEXT}]}`` or ``{"message": TEXT}``."""
    try:
        message_text = json.loads(text)
        if isinstance(message_text, dict) and isinstance(message_text.get("error"), list):
            return _shorten("; ".join(str(each["message"]) for each in message_text["error"]))
        if isinstance(message_text, dict) and "message" in message_text:
            return _shorten(str(message_text["message"]))
    except (ValueError, KeyError, TypeError):
        pass
    return _shorten(text)


# -- trying again --------------------------------------------------------------------------------


def with_retries(call: Callable[[], T], *, repeatable: bool, sleep: Callable[[float], None]) -> T:
    """``call()``, again where it failed in a way that may pass.

    Args:
        repeatable: the request does the same however often it arrives.
        sleep: waits so many seconds.
    """

    return retry.with_retries(
        call, lambda error: repeatable and retry.is_transient(error), sleep=sleep
    )
