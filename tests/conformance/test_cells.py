"""The cells of the matrix on every live engine; see ``qadapt.testing.cells``.

    QADAPT_MATRIX_OUT=cells.jsonl pytest tests/conformance/test_cells.py

Real embeddings where they are at hand: 2,000 of SciFact's abstracts in 384 dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import qadapt as qa
from qadapt.api import Database
from qadapt.engines.exact import exact_scores
from qadapt.model import Metric
from qadapt.testing import CellTests, Sample

pytestmark = pytest.mark.timeout(900)


class RealCells(CellTests):
    """The data of all; each store gives its database."""

    data = "scifact-minilm"
    dim = 384

    @pytest.fixture
    def sample(self, scifact) -> Sample:
        rows, queries = scifact.docs[: self.rows], scifact.queries
        scores = exact_scores(queries, rows, Metric.COSINE)
        return Sample(rows, queries, np.argsort(-scores, axis=1, kind="stable")[:, : self.k])


class TestEdgeCells(RealCells):
    @pytest.fixture
    def database(self, live: Callable[[str], str]) -> Iterator[Database]:
        with qa.open(live("edge")) as database:
            yield database


class TestQdrantCells(RealCells):
    @pytest.fixture
    def database(self, live: Callable[[str], str]) -> Iterator[Database]:
        with qa.open(live("qdrant")) as database:
            yield database


class TestMilvusCells(RealCells):
    uuid_ids = False

    @pytest.fixture
    def database(self, live: Callable[[str], str]) -> Iterator[Database]:
        with qa.open(live("milvus")) as database:
            yield database


class TestMilvusLiteCells(RealCells):
    uuid_ids = False

    @pytest.fixture
    def database(self, tmp_path: Path) -> Iterator[Database]:
        pytest.importorskip("milvus_lite")
        with qa.open(f"milvus:{tmp_path / 'test.db'}") as database:
            yield database


class TestWeaviateCells(RealCells):
    int_ids = False
    names = "Articles_{}"

    @pytest.fixture
    def database(self, live: Callable[[str], str]) -> Iterator[Database]:
        with qa.open(live("weaviate")) as database:
            yield database

    def wanted(self, setting: str) -> qa.Quantization:
        """RQ without a rescoring of its own, so that its codes show; BQ and PQ always rescore."""
        wanted = qa.Quantization.parse(setting)
        if wanted.kind in (qa.Kind.SCALAR, qa.Kind.ROTATIONAL):
            return wanted.replace(native={"rq": {"rescoreLimit": 0}})
        return wanted
