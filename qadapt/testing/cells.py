"""The cells of the support matrix: applies each quantization to a live engine and measures recall.

class TestMyStore(CellTests):
    @pytest.fixture
    def database(self): ...

QADAPT_MATRIX_OUT=cells.jsonl pytest test_cells.py     writes the results
"""

from __future__ import annotations

import dataclasses
import datetime
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.errors import UnsupportedError
from qadapt.evaluation.recall import truth_of
from qadapt.matrix.live_runs import LiveRun, append
from qadapt.model import Capabilities, VectorInfo
from qadapt.testing.data import Sample
from qadapt.testing.suite import Suite

OUT = "QADAPT_MATRIX_OUT"
# Every kind and width that a store may declare; the loss of 16-bit floats is too small to measure.
ASKED = (
    *(f"scalar:bits={bits}" for bits in (4, 6, 7, 8)),
    *(f"rotational:bits={bits}" for bits in ("1", "1.5", "2", "4", "8")),
    *(f"binary:bits={bits}" for bits in ("1", "1.5", "2")),
    *(f"product:ratio={ratio}" for ratio in (4, 8, 16, 32, 64)),
)


class CellTests(Suite):
    """One test per cell; it fails if the store's capabilities and the engine disagree.

    Attributes:
        data: a short description of the data from the fixture ``sample``.
        asked: the settings to test; by default all that the store supports on the index of
            ``start``.
        every: a filter that matches all rows, if it makes an index bypass its graph, so that only
            codes lose recall.
        start: the initial settings of a collection, such as its index; None for the default.
        oversampling: candidates per result when recall must increase.
    """

    data: ClassVar[str] = "clustered"
    asked: ClassVar[tuple[str, ...]] = ASKED
    every: ClassVar[Mapping[str, Any] | None] = None
    start: ClassVar[qa.Quantization | None] = None
    oversampling: ClassVar[float] = 10.0

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Each subclass has its own settings."""
        if "setting" in metafunc.fixturenames:
            metafunc.parametrize("setting", self.asked)

    @pytest.fixture
    def filled(self, database: Database, sample: Sample) -> Collection:
        """A collection with the sample under cosine and the settings of ``start``."""
        collection = self.created(database)
        payloads = [{"group": row % 7} for row in range(self.rows)]
        collection.write(qa.Batch(self.keys(self.rows), {"": sample.rows}, payloads))
        return collection

    def created(self, database: Database) -> Collection:
        """An empty collection with the settings of ``start``."""
        return database.create(self.name, dim=self.dim, metric="cosine", quantization=self.start)

    def index(self, vector: VectorInfo) -> str:
        """The store's name of the searched index."""
        words = ("index_type", "vectorIndexType", "type")
        return next((str(vector.index[word]) for word in words if word in vector.index), "")

    def wanted(self, setting: str) -> qa.Quantization:
        """The quantization to apply; a store may need a setting that leaves rescoring to the
        query."""
        return qa.Quantization.parse(setting)

    def test_a_declared_kind_is_verified_active(
        self, database: Database, sample: Sample, setting: str, request: pytest.FixtureRequest
    ) -> None:
        wanted = self.wanted(setting)
        width = _width(wanted)
        if not _declared(database.capabilities(), wanted.kind.value, width):
            # A rejection requires no rows.
            with pytest.raises(UnsupportedError):
                self.created(database).plan(wanted)
            return
        filled: Collection = request.getfixturevalue("filled")
        plan = filled.plan(wanted)
        floats = filled.search(sample.queries, k=self.k, filter=self.every)
        change = plan.apply(yes=True, timeout=600)
        assert change.state == "applied"
        vector = filled.info().vectors[""]
        server = database.server()
        without, by = self.without(filled, sample)
        rescore = qa.Rescore(self.oversampling)
        self.widen(filled)
        lifted = filled.search(sample.queries, k=self.k, rescore=rescore, filter=self.every)
        assert lifted.how.scores == "exact"
        seen = LiveRun(
            store=server.store,
            version=(server.version or "").removeprefix("v").partition("-")[0],
            deployment=server.deployment,
            kind=wanted.kind.value,
            width=width,
            index=self.index(vector),
            codes=str(dataclasses.replace(vector.quantization, rescore=None)),
            differences=plan.match.differences,
            state=vector.status.state.value,
            evidence=tuple(sorted({each.signal for each in vector.status.evidence})),
            code_bytes=vector.code_bytes or 0,
            float_bytes=vector.float_bytes or 0,
            data=self.data,
            rows=self.rows,
            dim=self.dim,
            queries=len(sample.queries),
            k=self.k,
            without=round(without, 4),
            without_by=by,
            lifted=round(self.recall(lifted, sample), 4),
            oversampling=self.oversampling,
            rescorer="qadapt" if lifted.how.rescorer == "qadapt" else "store",
            ground_truth=truth_of(vector.vector.replace(datatype="float32")),
            day=datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        )
        if by == "x1":
            # With so few candidates a graph loses recall too, for original vectors as well.
            assert without < self.recall(floats, sample), "the codes lose no recall"
        assert seen.problem() is None, seen
        if os.environ.get(OUT):
            append(seen, Path(os.environ[OUT]))

    def widen(self, collection: Collection) -> None:
        """Prepare a search with more candidates, for an index with a fixed number of them."""

    def without(self, collection: Collection, sample: Sample) -> tuple[float, str]:
        """Recall without rescoring; if the store always rescores, with only k candidates."""
        try:
            hits = collection.search(sample.queries, k=self.k, rescore="off", filter=self.every)
        except UnsupportedError:
            hits = collection.search(
                sample.queries, k=self.k, rescore=qa.Rescore(1), filter=self.every
            )
        by = "off" if hits.how.scores == "approximate" else "x1"
        return self.recall(hits, sample), by


def _width(quantization: qa.Quantization) -> str:
    value = quantization.ratio if quantization.bits is None else quantization.bits
    return "" if value is None else f"{value:g}"


def _declared(can: Capabilities, kind: str, width: str) -> bool:
    """The rule of this width, or of the kind if it has no widths."""
    features = can.features
    name = f"native-{kind}"
    if f"{name}:{width}" in features:
        return can.native(f"{name}:{width}")
    if any(each.startswith(f"{name}:") for each in features):
        return False
    return name in features and can.native(name)
