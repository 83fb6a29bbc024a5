"""Shared parts of the conformance suite: names, ids, a filled collection."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pytest

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.errors import UnsupportedError
from qadapt.evaluation.exact_neighbors import recall_in
from qadapt.model import Hits, Id, Metric
from qadapt.testing.data import Sample, clustered


@functools.cache
def _sample(rows: int, dim: int, queries: int, k: int) -> Sample:
    return clustered(rows, dim, queries, k=k)


class Suite:
    """Settings of a subclass, and helpers of the tests.

    Override the ``database`` fixture, which returns an open ``qadapt.Database``. A shared server is
    possible: each test creates collections with unique names, and drops them.

    Attributes:
        must_support: settings that the store must support.
        coarse: a setting with which rescoring and undo are tested: its codes lose recall.
        rows, dim: size of the collections for quantization tests; large enough that the engine
            builds its index.
        queries: number of queries of a recall; fewer where each search is slow.
        few_rows: size of the collections for tests that need no index.
        many_rows: size of a collection that is read in pages.
        int_ids: whether the store accepts integer ids.
        uuid_ids: whether string ids must be UUIDs.
        metrics: the metrics that the store supports; the others must be rejected.
        names: the format of collection names; ``{}`` is replaced by a unique part.
        k: number of results for recall.
    """

    must_support: ClassVar[Sequence[str]] = ()
    coarse: ClassVar[str] = "binary"
    rows: ClassVar[int] = 2000
    queries: ClassVar[int] = 100
    few_rows: ClassVar[int] = 300
    many_rows: ClassVar[int] = 10_000
    dim: ClassVar[int] = 96
    int_ids: ClassVar[bool] = True
    uuid_ids: ClassVar[bool] = True
    metrics: ClassVar[Sequence[str]] = ("cosine", "dot", "euclidean")
    names: ClassVar[str] = "articles_{}"
    k: ClassVar[int] = 10
    name = ""
    other = ""

    @pytest.fixture
    def database(self) -> Iterator[Database]:
        """An open database; override this fixture."""
        raise NotImplementedError("override the fixture `database` in your subclass")

    @pytest.fixture(autouse=True)
    def own_state(self, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """Give each test its own state folder and names."""
        monkeypatch.setenv("QADAPT_STATE_DIR", str(tmp_path / "state"))
        unique = uuid.uuid4().hex[:10]
        self.name, self.other = (self.names.format(f"{unique}_{word}") for word in "ab")

    @pytest.fixture(autouse=True)
    def tidy(self, own_state: None, database: Database) -> Iterator[None]:
        """Drop the collections of a test."""
        yield
        for name in database.collections():
            if name in (self.name, self.other):
                database.drop(name)

    @pytest.fixture
    def sample(self) -> Sample:
        """Rows and queries with their ground truth; created once for all tests."""
        return _sample(self.rows, self.dim, self.queries, self.k)

    @pytest.fixture
    def filled(self, database: Database, sample: Sample) -> Collection:
        """A collection with the sample under cosine, rows 0..n-1, payload ``group``."""
        return self._fill(database, sample)

    @pytest.fixture
    def small_sample(self) -> Sample:
        """``few_rows`` rows and queries with their ground truth."""
        return _sample(self.few_rows, self.dim, self.queries, self.k)

    @pytest.fixture
    def small(self, database: Database, small_sample: Sample) -> Collection:
        """As ``filled``, with ``few_rows`` rows, for tests of exact searches and of filters."""
        return self._fill(database, small_sample)

    def _fill(self, database: Database, sample: Sample) -> Collection:
        count = len(sample.rows)
        collection = database.create(self.name, dim=self.dim, metric="cosine")
        payloads = [{"group": row % 7, "name": f"row {row}"} for row in range(count)]
        collection.write(qa.Batch(self.keys(count), {"": sample.rows}, payloads))
        return collection

    # -- ids ---------------------------------------------------------------------------------

    def key(self, row: int) -> Id:
        """The id of a row: its number, or a UUID that contains it."""
        return row if self.int_ids else str(uuid.UUID(int=row + 1))

    def keys(self, count: int) -> list[Id]:
        """The ids of the rows 0..count-1."""
        return [self.key(row) for row in range(count)]

    def number(self, key: Id) -> int:
        """The row of an id."""
        return int(key) if self.int_ids else uuid.UUID(str(key)).int - 1

    def numbers(self, hits: Hits) -> npt.NDArray[np.int64]:
        """The rows found, ``(nq, k)``; no query may have fewer results."""
        found = [[self.number(key) for key in row] for row in hits.ids.tolist()]
        return np.array(found, dtype=np.int64)

    def string_id(self, number: int) -> str:
        """A string id that the store accepts."""
        name = f"row-{number}"
        return str(uuid.uuid5(uuid.NAMESPACE_URL, name)) if self.uuid_ids else name

    # -- metrics -----------------------------------------------------------------------------

    @property
    def metric(self) -> str:
        """A metric under which every store returns vectors bit for bit."""
        return "dot" if "dot" in self.metrics else "euclidean"

    def refused(self, database: Database, metric: str) -> bool:
        """Whether the store does not support a metric; it must then reject the collection."""
        if metric in self.metrics:
            return False
        with pytest.raises(UnsupportedError, match=metric):
            database.create(self.name, dim=4, metric=metric)
        assert self.name not in database
        return True

    # -- measures ----------------------------------------------------------------------------

    def recall(self, hits: Hits, sample: Sample) -> float:
        """Mean recall@k by exact scores of the sample's own vectors."""
        found = [[self.number(key) for key in row if key is not None] for row in hits.ids.tolist()]
        k = sample.truth.shape[1]
        return float(recall_in(sample.rows, sample.queries, Metric.COSINE, found, k).mean())

    def everything(self, collection: Collection) -> qa.Batch:
        """All rows in the order of their ids."""
        batch = qa.Batch.concat(list(collection.read()))
        order = sorted(range(len(batch)), key=lambda at: str(batch.ids[at]).zfill(40))
        return qa.Batch(
            [batch.ids[at] for at in order],
            {name: rows[order] for name, rows in batch.vectors.items()},
            None if batch.payloads is None else [batch.payloads[at] for at in order],
        )

    def supported(self, collection: Collection, text: str) -> None:
        """Skip a test that needs a setting that the store does not support."""
        try:
            collection.plan(text)
        except UnsupportedError as error:
            assert text not in self.must_support, error
            pytest.skip(f"the store does not support {text}: {error.message}")
