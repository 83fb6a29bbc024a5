"""A server of Elasticsearch, raw requests, and names of indexes that are deleted at the end."""

from __future__ import annotations

import json
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import qadapt as qa
from qadapt.api import Database
from qadapt.stores.elastic.elasticsearch.version import ServerVersion
from qadapt.testing.data import Sample, clustered

DIM, ROWS = 64, 1500


class Raw:
    """REST requests as an application sends them."""

    def __init__(self, url: str) -> None:
        self.url = url.partition("+")[2]

    def __call__(self, method: str, path: str, body: Any = None) -> Any:
        sent = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.url + path, sent, {"content-type": "application/json"}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            return json.load(error)


@pytest.fixture
def url(live: Callable[[str], str]) -> str:
    """Address of the server."""
    return live("elasticsearch")


@pytest.fixture
def raw(url: str) -> Raw:
    return Raw(url)


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    with qa.open(url) as database:
        yield database


@pytest.fixture
def since(database: Database) -> Callable[[str], None]:
    """``since("9.3.0")`` skips the test on an older server."""

    def check(version: str) -> None:
        found = ServerVersion(database.server().version)
        if not found.has(version):
            pytest.skip(f"this server is {found.words}, older than {version}")

    return check


@pytest.fixture
def name(raw: Raw) -> Iterator[str]:
    """The name of an index; all indexes whose names begin with it are deleted at the end."""
    unique = f"t{uuid.uuid4().hex[:12]}"
    yield unique
    for found in raw("GET", f"/{unique}*/_alias"):
        raw("DELETE", f"/{found}")


@pytest.fixture(scope="session")
def sample() -> Sample:
    return clustered(ROWS, DIM, queries=30, k=10)


@pytest.fixture
def articles(database: Database, name: str, sample: Sample) -> Any:
    """A collection of the sample under cosine, with the payload ``group``."""
    collection = database.create(name, dim=DIM, metric="cosine")
    payloads = [{"group": row % 10} for row in range(ROWS)]
    collection.write(qa.Batch(list(range(ROWS)), {"": sample.rows}, payloads))
    return collection
