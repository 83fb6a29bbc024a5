"""Spans of OpenTelemetry for the calls of collections.

    from qadapt.integrations.opentelemetry import instrument

    instrument()  # the tracer provider of the application, or tracer_provider=...

A span names the database, the collection and the operation by the semantic conventions for
databases; the attributes ``qadapt.*`` of a search are those of ``hits.how``. Vectors, payloads,
filters and keys are never recorded.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

from opentelemetry import trace

from qadapt.api.collection import Collection
from qadapt.model import Hits
from qadapt.model.address import mask
from qadapt.version import __version__

METHODS = ("search", "write", "delete", "fetch", "count", "info", "plan", "verify", "doctor")
_AWAITED = "_search_awaited"  # a search of an AsyncCollection that needs no thread
_originals: dict[str, Any] = {}


def instrument(tracer_provider: Any = None) -> None:
    """Record a span for each call of a collection, until ``uninstrument``.

    A second call replaces the tracer provider.

    Args:
        tracer_provider: None for the one of the application.
    """
    uninstrument()
    tracer = trace.get_tracer("qadapt", __version__, tracer_provider)
    for name in METHODS:
        original = _originals[name] = getattr(Collection, name)
        setattr(Collection, name, _traced(tracer, name, original))
    awaited = _originals[_AWAITED] = getattr(Collection, _AWAITED)
    setattr(Collection, _AWAITED, _traced_awaited(tracer, awaited))


def uninstrument() -> None:
    """Record no spans any more."""
    for name, original in _originals.items():
        setattr(Collection, name, original)
    _originals.clear()


def _traced(tracer: Any, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def call(self: Collection, *args: Any, **named: Any) -> Any:
        with tracer.start_as_current_span(
            f"{name} {self.name}",
            kind=trace.SpanKind.CLIENT,
            attributes=_subject(self, name),
            record_exception=False,  # its text may repeat what a server sent
            set_status_on_exception=False,
        ) as span:
            try:
                found = original(self, *args, **named)
            except Exception as error:
                _failed(span, error)
                raise
            _answered(span, found, len(args[0]) if name == "write" and args else None)
            return found

    return call


def _traced_awaited(tracer: Any, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def call(self: Collection, *args: Any, **named: Any) -> Any:
        begun = time.time_ns()
        found = await original(self, *args, **named)
        if found is not None:  # else a thread searches, which has its own span
            span = tracer.start_span(
                f"search {self.name}",
                kind=trace.SpanKind.CLIENT,
                attributes=_subject(self, "search"),
                start_time=begun,
            )
            _answered(span, found, None)
            span.end()
        return found

    return call


def _subject(collection: Collection, operation: str) -> dict[str, Any]:
    store = collection._store
    return {
        "db.system.name": store.name,
        "db.collection.name": collection.name,
        "db.operation.name": operation,
        "qadapt.address": str(store.address),
    }


def _answered(span: Any, found: Any, rows: int | None) -> None:
    if not span.is_recording():
        return
    if rows is not None:
        span.set_attribute("db.operation.batch.size", rows)
    if not isinstance(found, Hits):
        return
    how, (queries, k) = found.how, found.scores.shape
    span.set_attributes(
        {
            "qadapt.queries": queries,
            "qadapt.k": k,
            "qadapt.searcher": how.searcher,
            "qadapt.rescorer": how.rescorer,
            "qadapt.oversampling": how.oversampling,
            "qadapt.candidates": how.candidates,
            "qadapt.rescored_on": how.rescored_on,
            "qadapt.scores": how.scores,
            "qadapt.rescore_from": how.rescore_from,
            "qadapt.notes": how.notes,
        }
    )


def _failed(span: Any, error: Exception) -> None:
    span.set_attribute("error.type", type(error).__qualname__)
    message = getattr(error, "message", str(error))
    span.set_status(trace.Status(trace.StatusCode.ERROR, mask(message)))
