"""The cells of the matrix on every live engine; see ``qadapt.testing.cells``.

    QADAPT_MATRIX_OUT=cells.jsonl pytest tests/conformance/test_cells.py

2,000 real embeddings of Wikipedia abstracts and 300 queries. Without QADAPT_MATRIX_OUT, embedded
engines get 1,000 and 60.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from embeddings import DIM, Embeddings
from live.weaviate import WeaviateServer
from slow import SLOW

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.engines.exact import exact_scores
from qadapt.model import Metric, VectorInfo
from qadapt.model.address import Address
from qadapt.stores.milvus import binary_sidecar, index_params
from qadapt.stores.milvus.store import MilvusStore
from qadapt.stores.weaviate.snapshot import SINCE_PROFILE
from qadapt.stores.weaviate.version import SINCE_ALIAS, SINCE_HFRESH, SINCE_RQ8, ServerVersion
from qadapt.testing import CellTests, Sample
from qadapt.testing.cells import ASKED, OUT

pytestmark = pytest.mark.timeout(900)

# Codes of 1,000 rows lose as much recall, and product codes take half of the time.
WRITES = bool(os.environ.get(OUT))
EMBEDDED_ROWS, EMBEDDED_QUERIES = (2000, 300) if WRITES else (1000, 60)
ONE_OF_EACH = (
    "scalar:bits=4", "scalar:bits=8", "rotational:bits=4", "binary:bits=1", "product:ratio=16",
)  # fmt: skip
# `make test`, `.ci/run` and `make test-servers` test one width of each kind.
SERVER = ASKED if WRITES or SLOW else ONE_OF_EACH
EMBEDDED = ASKED if WRITES else ONE_OF_EACH if SLOW else ("binary:bits=1",)


class RealCells(CellTests):
    """Shared data; each store provides its database."""

    data = "wikipedia-wordllama"
    dim = DIM
    queries = 300

    @pytest.fixture
    def sample(self, embeddings: Embeddings) -> Sample:
        rows, queries = embeddings.docs[: self.rows], embeddings.queries[: self.queries]
        scores = exact_scores(queries, rows, Metric.COSINE)
        return Sample(rows, queries, np.argsort(-scores, axis=1, kind="stable")[:, : self.k])


class TestEdgeCells(RealCells):
    """Without QADAPT_MATRIX_OUT, one width of a kind or, in `make test-slow`, of each kind.
    test_edge_quantization.py has them all."""

    pytestmark = pytest.mark.slow

    rows, queries = EMBEDDED_ROWS, EMBEDDED_QUERIES
    asked = EMBEDDED

    @pytest.fixture
    def database(self, live: Callable[[str], str]) -> Iterator[Database]:
        with qa.open(live("edge")) as database:
            yield database


class TestQdrantCells(RealCells):
    @pytest.fixture
    def database(self, live: Callable[[str], str]) -> Iterator[Database]:
        with qa.open(live("qdrant")) as database:
            yield database


class TestPgvectorCells(RealCells):
    asked = SERVER

    @pytest.fixture
    def database(self, live: Callable[[str], str]) -> Iterator[Database]:
        with qa.open(live("pgvector")) as database:
            yield database


class TestOpenSearchCells(RealCells):
    """The engine lucene; 20 candidates per result exceed the 100 that it always rescores."""

    oversampling = 20.0
    asked = SERVER

    @pytest.fixture
    def database(self, live: Callable[[str], str]) -> Iterator[Database]:
        with qa.open(live("opensearch")) as database:
            yield database

    @pytest.fixture(autouse=True)
    def tidy(self, own_state: None, database: Database) -> Iterator[None]:
        """Drop the collection of a test, with its copy and clone."""
        yield
        for name in database.collections():
            if name.startswith(self.name) and name in database:
                database.drop(name)


class TestElasticsearchCells(RealCells):
    uuid_ids = False
    asked = SERVER

    @pytest.fixture
    def database(self, live: Callable[[str], str]) -> Iterator[Database]:
        with qa.open(live("elasticsearch")) as database:
            yield database


class TestSqliteVecCells(RealCells):
    pytestmark = pytest.mark.slow
    rows, queries = EMBEDDED_ROWS, EMBEDDED_QUERIES
    asked = SERVER

    @pytest.fixture
    def database(self, tmp_path: Path) -> Iterator[Database]:
        with qa.open(f"sqlite-vec:{tmp_path / 'test.db'}") as database:
            yield database


class TestChromaCells(RealCells):
    """Chroma has no quantization: each kind is refused on the engine."""

    pytestmark = pytest.mark.slow
    asked = SERVER

    @pytest.fixture
    def database(self, tmp_path: Path) -> Iterator[Database]:
        with qa.open(f"chroma:{tmp_path / 'data'}") as database:
            yield database


class TestLanceDbCells(RealCells):
    """One partition, so that a search scans all codes."""

    pytestmark = pytest.mark.slow
    rows, queries = EMBEDDED_ROWS, EMBEDDED_QUERIES
    asked = ASKED if WRITES else ONE_OF_EACH if SLOW else ("rotational:bits=4",)

    @pytest.fixture
    def database(self, tmp_path: Path) -> Iterator[Database]:
        with qa.open(f"lancedb:{tmp_path / 'lance'}") as database:
            yield database


class TestLanceDbHnswCells(TestLanceDbCells):
    """Codes in a graph, which loses recall for original vectors, too."""

    asked = ("scalar:bits=8", "product:ratio=16") if SLOW or WRITES else ("scalar:bits=8",)

    def wanted(self, setting: str) -> qa.Quantization:
        return qa.Quantization.parse(setting).replace(native={"index": "hnsw"})


class TestClickHouseCells(RealCells):
    """chDB; product codes with QADAPT_MATRIX_OUT only, because their build takes minutes."""

    pytestmark = pytest.mark.slow

    rows, queries = EMBEDDED_ROWS, EMBEDDED_QUERIES
    asked = ASKED if WRITES else ONE_OF_EACH[:-1] if SLOW else ("rotational:bits=1",)

    @pytest.fixture
    def database(self, live: Callable[[str], str]) -> Iterator[Database]:
        with qa.open(live("clickhouse")) as database:
            yield database


class MilvusCells(RealCells):
    uuid_ids = False
    asked = SERVER

    @pytest.fixture
    def database(self, live: Callable[[str], str]) -> Iterator[Database]:
        pytest.importorskip("pymilvus")
        store = MilvusStore.open(Address.parse(live("milvus")))
        self.connection = store.connection
        with Database(store) as database:
            yield database


class TestMilvusCells(MilvusCells):
    def index(self, vector: VectorInfo) -> str:
        """Settings of the bits index, which has its own collection."""
        if vector.quantization.kind is not qa.Kind.BINARY:
            return super().index(vector)
        (beside,) = index_params.indexes(
            self.connection, binary_sidecar.name_of(self.name, "vector")
        ).values()
        return beside.type


@pytest.mark.extended
class TestMilvusScannCells(MilvusCells):
    """SCANN scores ``reorder_k`` candidates with original vectors: as many as results, so that the
    codes decide.
    """

    asked = ("product:ratio=16",)

    def wanted(self, setting: str) -> qa.Quantization:
        return qa.Quantization.parse(setting).replace(native={"index_type": "SCANN"})


class TestMilvusLiteCells(RealCells):
    pytestmark = pytest.mark.slow
    rows, queries = EMBEDDED_ROWS, EMBEDDED_QUERIES
    asked = EMBEDDED
    uuid_ids = False

    @pytest.fixture
    def database(self, tmp_path: Path) -> Iterator[Database]:
        pytest.importorskip("milvus_lite")
        with qa.open(f"milvus:{tmp_path / 'test.db'}") as database:
            yield database


class WeaviateCells(RealCells):
    """Behind an alias, since most changes are a copy; one search rescores only k candidates.

    Before 1.32 there are no aliases: an hnsw index is then changed in place, and others cannot be
    changed.
    """

    int_ids = False
    names = "Articles_{}"
    needs: ClassVar[str] = SINCE_ALIAS

    @pytest.fixture(autouse=True)
    def engine(self, database: Database) -> ServerVersion:
        """The server's version; it must support the cells."""
        found = ServerVersion(database.server().version)
        if not found.has(self.needs):
            pytest.skip(f"this server is {found.words}, older than {self.needs}")
        self.scalar = "rq" if found.has(SINCE_RQ8) else "sq"
        return found

    @pytest.fixture
    def database(self, live: Callable[[str], str]) -> Iterator[Database]:
        with qa.open(live("weaviate")) as database:
            yield database

    def created(self, database: Database) -> Collection:
        aliases = ServerVersion(database.server().version).has(SINCE_ALIAS)
        real = f"{self.name}_v1" if aliases else self.name
        database.create(real, dim=self.dim, metric="cosine", quantization=self.start)
        if aliases:
            database.switch_alias(self.name, real)
        return database[self.name]

    @pytest.fixture(autouse=True)
    def tidy(self, own_state: None, database: Database) -> Iterator[None]:
        yield
        if self.name in database.aliases():
            database.drop_alias(self.name)
        for name in database.collections():
            if name.startswith(self.name):
                database.drop(name)


