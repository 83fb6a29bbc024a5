"""A database of PostgreSQL, a connection of psycopg, and tables that a test makes."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import qadapt as qa
from qadapt.api import Database
from qadapt.testing.data import Sample, clustered

DIM, ROWS = 48, 3000


@pytest.fixture
def url(live: Callable[[str], str]) -> str:
    """Address of the server."""
    return live("pgvector")


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    with qa.open(url) as database:
        yield database


@pytest.fixture
def raw(url: str) -> Iterator[Any]:
    """A connection as an application opens it."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def name(raw: Any) -> Iterator[str]:
    """The name of a table, which is dropped at the end."""
    unique = f"t_{uuid.uuid4().hex[:12]}"
    yield unique
    raw.execute(f"DROP TABLE IF EXISTS {unique} CASCADE")


@pytest.fixture(scope="session")
def sample() -> Sample:
    return clustered(ROWS, DIM, queries=40, k=10)


@pytest.fixture
def articles(database: Database, name: str, sample: Sample) -> Any:
    """A collection of the sample under cosine, with the payload ``group``."""
    collection = database.create(name, dim=DIM, metric="cosine")
    payloads = [{"group": row % 10} for row in range(ROWS)]
    collection.write(qa.Batch(list(range(ROWS)), {"": sample.rows}, payloads))
    return collection


def text(vector: Any) -> str:
    """A vector as SQL text."""
    return str(np.asarray(vector).tolist())
