"""LangChain's standard suite for vector stores, on edge, plain and quantized."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("langchain_tests", reason="needs the environment of `make test-integrations`")

from langchain_core.vectorstores import VectorStore
from langchain_tests.integration_tests.vectorstores import VectorStoreIntegrationTests

from qadapt.integrations.langchain import QadaptVectorStore

CODES = "binary:rescore=4"


class Quantized(QadaptVectorStore):
    """Builds the codes after each write: the embedded engine builds them on request only."""

    def add_texts(self, *args: Any, **kwargs: Any) -> list[str]:
        ids = super().add_texts(*args, **kwargs)
        self.collection.plan(CODES).apply(yes=True)
        assert self.collection.info().vectors[""].status.state == "active"
        return ids


class TestPlain(VectorStoreIntegrationTests):
    """float32 vectors."""

    @pytest.fixture
    def vectorstore(self, tmp_path: Path) -> Iterator[VectorStore]:
        address = f"edge:{tmp_path}#notes"
        with QadaptVectorStore.create(self.get_embeddings(), address) as store:
            yield store


class TestQuantized(VectorStoreIntegrationTests):
    """Searches of sign bits, rescored with the original vectors."""

    @pytest.fixture
    def vectorstore(self, tmp_path: Path) -> Iterator[VectorStore]:
        address = f"edge:{tmp_path}#notes"
        with Quantized.create(self.get_embeddings(), address, quantization=CODES) as store:
            yield store
