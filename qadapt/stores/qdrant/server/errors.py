"""Translation of client and server errors to errors of qadapt, and retries.

Messages and codes are those of server 1.16.3 over REST and gRPC (docs/engines/qdrant.md#errors).
Only transient errors are retried, a limited number of times: rate limits (after the server's
``retry-after``), 5xx responses and broken connections. A request that is not idempotent is not
retried.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import tenacity

from qadapt.errors import (
    AlreadyExistsError,
    AuthError,
    BusyError,
    DimensionError,
    NotFoundError,
    QadaptError,
    StoreError,
    StoreTimeoutError,
    TransientError,
    UnreachableError,
    over_limit,
)
from qadapt.model import Id
from qadapt.stores import retry
from qadapt.stores.error_table import SERVER_LOG, AnswerRule, by_table

T = TypeVar("T")

# The longest pause before a retry; if the server asks for a longer one, it is reported as busy.
LONGEST = 60.0

_GRPC_STATUS = {
    "INVALID_ARGUMENT": 400,
    "OUT_OF_RANGE": 400,
    "FAILED_PRECONDITION": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "UNIMPLEMENTED": 501,
}


_RIGHTS = (
    "the key has insufficient permissions: changing a collection or an alias requires the server's "
    'api-key or a JWT with access "m"; a JWT for single collections can search and write rows, and '
    "a read-only key can inspect and verify"
)


_KEY = "set the key with QDRANT_API_KEY, QADAPT_API_KEY or ?key_env=NAME"
_STATUSES = (
    AnswerRule(
        AuthError, "set the key with QDRANT_API_KEY, QADAPT_API_KEY or ?key_env=NAME", (401,)
    ),
    AnswerRule(AuthError, _RIGHTS, (403,)),
    AnswerRule(NotFoundError, "`qadapt inspect` lists the collections of the database", (404,)),
    AnswerRule(AlreadyExistsError, "choose another name, or drop it first", (409,)),
    AnswerRule(StoreTimeoutError, "raise the limit with ?timeout=SECONDS", (408, 504)),
    AnswerRule(TransientError, "see the server's log for details", least=500),
)


class RateLimitedError(BusyError):
    """The server's rate limit; ``retry_after`` is in seconds."""

    def __init__(self, message: str, retry_after: float | None) -> None:
        super().__init__(
            message,
            hint=(
                "send fewer requests at a time, or raise the rate limits in the collection's "
                "strict mode"
            ),
        )
        self.retry_after = retry_after


class NoSuchPathError(StoreError):
    """A path that this server does not know: it is an older version, or not Qdrant."""


def translate(error: Exception, doing: str) -> QadaptError:
    """Translate an error of the client, of gRPC or of httpx.

    Args:
        doing: the attempted action, for the message: ``"write to 'articles'"``.
    """
    if isinstance(error, QadaptError):
        return error
    name = type(error).__name__
    source = getattr(error, "source", None)
    if name == "ResponseHandlingException" and isinstance(source, Exception):
        return translate(source, doing)
    if name == "ResourceExhaustedResponse":
        after = getattr(error, "retry_after_s", None)
        return RateLimitedError(f"could not {doing}: {error}", after)
    if name == "UnexpectedResponse":
        return by_status(
            int(getattr(error, "status_code", 0) or 0),
            _text(getattr(error, "content", b"")),
            doing,
            dict(getattr(error, "headers", None) or {}),
        )
    if callable(getattr(error, "code", None)) and callable(getattr(error, "details", None)):
        return _by_grpc(error, doing)
    return _by_transport(error, name, doing)


def by_status(status: int, text: str, doing: str, headers: Any = None) -> QadaptError:
    """The error for an HTTP status and the server's message."""
    message_text = f"could not {doing}: {text or f'status {status}'}"
    if status == 404 and not text:
        return NoSuchPathError(
            f"could not {doing}: the server does not know this path",
            hint="check the address: the server is an older Qdrant or another service",
        )
    if status == 429:
        return RateLimitedError(message_text, _seconds((headers or {}).get("retry-after")))
    return by_table(_STATUSES, message_text, status=status) or _by_words(text, message_text)