class TestWeaviateCells(WeaviateCells):
    """RQ without rescoring, so that the recall of its codes is measured.

    BQ and PQ always rescore all ``ef`` candidates: as many as results, so that the codes decide.

    Filtered searches of so few rows compare all of them (flatSearchCutoff) instead of the graph,
    which would also lose recall with so small an ``ef``.
    """

    every: ClassVar[dict[str, Any]] = {"group": {"gte": 0}}
    start = qa.none(native={"ef": 10})
    needs = "1.26"
    asked = SERVER

    def wanted(self, setting: str) -> qa.Quantization:
        wanted = qa.Quantization.parse(setting)
        if wanted.kind is qa.Kind.ROTATIONAL or wanted.bits == 4:
            return wanted.replace(native={"rq": {"rescoreLimit": 0}})
        if wanted.kind is qa.Kind.SCALAR:
            return wanted.replace(native={self.scalar: {"rescoreLimit": 0}})
        return wanted.replace(native={"ef": self.k})


@pytest.mark.extended
class TestWeaviateFlatCells(WeaviateCells):
    """A flat index rescores ``max(k, rescoreLimit)`` candidates: only k with a limit of -1."""

    start = qa.none(native={"vectorIndexType": "flat"})
    asked = ("scalar:bits=8", "rotational:bits=1", "rotational:bits=8", "binary:bits=1")

    def wanted(self, setting: str) -> qa.Quantization:
        wanted = qa.Quantization.parse(setting)
        block = "bq" if wanted.kind is qa.Kind.BINARY else "rq"
        return wanted.replace(native={block: {"rescoreLimit": -1}})


