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

T = TypeVar("T")

_READ_ONLY = "store is read-only"
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
    if status == 401:
        return _auth(message_text)
    if status == 403:
        return AuthError(message_text, hint="this key lacks the right")
    if status == 409:
        return AlreadyExistsError(message_text)
    if status == 413:
        return TooLargeError(message_text, hint="send less at once")
    if status == 429:
        return BusyError(
            message_text, hint="the server limits the rate of such requests; try later"
        )
    if status in (405, 501):
        return UnsupportedError(message_text, hint="this version of Weaviate does not have it")
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
    low = words.lower()
    if _READ_ONLY in low:
        return CompressingError(
            message_text,
            hint="the shard builds its codes, which stops writes: try again when it is done"
            # Up to 1.35 in one word: UpdateVectorIndexConfig.
            if "updatevectorindexconfig" in low.replace(" ", "")
            else "the disk may be full, or somebody set the shard read-only: see its status",
        )
    if "unauthorized" in low or "anonymous access not enabled" in low:
        return _auth(message_text)
    if "could not find class" in low or re.search(r"class \S+ (not found|does not exist)", low):
        return NotFoundError(message_text)
    if "class does not exist" in low:  # 1.35.23, of an alias to nothing
        return NotFoundError(message_text)
    if "could not find collection" in low or "tenant not found" in low:
        return NotFoundError(message_text)
    if "already exists" in low:
        return AlreadyExistsError(message_text)
    if "tenant not active" in low:
        return StoreError(
            message_text,
            hint="activate it first, or let the collection do so: autoTenantActivation",
        )
    if "multi-tenancy enabled, but request was without tenant" in low:
        return InputError(message_text, hint="name the tenant behind the collection: NAME@TENANT")
    if "multi-tenancy disabled, but request was with tenant" in low:
        return InputError(message_text, hint="leave the tenant out of the collection's name")
    if "vector lengths don't match" in low or "do not match the index dimensions" in low:
        return InputError(
            message_text, hint="check that the same model made stored and given vectors"
        )
    if "query maximum results exceeded" in low:
        return InputError(message_text, hint="the server's QUERY_MAXIMUM_RESULTS bounds one search")
    if "message larger than max" in low or "resource_exhausted" in low:
        return TooLargeError(message_text, hint="send less at once")
    if "deadline exceeded" in low:
        return StoreTimeoutError(message_text, hint="raise the limit with ?timeout=SECONDS")
    return StoreError(message_text)


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


def _auth(message_text: str) -> AuthError:
    return AuthError(
        message_text, hint="give the key as WEAVIATE_API_KEY, QADAPT_API_KEY or ?key_env=NAME"
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
