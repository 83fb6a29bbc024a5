"""What the tests of the edge store share: an open store, and real embeddings."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from edge_help import Texts

from qadapt.model.address import Address
from qadapt.stores.edge.store import EdgeStore

REPO = Path(__file__).resolve().parents[3]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EdgeStore]:
    """An empty store on the live engine."""
    pytest.importorskip("qdrant_edge")
    opened = EdgeStore.open(Address("edge", None, str(tmp_path / "data")))
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def texts() -> Texts:
    """SciFact abstracts and queries by MiniLM, with the exact neighbours of the queries."""
    shared = Path(os.environ.get("QADAPT_SHARED") or REPO.parent / "shared")
    path = shared / "data" / "scifact-minilm.npz"
    if not path.is_file():
        pytest.skip(f"no {path}: set QADAPT_SHARED to the folder of shared data")
    with np.load(path) as data:
        return Texts.of(data["docs"][:2000], data["queries"])
