"""The conformance suite on ClickHouse in chDB."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from id_types import OneIdType

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.stores.clickhouse.search import ALWAYS, UNITS
from qadapt.testing.data import Sample
from qadapt.testing.quantization import OFF, SETTINGS

# The codec of product codes trains 256 centroids for each segment.
ASKED = [
    pytest.param(text, marks=pytest.mark.long if text.startswith("product") else ())
    for text in SETTINGS
]


class TestClickHouse(OneIdType):
    """A database for each test, in the folder of this process."""

    must_support = ("scalar", "binary", "float16", "rotational:bits=1", "rotational:bits=2")
    many_rows = 2_000
    rows = 600
    queries = 15  # chDB starts a pipeline for each
    dim = 32

    @pytest.fixture
    def database(self, live: Callable[[str], str]) -> Iterator[Database]:
        with qa.open(live("clickhouse")) as database:
            yield database

    @pytest.mark.parametrize("text", ASKED)
    def test_every_setting_is_verified_active_or_refused(
        self, database: Database, sample: Sample, text: str, request: pytest.FixtureRequest
    ) -> None:
        super().test_every_setting_is_verified_active_or_refused(database, sample, text, request)

    def check_codes(self, filled: Collection, sample: Sample) -> None:
        """A codec and sign bits are always rescored, with as many candidates as results."""
        kind = filled.info().vectors[""].quantization.kind
        if kind is qa.Kind.FLOAT16:
            off = filled.search(sample.queries, k=self.k, rescore=OFF)
            assert off.how.scores == "approximate"
            assert self.recall(off, sample) > 0.99
            return
        if kind is qa.Kind.SCALAR:
            super().check_codes(filled, sample)
            return
        off = filled.search(sample.queries, k=self.k, rescore=OFF)
        assert (off.how.scores, off.how.candidates) == ("exact", self.k)
        assert off.how.notes in ((ALWAYS,), (UNITS,))
        lossy = self.recall(off, sample)
        assert lossy < 1, "codes without any loss are not in use"
        assert self.recall(self.rescored(filled, sample), sample) > lossy
