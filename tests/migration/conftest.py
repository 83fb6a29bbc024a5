"""Collections to migrate, in live engines."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from migration_help import DIM, rows
from partition_help import SIZES, fill

import qadapt as qa
from qadapt.api import Collection, Database


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Database]:
    """An empty folder of the embedded engine."""
    pytest.importorskip("qdrant_edge")
    with qa.open(f"edge:{tmp_path / 'source'}") as database:
        yield database


@pytest.fixture
def source(edge: Database) -> Collection:
    """500 rows with integer ids, and vectors of different lengths under dot."""
    collection = edge.create("docs", dim=DIM, metric="dot")
    payloads = [{"n": at, "odd": bool(at % 2)} for at in range(500)]
    collection.write(qa.Batch(range(500), {"": rows(500)}, payloads))
    return collection


@pytest.fixture
def name() -> str:
    """A unique collection name that every store accepts."""
    return f"Mig_{secrets.token_hex(5)}"


@pytest.fixture
def ends(
    live: Callable[[str], str], tmp_path: Path, name: str
) -> Iterator[Callable[[str], Database]]:
    """``ends("weaviate")`` opens a store; collections under ``name`` are dropped at the end.

    Other tests may use the same server at the same time.
    """
    opened: list[Database] = []

    def make(engine: str) -> Database:
        if engine == "lite":
            pytest.importorskip("milvus_lite")
            address = f"milvus:{tmp_path / 'lite.db'}"
        elif engine == "local":
            pytest.importorskip("qdrant_client")
            address = f"qdrant:{tmp_path / 'local'}"
        elif engine == "edge":
            pytest.importorskip("qdrant_edge")
            address = f"edge:{tmp_path / secrets.token_hex(4)}"
        else:
            address = live(engine)
        opened.append(qa.open(address))
        return opened[-1]

    yield make
    for database in opened:
        for alias in database.aliases():
            if alias.startswith(name):
                database.drop_alias(alias)
        for each in database.collections():
            if each.startswith(name):
                database.drop(each)
        database.close()


@pytest.fixture
def tenants(ends: Callable[[str], Database], name: str) -> Collection:
    """A collection of Weaviate with three tenants, called ``name``."""
    database = ends("weaviate")
    fill(database, name, SIZES)
    return database[name]
