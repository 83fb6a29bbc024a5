"""A folder of LanceDB, a connection as an application opens it, and a collection."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lancedb_helpers import DIM, ROWS

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.testing.data import Sample, clustered


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QADAPT_STATE_DIR", str(tmp_path / "state"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "lance"


@pytest.fixture
def database(folder: Path) -> Iterator[Database]:
    with qa.open(f"lancedb:{folder}") as database:
        yield database


@pytest.fixture
def raw(folder: Path) -> Any:
    """Another connection, as an application opens it."""
    import lancedb

    return lancedb.connect(str(folder))


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
