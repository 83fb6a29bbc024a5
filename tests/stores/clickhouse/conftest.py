"""A database of chDB, its raw connection, and a collection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from clickhouse_helpers import DIM, ROWS, Raw

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.model.address import Address
from qadapt.stores.clickhouse.connection import Connection, open_address
from qadapt.testing.data import Sample, clustered


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QADAPT_STATE_DIR", str(tmp_path / "state"))


@pytest.fixture(scope="module")
def open_folders() -> Iterator[dict[str, Connection]]:
    """A connection to each folder, so that the engine does not start again for each test, which
    takes longer than most tests."""
    kept: dict[str, Connection] = {}
    yield kept
    for each in kept.values():
        each.close()


@pytest.fixture
def address(live: Callable[[str], str], open_folders: dict[str, Connection]) -> str:
    found = live("clickhouse")
    folder = found.partition("?")[0]
    if folder not in open_folders:
        open_folders[folder] = open_address(Address.parse(folder))
    return found


@pytest.fixture
def database(address: str) -> Iterator[Database]:
    with qa.open(address) as database:
        yield database


@pytest.fixture
def raw(database: Database, address: str) -> Raw:
    """Statements of an application in the same database."""
    return Raw(address)


@pytest.fixture(scope="session")
def sample() -> Sample:
    return clustered(ROWS, DIM, queries=20, k=10)


@pytest.fixture
def articles(database: Database, sample: Sample) -> Collection:
    """A collection of the sample under cosine, with the payload ``group``."""
    collection = database.create("articles", dim=DIM, metric="cosine")
    payloads = [{"group": row % 10} for row in range(ROWS)]
    collection.write(qa.Batch(list(range(ROWS)), {"": sample.rows}, payloads))
    return collection


@pytest.fixture
def lengths(sample: Sample) -> npt.NDArray[np.float32]:
    """The sample with vectors of different lengths."""
    factors = np.random.default_rng(3).uniform(0.5, 2, (ROWS, 1)).astype(np.float32)
    return sample.rows * factors
