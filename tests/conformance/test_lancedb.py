"""The conformance suite on LanceDB."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import qadapt as qa
from qadapt.api import Database
from qadapt.errors import InputError
from qadapt.testing import StoreConformance


class TestLanceDb(StoreConformance):
    """A folder for each test."""

    must_support = ("scalar", "rotational:bits=1", "product:ratio=16")
    coarse = "rotational:bits=1"
    many_rows = 5_000

    @pytest.fixture
    def database(self, tmp_path: Path) -> Iterator[Database]:
        with qa.open(f"lancedb:{tmp_path / 'lance'}") as database:
            yield database

    def test_ids_of_both_kinds(self, database: Database) -> None:
        """A column has one type: that of the first ids of a new table."""
        collection = database.create(self.name, dim=4, metric="euclidean")
        mixed = qa.Batch([1, "a"], {"": np.eye(2, 4)})
        with pytest.raises(InputError, match="both integers and texts"):
            collection.write(mixed)
        assert collection.count() == 0
        collection.write(qa.Batch(["a", "b"], {"": np.eye(2, 4)}))
        with pytest.raises(InputError, match="does not fit the column 'id'"):
            collection.write(qa.Batch([7], {"": np.eye(1, 4)}))
        assert self.everything(collection).ids == ["a", "b"]
        assert collection.search([0, 1, 0, 0], k=1).ids.tolist() == [["b"]]

    def test_invalid_ids_are_refused(self, database: Database) -> None:
        """Negative integers are valid; other types than that of the column are refused."""
        collection = database.create(self.name, dim=4, metric="euclidean")
        collection.write(qa.Batch([0, -1], {"": np.eye(2, 4)}))
        assert collection.fetch([-1]).ids == [-1]
        for wrong in ("no-uuid", 2**63):
            with pytest.raises(InputError, match=str(wrong)):
                collection.write(qa.Batch([wrong], {"": np.eye(1, 4)}))
        assert collection.count() == 2
