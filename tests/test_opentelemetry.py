"""Spans of OpenTelemetry for searches and writes, from the real SDK."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

import qadapt as qa
from qadapt.api.collection import Collection
from qadapt.integrations.opentelemetry import instrument, uninstrument

ROWS = np.random.default_rng(0).standard_normal((300, 16)).astype(np.float32)
Live = Callable[[str], str]


@pytest.fixture
def spans() -> Iterator[Any]:
    """Returns the spans since the last call."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrument(provider)

    def finished() -> list[Any]:
        found = list(exporter.get_finished_spans())
        exporter.clear()
        return found

    yield finished
    uninstrument()
    provider.shutdown()


def test_a_search_has_the_attributes_of_its_provenance(live: Live, spans: Any) -> None:
    with qa.open(live("edge")) as database:
        collection = database.create("notes", dim=16)
        collection.write(qa.Batch(range(300), {"": ROWS}))
        (write,) = spans()
        assert write.name == "write notes"
        assert write.attributes["db.operation.batch.size"] == 300
        collection.plan("binary:rescore=4").apply(yes=True)
        spans()
        for _ in range(2):  # the second one is a prepared search
            hits = collection.search(ROWS[:3], k=5)
            (span,) = spans()
            assert span.name == "search notes" and span.status.status_code is StatusCode.UNSET
            assert {key: each for key, each in span.attributes.items() if key[0] == "d"} == {
                "db.system.name": "edge",
                "db.collection.name": "notes",
                "db.operation.name": "search",
            }
            assert (span.attributes["qadapt.queries"], span.attributes["qadapt.k"]) == (3, 5)
            for name in ("searcher", "rescorer", "oversampling", "candidates", "rescored_on"):
                assert span.attributes[f"qadapt.{name}"] == getattr(hits.how, name)
        assert span.attributes["qadapt.rescored_on"] == "originals"


def test_an_error_is_the_status_of_the_span(live: Live, spans: Any) -> None:
    with qa.open(live("edge")) as database:
        collection = database.create("notes", dim=16)
        with pytest.raises(qa.errors.DimensionError):
            collection.search([1.0, 2.0])
    (span,) = spans()
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["error.type"] == "DimensionError"
    assert "16" in span.status.description and span.events == ()


def test_an_asynchronous_search_is_a_child_of_the_span_of_its_task(live: Live, spans: Any) -> None:
    from opentelemetry import trace

    async def main() -> None:
        async with qa.aopen(live("edge")) as database:
            collection = await database.create("notes", dim=16)
            await collection.write(qa.Batch(range(300), {"": ROWS}))
            spans()
            parent = trace.NonRecordingSpan(
                trace.SpanContext(7, 8, is_remote=False, trace_flags=trace.TraceFlags(1))
            )
            with trace.use_span(parent):
                await collection.search(ROWS[0])
            (span,) = spans()
            assert span.name == "search notes" and span.parent.span_id == 8

    asyncio.run(main())


@pytest.mark.server
def test_an_awaited_search_has_one_span(live: Live, spans: Any) -> None:
    async def main() -> None:
        async with qa.aopen(live("weaviate")) as database:
            collection = await database.create("Spans", dim=16)
            try:
                ids = [f"00000000-0000-0000-0000-{at + 1:012x}" for at in range(300)]
                await collection.write(qa.Batch(ids, {"": ROWS}))
                spans()
                for _ in range(2):
                    await collection.search(ROWS[0], k=5)
                    (span,) = spans()
                    assert span.name == "search Spans"
                    assert span.attributes["qadapt.k"] == 5
                    assert span.end_time > span.start_time
            finally:
                await database.drop("Spans")

    asyncio.run(main())


def test_methods_are_restored(live: Live, spans: Any) -> None:
    with qa.open(live("edge")) as database:
        collection = database.create("notes", dim=16)
        traced = Collection.search
        uninstrument()
        uninstrument()
        assert Collection.search is not traced
        collection.count()
    assert spans() == []
