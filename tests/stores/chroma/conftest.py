"""A folder of Chroma, a client as an application opens it, and a collection."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.testing.data import Sample, clustered

DIM, ROWS = 64, 1200


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def database(folder: Path) -> Iterator[Database]:
    with qa.open(f"chroma:{folder}") as database:
        yield database


@pytest.fixture
def client(database: Database) -> Any:
    """The client of the database, as an application uses it."""
    return database._store.connection.client  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
def sample() -> Sample:
    return clustered(ROWS, DIM, queries=40, k=10)


@pytest.fixture
def articles(database: Database, sample: Sample) -> Collection:
    """A collection of the sample under cosine, with the payload ``group``."""
    collection = database.create("articles", dim=DIM, metric="cosine")
    payloads = [{"group": row % 10} for row in range(ROWS)]
    collection.write(qa.Batch(list(range(ROWS)), {"": sample.rows}, payloads))
    return collection


@pytest.fixture
def made(client: Any) -> Any:
    """A collection of another program: four rows under l2, with texts as ids."""
    collection = client.create_collection("notes", embedding_function=None)
    rows = np.eye(4, dtype=np.float32)
    collection.add(
        ids=["a", "b", "1", "2"], embeddings=rows, metadatas=[{"n": i} for i in range(4)]
    )
    return collection
