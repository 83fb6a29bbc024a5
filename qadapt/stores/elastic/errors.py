"""Errors of Elasticsearch and OpenSearch, translated to those of qadapt.

Both servers answer ``{"error": {"type": ..., "reason": ..., "root_cause": [...]}, "status": 400}``
(docs/engines/elasticsearch.md#errors).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import tenacity

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
    TransientError,
    UnreachableError,
    UnsupportedError,
)
from qadapt.model.masking import mask
from qadapt.stores import retry
from qadapt.stores.error_table import SERVER_LOG, AnswerRule, TooLargeError, by_table

T = TypeVar("T")
LONGEST_PAUSE = 30.0  # seconds that a server may ask to wait before a retry

_LICENCE = "the licence of the server does not include this; `GET /_license` shows it"
_RULES = (
    AnswerRule(
        UnsupportedError,
        _LICENCE,
        words=(r"non-compliant for \[", r"license.*(expired|does not)"),
    ),
    AnswerRule(AuthError, "check the API key, or the user and its password", (401,)),
    AnswerRule(
        ReadOnlyError,
        "remove the block of the index (index.blocks), or free disk space",
        words=(r"cluster_block_exception", r"blocked by: \["),
    ),
    AnswerRule(AuthError, "the key or user lacks a privilege for this index", (403,)),
    AnswerRule(
        BusyError,
        "the server rejects requests because it is overloaded; send fewer at a time",
        (429,),
    ),
    AnswerRule(
        NotFoundError,
        "`qadapt inspect ADDRESS` lists the indexes with vectors",
        words=(r"index_not_found_exception",),
    ),
    AnswerRule(
        NotFoundError,
        "the mapping of the index has changed: `qadapt inspect ADDRESS` lists its vectors",
        words=(r"is not knn_vector type",),
    ),
    AnswerRule(
        AlreadyExistsError, "choose another name", words=(r"resource_already_exists_exception",)
    ),
    AnswerRule(
        TooLargeError,
        "the server limits the size of a request (http.max_content_length)",
        (413,),
    ),
    AnswerRule(
        StoreError,
        "the server keeps a point in time for minutes only: read again, and process pages faster",
        words=(r"search_context_missing_exception",),
    ),
    AnswerRule(TransientError, SERVER_LOG, (502, 503)),
    AnswerRule(StoreTimeoutError, "raise the time limit: ?timeout=SECONDS", (408, 504)),
    AnswerRule(
        UnsupportedError, "open the index: POST /INDEX/_open", words=(r"index_closed_exception",)
    ),
    AnswerRule(
        UnsupportedError,
        "the mapping requires a routing value, which qadapt does not send; write with the client",
        words=(r"routing_missing_exception",),
    ),
    AnswerRule(
        InputError,
        "use a name that no template of a data stream matches (`GET /_index_template`)",
        words=(r"creates data streams only",),
    ),
    AnswerRule(
        InputError,
        "the index refuses this value; its mapping shows the expected type",
        words=(r"document_parsing_exception", r"mapper_parsing_exception", r"illegal_argument"),
    ),
)


class Refused(Exception):  # noqa: N818 - it is translated at once
    """An answer with a status of 300 or more.

    Attributes:
        status: HTTP status.
        body: the answer, parsed if it is JSON.
        retry_after: seconds that the server asks to wait; None if it does not ask.
    """

    def __init__(self, status: int, body: Any, retry_after: float | None = None) -> None:
        super().__init__(f"status {status}")
        self.status = status
        self.body = body
        self.retry_after = retry_after


def seconds(text: str | None) -> float | None:
    """The header ``Retry-After`` in seconds; None without one, or for a date."""
    found = re.fullmatch(r"\s*(\d+)\s*", text or "")
    return float(found[1]) if found else None


def words_of(body: Any) -> str:
    """Type and reason of an answer with an error."""
    error = body.get("error") if isinstance(body, Mapping) else body
    if not isinstance(error, Mapping):
        return _short(str(error or body or ""))
    causes = [error, *(error.get("root_cause") or ())]
    inner = error.get("caused_by")
    while isinstance(inner, Mapping):
        causes.append(inner)
        inner = inner.get("caused_by")
    for shard in error.get("failed_shards") or ():
        causes.append(shard.get("reason") or {})
    found = [f"{each.get('type', '')}: {each.get('reason', '')}" for each in causes]
    return _short("; ".join(dict.fromkeys(found)))


def _short(text: str) -> str:
    return mask(re.sub(r"\s+", " ", text).strip()[:800])


def refused(error: Refused, doing: str) -> QadaptError:
    """The error for an answer.

    Args:
        doing: the attempted action, such as ``"write to 'articles'"``.
    """
    words = words_of(error.body) or f"status {error.status}"
    message = f"could not {doing}: {words}"
    found = by_table(_RULES, message, status=error.status, words=words)
    if found is None:
        kind = InputError if error.status == 400 else StoreError
        found = kind(message, hint=SERVER_LOG)
    found.retry_after = error.retry_after  # type: ignore[attr-defined]
    return found


def unreachable(doing: str, words: str, port: int = 9200) -> UnreachableError:
    """The error for a server that does not answer."""
    return UnreachableError(
        f"could not {doing}: {_short(words)}",
        hint=f"check that the server runs, and that this is its REST port ({port} by default)",
    )


def timed_out(doing: str) -> StoreTimeoutError:
    """The error for an answer that did not arrive in time."""
    return StoreTimeoutError(
        f"could not {doing}: no response within the time limit",
        hint="raise the limit with ?timeout=SECONDS in the address",
    )


def with_retries(call: Callable[[], T], *, repeatable: bool, sleep: Callable[[float], None]) -> T:
    """Call, and repeat after transient errors, with the pause that the server asks for.

    Args:
        repeatable: whether the request is idempotent.
    """
    return retry.with_retries(
        call,
        lambda error: repeatable and retry.is_transient(error),
        sleep=sleep,
        pause=_pause,
    )


def _pause(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome is not None else None
    asked = getattr(error, "retry_after", None)
    usual = retry.backoff(state)
    return usual if asked is None else min(LONGEST_PAUSE, max(usual, asked))
