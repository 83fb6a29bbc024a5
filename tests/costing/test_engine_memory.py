"""The measured memory of an engine is shown beside the computed size of a vector."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import qadapt as qa
from qadapt.api import Collection
from qadapt.stores import engine_memory
from qadapt.testing import clustered

ROWS, DIM = 300, 16
WHAT = "resident memory of this process, everything included"


@pytest.fixture
def articles(live: Callable[[str], str]) -> Iterator[Collection]:
    with qa.open(live("edge")) as db:
        yield made(db)


def made(db: Any) -> Collection:
    found: Collection = db.create("articles", dim=DIM)
    found.write(qa.Batch(range(ROWS), {"": clustered(ROWS, DIM).rows}))
    return found


def resident() -> int:
    """Bytes, read from another file than the one that qadapt reads."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = (each for each in status.splitlines() if each.startswith("VmRSS:"))
    return 1024 * int(line.split()[1])


def test_documents_of_an_engine_in_this_process_have_its_resident_memory(
    articles: Collection,
) -> None:
    before = resident()
    documents = (
        articles.verify(queries=20),
        articles.evaluate("scalar", queries=20, concurrency=()),
        articles.cost("scalar"),
        articles.advise(0.5, queries=20, codes=("scalar",), confirm=False),
    )
    after = resident()
    for document in documents:
        found = document.engine_memory
        assert found is not None
        assert found.what == WHAT
        assert 0.5 * before < found.bytes < 2 * after
        assert json.loads(document.to_json())["engine_memory"]["bytes"] == found.bytes
        assert f"measured: {found}" in document.table().notes
        assert type(document).from_dict(document.to_dict()).engine_memory == found


def test_without_proc_nothing_is_shown(
    articles: Collection, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(engine_memory, "STATM", tmp_path / "missing")
    found = articles.cost("scalar")
    assert found.engine_memory is None
    assert not any(note.startswith("measured") for note in found.table().notes)


@pytest.mark.parametrize(
    ("engine", "shown"),
    [("milvus-lite", True), ("milvus", False), ("weaviate", False), ("pgvector", False)],
)
def test_a_server_that_does_not_report_its_memory_has_none(
    live: Callable[[str], str], engine: str, shown: bool
) -> None:
    with qa.open(live(engine)) as db:
        assert (db._store.engine_memory() is not None) is shown


def test_local_mode_of_the_qdrant_client_is_in_this_process() -> None:
    with qa.open("qdrant::memory:") as db:
        found = db._store.engine_memory()
    assert found is not None
    assert found.what == WHAT
