"""Haystack's standard tests of document stores, on edge, plain and quantized."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("haystack", reason="needs the environment of `make test-integrations`")

from haystack import Document
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.document_stores.types import DocumentStore, DuplicatePolicy
from haystack.testing.document_store import DocumentStoreBaseTests

from qadapt.integrations.haystack import QadaptDocumentStore

DIM = 768  # of the documents of the suite
CODES = "binary:rescore=4"


class Quantized(QadaptDocumentStore):
    """Builds the codes after each write: the embedded engine builds them on request only."""

    def write_documents(
        self, documents: list[Document], policy: DuplicatePolicy = DuplicatePolicy.NONE
    ) -> int:
        written = super().write_documents(documents, policy)
        self.collection.plan(CODES).apply(yes=True)
        if any(each.embedding for each in documents):
            assert self.collection.info().vectors[""].status.state == "active"
        return written


class TestPlain(DocumentStoreBaseTests):
    """float32 vectors. The metric dot keeps the lengths of embeddings."""

    kind = QadaptDocumentStore
    quantization: str | None = None

    @pytest.fixture
    def document_store(self, tmp_path: Path) -> Iterator[DocumentStore]:
        store = self.kind.create(
            f"edge:{tmp_path}#notes", dim=DIM, metric="dot", quantization=self.quantization
        )
        yield store
        store.close()

    @staticmethod
    def assert_documents_are_equal(received: list[Document], expected: list[Document]) -> None:
        """In any order, with embeddings in float32; everything else is equal."""
        received = sorted(received, key=lambda each: each.id)
        expected = sorted(expected, key=lambda each: each.id)
        assert [each.id for each in received] == [each.id for each in expected]
        for one, other in zip(received, expected, strict=True):
            first, second = one.to_dict(flatten=False), other.to_dict(flatten=False)
            vector, wanted = first.pop("embedding"), second.pop("embedding")
            assert first == second
            assert (vector is None) == (wanted is None)
            if wanted is not None:
                assert vector == np.asarray(wanted, dtype=np.float32).tolist()

    def test_write_documents(self, document_store: DocumentStore) -> None:
        """The default policy fails for an id that exists."""
        document = Document(content="test")
        assert document_store.write_documents([document]) == 1
        with pytest.raises(DuplicateDocumentError):
            document_store.write_documents([document])
        self.assert_documents_are_equal(document_store.filter_documents(), [document])


class TestQuantized(TestPlain):
    """Sign bits, rescored with the original vectors."""

    kind = Quantized
    quantization = CODES
