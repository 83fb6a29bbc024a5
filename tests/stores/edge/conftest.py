"""An open edge store, and real embeddings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from edge_helpers import Texts
from embeddings import Embeddings

from qadapt.model.address import Address
from qadapt.stores.qdrant.edge.store import EdgeStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EdgeStore]:
    """An empty store on the live engine."""
    pytest.importorskip("qdrant_edge")
    opened = EdgeStore.open(Address("edge", None, str(tmp_path / "data")))
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def texts(embeddings: Embeddings) -> Texts:
    """2,000 real embeddings and all queries, with the queries' exact neighbors."""
    return Texts.of(embeddings.docs[:2000], embeddings.queries)
