"""The conformance suite on Elasticsearch."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from id_types import IntegersOfAnySize

import qadapt as qa
from qadapt.api import Database
from qadapt.errors import InputError


class TestElasticsearch(IntegersOfAnySize):
    """A shared server; the collection names are unique."""

    must_support = ("scalar", "scalar:bits=4", "binary", "binary:query_bits=4")

    @pytest.fixture
    def database(self, live: Callable[[str], str]) -> Iterator[Database]:
        with qa.open(live("elasticsearch")) as database:
            yield database

    @pytest.mark.parametrize("metric", ["dot", "euclidean"])
    def test_vectors_are_returned_bit_for_bit(self, database: Database, metric: str) -> None:
        """The square of a length must not overflow float32; all other values are kept."""
        rows = np.random.default_rng(1).standard_normal((500, 19)).astype(np.float32)
        rows[0, :4] = [-0.0, 1e-38, 1e18, 1e-45]
        collection = database.create(self.name, dim=19, metric=metric)
        with pytest.raises(InputError, match="overflows float32"):
            collection.write(qa.Batch([0, 1], {"": [[1.0] * 19, [2e19] * 19]}))
        assert collection.count() == 0
        collection.write(qa.Batch(self.keys(500), {"": rows}))
        assert self.everything(collection).vectors[""].tobytes() == rows.tobytes()
        some = collection.fetch([7, 3, 499])
        assert some.vectors[""].tobytes() == rows[[7, 3, 499]].tobytes()

    def test_cosine_vectors_are_returned_bit_for_bit(self, database: Database) -> None:
        """The server stores them at length 1 (one digit is lost); the document keeps them."""
        rows = 5 * np.random.default_rng(1).standard_normal((500, 19)).astype(np.float32)
        collection = database.create(self.name, dim=19, metric="cosine")
        collection.write(qa.Batch(self.keys(500), {"": rows}))
        assert self.everything(collection).vectors[""].tobytes() == rows.tobytes()
