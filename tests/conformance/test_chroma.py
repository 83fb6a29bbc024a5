"""The conformance suite on Chroma."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import qadapt as qa
from qadapt.api import Database
from qadapt.errors import InputError, UnsupportedError
from qadapt.testing import StoreConformance


class ChromaConformance(StoreConformance):
    """Chroma has no quantization, one vector per record, and any integers and texts as ids."""

    uuid_ids = False
    rows = 1_000
    many_rows = 6_000  # more than one call may write

    def test_named_vectors(self, database: Database) -> None:
        vectors = {"title": qa.Vector(8), "body": qa.Vector(12)}
        with pytest.raises(UnsupportedError, match="one unnamed vector"):
            database.create(self.name, vectors=vectors)
        assert self.name not in database

    def test_an_unknown_vector_name_is_refused(self, database: Database) -> None:
        collection = database.create(self.name, dim=4)
        with pytest.raises(qa.errors.SpecError, match="titel"):
            collection.write(qa.Batch(self.keys(1), {"titel": np.ones((1, 4))}))
        assert collection.count() == 0

    def test_invalid_ids_are_refused(self, database: Database) -> None:
        """Negative integers are valid; empty texts and numbers beyond 64 bits are not."""
        collection = database.create(self.name, dim=4, metric="dot")
        collection.write(qa.Batch([0, -1], {"": np.eye(2, 4)}))
        assert collection.fetch([-1]).ids == [-1]
        for wrong in ("", 2**64, "\ud800"):
            with pytest.raises(InputError, match="not valid"):
                collection.write(qa.Batch([wrong], {"": np.eye(1, 4)}))
        assert collection.count() == 2


class TestChromaFolder(ChromaConformance):
    """A folder for each test."""

    @pytest.fixture
    def database(self, tmp_path: Path) -> Iterator[Database]:
        with qa.open(f"chroma:{tmp_path / 'data'}") as database:
            yield database


@pytest.mark.extended
class TestChromaServer(ChromaConformance):
    """``chroma run`` on loopback."""

    @pytest.fixture
    def database(self, live: Callable[[str], str]) -> Iterator[Database]:
        with qa.open(live("chroma")) as database:
            yield database