def _by_words(text: str, message_text: str) -> QadaptError:
    wrong = re.search(r"Vector dimension error: expected dim: (\d+), got (\d+)", text)
    if wrong:
        return DimensionError(int(wrong[1]), int(wrong[2]))
    if "Not existing vector name" in text:
        return NotFoundError(
            message_text, hint="`qadapt inspect` lists the vectors of the collection"
        )
    # Strict mode: "Bad request: Limit exceeded 6 > 5 for "limit". Help: Reduce ...".
    strict, _, help_ = text.partition(" Help: ")
    if text.startswith("Bad request: ") and help_:
        return over_limit(f"strict mode: {strict.removeprefix('Bad request: ')}", hint=help_)
    return StoreError(message_text, hint=SERVER_LOG)


def _by_grpc(error: Any, doing: str) -> QadaptError:
    code = getattr(error.code(), "name", str(error.code()))
    details = str(error.details() or "")
    if code == "DEADLINE_EXCEEDED":
        return StoreTimeoutError(
            f"could not {doing}: the gRPC request timed out",
            hint="raise the limit with ?timeout=SECONDS",
        )
    if code in _GRPC_STATUS:
        return by_status(_GRPC_STATUS[code], details or code, doing)
    if code != "UNAVAILABLE":
        return StoreError(f"could not {doing}: gRPC error {code}: {details}", hint=SERVER_LOG)
    hint = "check that the server is running and that this is its gRPC port (6334)"
    return UnreachableError(f"could not {doing}: gRPC error {code}: {details}", hint=hint)


def _by_transport(error: Exception, name: str, doing: str) -> QadaptError:
    if "Timeout" in name:
        return StoreTimeoutError(
            f"could not {doing}: the request timed out ({name})",
            hint="raise the limit with ?timeout=SECONDS",
        )
    if name == "ConnectError":
        return UnreachableError(
            f"could not {doing}: the server is unreachable: {error}",
            hint="check host and port (defaults: REST 6333, gRPC 6334)",
        )
    if name in ("RemoteProtocolError", "ReadError", "WriteError", "CloseError"):
        return UnreachableError(
            f"could not {doing}: the connection was closed: {error or name}",
            hint="check that the server is running and that this is its REST port (default: 6333)",
        )
    return StoreError(f"could not {doing}: {name}: {error}", hint=SERVER_LOG)


@contextmanager
def first_of_its_step() -> Iterator[None]:
    """Mark a permission error as one that changed nothing."""
    try:
        yield
    except AuthError as error:
        error.unchanged = True
        raise


def is_outage(error: QadaptError) -> bool:
    """Whether other requests would fail as well: the server is unreachable or limits the rate.

    A single request that timed out or failed inside the server does not count.
    """
    return isinstance(error, (UnreachableError, BusyError))


def not_a_number(doing: str, ids: Sequence[Id]) -> StoreError:
    """The error for NaN scores: the vectors contain NaN and rank first."""
    some = ", ".join(repr(key) for key in ids[:5])
    return StoreError(
        f"could not {doing}: the server returned a score of NaN for {some}",
        hint=(
            "these vectors contain NaN and rank first in every search; delete them or write "
            "them again"
        ),
    )


def _text(content: Any) -> str:
    """The server's message: ``{"status": {"error": TEXT}}``, plain text (401), or empty."""
    raw = content.decode("utf-8", "replace") if isinstance(content, bytes) else str(content)
    try:
        message_text = json.loads(raw)["status"]["error"]
    except (ValueError, KeyError, TypeError):
        return raw.strip()[:500]
    return str(message_text)


def _seconds(text: Any) -> float | None:
    try:
        return float(text)
    except (TypeError, ValueError):
        return None


# -- trying again --------------------------------------------------------------------------------


def with_retries(call: Callable[[], T], *, repeatable: bool, sleep: Callable[[float], None]) -> T:
    """Call ``call()`` and retry transient errors.

    Args:
        repeatable: the request is idempotent. Other requests are retried only if the server reports
            that it did not process them (rate limit).
        sleep: waits for a number of seconds.
    """

    def again(error: BaseException) -> bool:
        if isinstance(error, RateLimitedError):
            return error.retry_after is None or error.retry_after <= LONGEST
        return repeatable and retry.is_transient(error)

    return retry.with_retries(call, again, sleep=sleep, pause=_pause)


def _pause(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, RateLimitedError) and error.retry_after is not None:
        return error.retry_after
    return float(retry.backoff(state))
