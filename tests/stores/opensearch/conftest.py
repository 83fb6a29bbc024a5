"""A database of OpenSearch, the client of an application, and indexes that a test makes."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.testing.data import Sample, clustered

DIM, ROWS = 64, 600


@pytest.fixture
def url(live: Callable[[str], str]) -> str:
    """Address of the server."""
    return live("opensearch")


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    with qa.open(url) as database:
        yield database


@pytest.fixture
def client(url: str) -> Iterator[Any]:
    """The client as an application opens it."""
    from opensearchpy import OpenSearch

    found = OpenSearch(url.removeprefix("opensearch+"), timeout=30)
    yield found
    found.close()


@pytest.fixture
def name(client: Any) -> Iterator[str]:
    """The name of an index, which is deleted at the end, with its copies."""
    unique = f"t-{uuid.uuid4().hex[:12]}"
    yield unique
    for index in client.indices.get(index=f"{unique}*"):
        client.indices.delete(index=index)


@pytest.fixture(scope="session")
def sample() -> Sample:
    return clustered(ROWS, DIM, queries=20, k=10)


@pytest.fixture
def articles(database: Database, name: str, sample: Sample) -> Collection:
    """A collection of the sample under cosine, with the payload ``group``."""
    return filled(database, name, sample)


def filled(
    database: Database, name: str, sample: Sample, quantization: str | None = None
) -> Collection:
    collection = database.create(name, dim=DIM, metric="cosine", quantization=quantization)
    payloads = [{"group": row % 10} for row in range(ROWS)]
    collection.write(qa.Batch(list(range(ROWS)), {"": sample.rows}, payloads))
    return collection


def field(dim: int, encoder: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A field of the engine lucene as an application defines it.

    No test creates one of the engine faiss: without its native libraries, writes never end.
    """
    method: dict[str, Any] = {"name": "hnsw", "engine": "lucene", "space_type": "cosinesimil"}
    if encoder is not None:
        method["parameters"] = {"encoder": {"name": "sq", "parameters": encoder}}
    return {
        "type": "knn_vector",
        "dimension": dim,
        **more,
        "method": {**method, **more.get("method", {})},
    }


def create(client: Any, name: str, fields: dict[str, Any], **settings: Any) -> None:
    """Create an index as an application does."""
    body = {"settings": {"index": {"knn": True, **settings}}, "mappings": {"properties": fields}}
    client.indices.create(index=name, body=body)
