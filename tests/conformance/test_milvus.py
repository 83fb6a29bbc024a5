"""The conformance suite on Milvus: the real server 2.3.5 and Milvus Lite."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterator

import pytest
from expected import notyet

import qadapt as qa
from qadapt.api import Database
from qadapt.errors import UnsupportedError
from qadapt.testing import StoreConformance

pytest.importorskip("pymilvus")


class TestMilvusServer(StoreConformance):
    """The server 2.3.5, or the one that QADAPT_TEST_MILVUS_URL names."""

    pytestmark = pytest.mark.timeout(400)  # product quantization is slow on 2.3.5
    uuid_ids = False
    dim = 64
    rows = 2000
    must_support = (
        "scalar",
        "product:ratio=4",
        "product:ratio=16",
        "product:ratio=64",
        "binary",
    )

    @pytest.fixture
    def database(self, live: Callable[[str], str]) -> Iterator[Database]:
        """A shared server: the suite's collection names are unique."""
        with qa.open(live("milvus")) as database:
            yield database

    def test_named_vectors(self, database: Database) -> None:
        """One vector a collection before 2.4: refused with the version, and nothing is made."""
        if not database.capabilities().native("named-vectors"):
            with pytest.raises(UnsupportedError, match=r"2\.4"):
                database.create(self.name, vectors={"a": qa.Vector(8), "b": qa.Vector(8)})
            assert self.name not in database
            return
        super().test_named_vectors(database)


def lite_is_old() -> bool:
    """Whether the Lite that is installed is version 2, the program in C++."""
    try:
        return importlib.metadata.version("milvus-lite").startswith("2.")
    except importlib.metadata.PackageNotFoundError:
        return False


class TestMilvusLite(StoreConformance):
    """``milvus:FILE.db``: Lite 3, or 2.5 where that is installed (make test-milvus-lite25)."""

    uuid_ids = False
    rows = 800
    queries = 40
    many_rows = 1000
    must_support = () if lite_is_old() else ("scalar",)

    @pytest.fixture
    def database(self, live: Callable[[str], str]) -> Iterator[Database]:
        """An empty file."""
        with qa.open(live("milvus-lite")) as database:
            yield database

    @pytest.fixture(autouse=True)
    def without_not(self, request: pytest.FixtureRequest) -> None:
        """Lite 2 does not support `not` in a filter, and reports that."""
        called = getattr(request.node, "callspec", None)
        if lite_is_old() and called is not None and "'not'" in str(called.params.get("filter")):
            request.applymarker(
                notyet("does not support `not` in a filter", raises=UnsupportedError)
            )
