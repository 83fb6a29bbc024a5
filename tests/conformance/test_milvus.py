"""The conformance suite on Milvus: the real server 2.3.5 and Milvus Lite."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

import qadapt as qa
from qadapt.api import Database
from qadapt.errors import UnsupportedError
from qadapt.testing import StoreConformance

pytest.importorskip("pymilvus")


class TestMilvusServer(StoreConformance):
    """The server 2.3.5, or the one that QADAPT_TEST_MILVUS_URL names."""

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
        """A server that others may use too: the suite's names are its own."""
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


class TestMilvusLite(StoreConformance):
    """``milvus:FILE.db``."""

    uuid_ids = False
    must_support = ("scalar",)

    @pytest.fixture
    def database(self, live: Callable[[str], str]) -> Iterator[Database]:
        """An empty file."""
        with qa.open(live("milvus-lite")) as database:
            yield database
