"""Tests of ids for stores with other rules than integers of 64 bits and UUIDs."""

from __future__ import annotations

import numpy as np
import pytest

import qadapt as qa
from qadapt.api import Database
from qadapt.errors import InputError
from qadapt.testing import StoreConformance


class OneIdType(StoreConformance):
    """The type of the ids is that of the first ids of a new table.

    Attributes:
        id_column: the column of the ids in messages.
    """

    id_column = "the column 'id'"

    def test_ids_of_both_kinds(self, database: Database) -> None:
        """Integers and texts are not mixed."""
        collection = database.create(self.name, dim=4, metric="euclidean")
        mixed = qa.Batch([1, "a"], {"": np.eye(2, 4)})
        with pytest.raises(InputError, match="both integers and texts"):
            collection.write(mixed)
        assert collection.count() == 0
        collection.write(qa.Batch(["a", "b"], {"": np.eye(2, 4)}))
        with pytest.raises(InputError, match=f"does not fit {self.id_column}"):
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


class IntegersOfAnySize(StoreConformance):
    """All integers are valid, and texts that are none."""

    uuid_ids = False

    def test_invalid_ids_are_refused(self, database: Database) -> None:
        """A text that would be read as an integer is not valid."""
        collection = database.create(self.name, dim=4, metric="dot")
        collection.write(qa.Batch([0, -1, 2**70], {"": np.eye(3, 4)}))
        assert collection.fetch([-1, 2**70]).ids == [-1, 2**70]
        for wrong in ("7", "-1", "", "x" * 513):
            with pytest.raises(InputError, match="the id"):
                collection.write(qa.Batch([wrong], {"": np.eye(1, 4)}))
        assert collection.count() == 3
