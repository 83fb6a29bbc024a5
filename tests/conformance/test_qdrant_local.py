"""The conformance suite on the client's local mode, which does not quantize."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.codecs import Codebook
from qadapt.errors import UnsupportedError
from qadapt.testing import StoreConformance
from qadapt.testing.data import Sample
from qadapt.testing.quantization import SETTINGS

pytest.importorskip("qdrant_client")


class LocalMode(StoreConformance):
    """Tests for memory and folder: nothing is quantized natively, or reported as quantized."""

    @pytest.mark.parametrize("text", SETTINGS)
    def test_every_setting_is_refused_with_the_rule(self, database: Database, text: str) -> None:
        empty = database.create(self.name, dim=self.dim)
        with pytest.raises(UnsupportedError, match="local mode"):
            empty.plan(text)

    @pytest.mark.parametrize(
        "text",
        [
            "binary:rescore=4",
            "binary:query_bits=8,rescore=4",
            "scalar:rescore=4",
            "scalar:bits=4,rescore=2",
        ],
    )
    def test_accept_client_matches_the_reference(
        self, filled: Collection, sample: Sample, text: str, tmp_path: Path
    ) -> None:
        wanted = qa.Quantization.parse(text)
        filled.plan(wanted, accept="client").apply(yes=True)
        about = filled.info().vectors[""]
        assert (about.quantized_by, about.status.state) == ("qadapt", qa.State.ACTIVE)
        rescore = wanted.rescore or qa.Rescore(1.0)
        hits = filled.search(sample.queries, k=self.k)
        assert (hits.how.searcher, hits.how.rescorer) == ("qadapt", "qadapt")

        rows = filled.fetch(range(self.rows)).vectors[""]
        codes: Any = "int8" if wanted.bits == 8 else "scalar"
        codes = "binary" if wanted.kind is qa.Kind.BINARY else codes
        unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        with qa.CodeIndex.create(
            tmp_path / "own",
            self.dim,
            metric="cosine",
            codes=codes,
            query_bits=wanted.query_bits,
            calibration=qa.Calibration.from_stream([rows], source="the rows"),
            codebook=Codebook.fit(unit) if codes == "scalar" else None,
        ) as index:
            index.add(range(self.rows), rows)
            expected = index.search(
                sample.queries,
                self.k,
                rescore=rescore.oversampling,
                source="originals",
                fetch=lambda ids: {key: rows[key] for key in ids},
            )
        assert hits.ids.tolist() == expected.ids.tolist()
        np.testing.assert_allclose(hits.scores, expected.scores, atol=1e-6)
        lossy = filled.search(sample.queries, k=self.k, rescore="off")
        assert self.recall(lossy, sample) < self.recall(hits, sample)


class TestQdrantMemory(LocalMode):
    """``qdrant::memory:``."""

    @pytest.fixture
    def database(self) -> Iterator[Database]:
        """An empty memory."""
        with qa.open("qdrant::memory:") as database:
            yield database


class TestQdrantFolder(LocalMode):
    """``qdrant:DIR``: SQLite commits each row separately, so there are fewer of them here."""

    rows = 300
    few_rows = 100
    many_rows = 700
    count = 300

    @pytest.fixture
    def database(self, tmp_path: Path) -> Iterator[Database]:
        """An empty folder."""
        with qa.open(f"qdrant:{tmp_path / 'data'}") as database:
            yield database
