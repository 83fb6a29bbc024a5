"""The conformance suite on OpenSearch with the engine lucene."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from id_types import IntegersOfAnySize

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.testing import Sample


class TestOpenSearch(IntegersOfAnySize):
    """A shared server; the collection names are unique."""

    must_support = ("binary", "binary:query_bits=4")
    rows = 1000
    many_rows = 4000

    @pytest.fixture
    def database(self, live: Callable[[str], str]) -> Iterator[Database]:
        with qa.open(live("opensearch")) as database:
            yield database

    @pytest.fixture(autouse=True)
    def tidy(self, own_state: None, database: Database) -> Iterator[None]:
        """Drop the collections of a test, with copies and clones."""
        yield
        for name in database.collections():
            if name.startswith((self.name, self.other)) and name in database:
                database.drop(name)

    def test_default_rescoring_is_used(self, filled: Collection, sample: Sample) -> None:
        """The server rescores at least 100 candidates, so that a smaller factor has no effect."""
        filled.plan(qa.binary(rescore=20)).apply(yes=True, timeout=300)
        hits = filled.search(sample.queries, k=self.k)
        assert (hits.how.oversampling, hits.how.rescore_from) == (20, "collection")
        fewer = filled.search(sample.queries, k=self.k, rescore=2)
        assert (fewer.how.oversampling, fewer.how.rescore_from) == (2, "call")
        assert fewer.how.candidates == 100
        assert self.recall(hits, sample) > self.recall(fewer, sample)

    def test_seven_bits(
        self, database: Database, sample: Sample, request: pytest.FixtureRequest
    ) -> None:
        """The width of scalar codes that the engine has."""
        self.test_every_setting_is_verified_active_or_refused(
            database, sample, "scalar:bits=7", request
        )

    def test_a_change_behind_an_alias_keeps_the_former_index(
        self, database: Database, small: Collection
    ) -> None:
        database.switch_alias(self.other, self.name)
        behind = database[self.other]
        change = behind.plan("binary").apply(yes=True, timeout=300)
        assert behind.info().vectors[""].status.state is qa.State.ACTIVE
        assert database[self.name].info().vectors[""].quantization.kind is qa.Kind.NONE
        assert database.aliases()[self.other] != self.name
        change.undo(timeout=300)
        assert database.aliases()[self.other] == self.name
        assert small.count() == self.few_rows
        database.drop_alias(self.other)
