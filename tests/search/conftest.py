"""The same rows for native and for client-side codes, and exact scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from search_help import QUERIES

import qadapt as qa
from qadapt.api import Collection
from qadapt.engines.exact import exact_scores
from qadapt.model import Metric


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("search")


@pytest.fixture(scope="session")
def places(embeddings: Any, folder: Path) -> dict[str, str]:
    """Two folders with the same rows: one quantized by the engine, one without quantization for
    client-side codes."""
    pytest.importorskip("qdrant_edge")
    payloads = [
        {"group": row % 7, "doc": embeddings.doc_ids[row]} for row in range(len(embeddings.docs))
    ]
    batch = qa.Batch(range(len(embeddings.docs)), {"": embeddings.docs}, payloads)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QADAPT_STATE_DIR", str(folder / "state"))
        with qa.open(f"edge:{folder / 'native'}") as database:
            collection = database.create("docs", dim=embeddings.docs.shape[1])
            collection.write(batch)
            collection.plan("binary").apply(yes=True)
        with qa.open(f"edge:{folder / 'ours'}", disabled=["native-quantization"]) as database:
            collection = database.create("docs", dim=embeddings.docs.shape[1])
            collection.write(batch)
            collection.plan("binary", accept="client").apply(yes=True)
    return {"native": f"edge:{folder / 'native'}", "ours": f"edge:{folder / 'ours'}"}


@pytest.fixture
def open_way(
    live: Callable[[str], str],
    places: dict[str, str],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[[str], Collection]]:
    """The collection, opened so that searches use one of the three modes."""
    live("edge")
    monkeypatch.setenv("QADAPT_STATE_DIR", str(folder / "state"))
    opened: list[qa.Database] = []

    def collection(way: str) -> Collection:
        for database in opened:
            database.close()
        disabled = {"rescored by us": ["native-rescore"], "our codes": ["native-quantization"]}
        address = places["ours" if way == "our codes" else "native"]
        opened.append(qa.open(address, disabled=disabled.get(way, [])))
        return opened[-1]["docs"]

    yield collection
    for database in opened:
        database.close()


@pytest.fixture(scope="session")
def queries(embeddings: Any) -> np.ndarray:
    found: np.ndarray = embeddings.queries[:QUERIES]
    return found


@pytest.fixture(scope="session")
def exact(embeddings: Any, queries: np.ndarray) -> np.ndarray:
    """Exact scores of all rows, ``(nq, rows)``."""
    return exact_scores(queries, embeddings.docs, Metric.COSINE)