@pytest.mark.extended
class TestWeaviateHFreshCells(WeaviateCells):
    """It always has one kind, and rescores ``rescoreLimit`` candidates, a setting of all
    searches."""

    start = qa.rotational(bits=1, native={"vectorIndexType": "hfresh"})
    needs = SINCE_HFRESH
    asked = ("rotational:bits=1",)

    def wanted(self, setting: str) -> qa.Quantization:
        return qa.Quantization.parse(setting).replace(native={"rq": {"rescoreLimit": self.k}})

    def widen(self, collection: Collection) -> None:
        limit = int(self.k * self.oversampling)
        collection.plan(qa.rotational(bits=1, native={"rq": {"rescoreLimit": limit}})).apply()


@pytest.mark.extended
class TestWeaviateDynamicCells(WeaviateCells):
    """Above its threshold of rows, so that the graph is searched; requires ASYNC_INDEXING.

    A rescored search shows whether it has codes, so RQ rescores k candidates. PQ is not tested:
    after a copy to a dynamic index the engine ignored it (an ApplyError).
    """

    needs = SINCE_PROFILE
    every: ClassVar[dict[str, Any]] = {"group": {"gte": 0}}
    start = qa.none(native={"vectorIndexType": "dynamic", "threshold": 1000, "hnsw": {"ef": 10}})
    asked = (
        "scalar:bits=4",
        "scalar:bits=8",
        "rotational:bits=1",
        "rotational:bits=4",
        "rotational:bits=8",
        "binary:bits=1",
    )

    @pytest.fixture
    def database(self, weaviate_server: Callable[..., WeaviateServer]) -> Iterator[Database]:
        server = weaviate_server(ASYNC_INDEXING="true", ASYNC_INDEXING_STALE_TIMEOUT="1s")
        with qa.open(server.url) as database:
            yield database

    @pytest.fixture
    def filled(self, database: Database, sample: Sample) -> Collection:
        """Wait until all rows are in the index, which takes them from a queue."""
        collection = self.created(database)
        payloads = [{"group": row % 7} for row in range(self.rows)]
        collection.write(qa.Batch(self.keys(self.rows), {"": sample.rows}, payloads))
        end = time.monotonic() + 90
        while self.waiting(collection):
            assert time.monotonic() < end, "rows were not indexed in time"
            time.sleep(1)
        return collection

    def waiting(self, collection: Collection) -> int:
        """The number of rows in the queue, as the engine reports it."""
        (found,) = (
            each.value
            for each in collection.info().vectors[""].status.evidence
            if each.signal == "nodes: rows waiting to be indexed"
        )
        assert isinstance(found, int)
        return found

    def wanted(self, setting: str) -> qa.Quantization:
        wanted = qa.Quantization.parse(setting)
        if wanted.kind in (qa.Kind.SCALAR, qa.Kind.ROTATIONAL):
            return wanted.replace(native={"hnsw": {"rq": {"rescoreLimit": self.k}}})
        return wanted.replace(native={"hnsw": {"ef": self.k}})
