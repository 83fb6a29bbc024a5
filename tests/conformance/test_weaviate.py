"""The conformance suite on a live Weaviate: hnsw and flat.

``filled`` is an alias where the server has aliases (1.32), because a quantizer can only be removed
by a copy and an alias switch. A query cannot disable rescoring, so these tests are overridden here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import pytest

import qadapt as qa
from qadapt.api import Change, Collection, Database
from qadapt.errors import PlanError, UnsupportedError
from qadapt.stores.weaviate.search import ALWAYS
from qadapt.stores.weaviate.version import SINCE_ALIAS, ServerVersion
from qadapt.testing import StoreConformance
from qadapt.testing.data import Sample
from qadapt.testing.quantization import OFF

pytest.importorskip("weaviate")


class TestWeaviateHnsw(StoreConformance):
    """The server of ``live.weaviate``, or the one that QADAPT_TEST_WEAVIATE_URL names."""

    int_ids = False
    names = "Articles_{}"
    # First version that supports each setting on a collection with rows.
    needed: ClassVar[Mapping[str, str]] = {
        "scalar": "1.26",
        "scalar:bits=4": "1.39",
        "product:ratio=4": "1.18",
        "product:ratio=16": "1.18",
        "rotational:bits=1": "1.33",
        "rotational:bits=4": "1.39",
        "rotational:bits=8": "1.32",
        "binary": "1.24",
    }

    @pytest.fixture(autouse=True)
    def version(self, database: Database) -> None:
        """Settings that this server must support."""
        self.engine = ServerVersion(database.server().version)
        wanted = tuple(text for text, since in self.needed.items() if self.engine.has(since))
        vars(self)["must_support"] = wanted
        self.aliases = self.engine.has(SINCE_ALIAS)

    @pytest.fixture
    def database(self, live: Callable[[str], str]) -> Iterator[Database]:
        """A shared server: the suite's collection names are unique."""
        with qa.open(live("weaviate")) as database:
            yield database

    @pytest.fixture(autouse=True)
    def tidy(self, own_state: None, database: Database) -> Iterator[None]:
        """Drop aliases, collections and copies of a test."""
        yield
        for alias in database.aliases():
            if alias.startswith((self.name, self.other)):
                database.drop_alias(alias)
        for name in database.collections():
            if name.startswith((self.name, self.other)):
                database.drop(name)

    @pytest.fixture
    def filled(self, database: Database, sample: Sample) -> Collection:
        """The sample, behind an alias if aliases are supported."""
        first = f"{self.name}_first" if self.aliases else self.name
        collection = database.create(first, dim=self.dim, metric="cosine")
        payloads = [{"group": row % 7, "name": f"row {row}"} for row in range(self.rows)]
        collection.write(qa.Batch(self.keys(self.rows), {"": sample.rows}, payloads))
        if self.aliases:
            database.switch_alias(self.name, first)
        return database[self.name]

    def check_undo(self, change: Change, filled: Collection, sample: Sample) -> None:
        """By the alias; without one, the change cannot be reversed and codes remain."""
        if self.aliases:
            super().check_undo(change, filled, sample)
            return
        with pytest.raises(PlanError, match="cannot be rolled back"):
            change.undo(timeout=300)
        assert filled.info().vectors[""].status.state is qa.State.ACTIVE

    def native_configuration(self, collection: Collection) -> dict[str, Any]:
        """Without the name of the collection: an undo copies to another one, as the plan says."""
        found = super().native_configuration(collection)
        if self.aliases:
            del found["config"]["class"]
        return found

    def check_restored(self, change: Change, native: dict[str, Any], filled: Collection) -> None:
        """Without aliases a change cannot be undone."""
        if self.aliases:
            super().check_restored(change, native, filled)

    def check_codes(self, filled: Collection, sample: Sample) -> None:
        """The server always rescores with the original vectors."""
        off = filled.search(sample.queries, k=self.k, rescore=OFF)
        assert (off.how.scores, off.how.rescorer) == ("exact", "store")
        assert ALWAYS in off.how.notes
        lifted = self.rescored(filled, sample)
        assert lifted.how.rescorer == "store"
        assert self.recall(lifted, sample) >= self.recall(off, sample)

    def test_changing_the_kind_and_undoing_it(self, filled: Collection) -> None:
        """Weaviate's ``scalar`` is RQ of 8 bits, and is reported as rotational."""
        self.supported(filled, "scalar")
        filled.plan("scalar").apply(yes=True, timeout=300)
        if not self.aliases:
            with pytest.raises(UnsupportedError, match=r"cannot change .* in place"):
                filled.plan("binary")
            return
        change = filled.plan("binary").apply(yes=True, timeout=300)
        assert filled.info().vectors[""].quantization.kind is qa.Kind.BINARY
        change.undo(timeout=300)
        vector = filled.info().vectors[""]
        assert str(vector.quantization.codes_only) == "rotational:bits=8"
        assert vector.status.state is qa.State.ACTIVE

    def test_searches_without_rescoring_use_codes_only(
        self, filled: Collection, sample: Sample
    ) -> None:
        """rescoreLimit 0: scores of the codes, and rescoring by qadapt."""
        self.supported(filled, "rotational:bits=1")
        coarse = qa.Quantization.parse("rotational:bits=1").replace(native=self.no_rescoring)
        filled.plan(coarse).apply(yes=True, timeout=300)
        off = filled.search(sample.queries, k=self.k)
        assert (off.how.scores, off.how.rescorer) == ("approximate", "none")
        lossy = self.recall(off, sample)
        assert lossy < 0.9
        lifted = filled.search(sample.queries, k=self.k, rescore=10)
        assert (lifted.how.scores, lifted.how.rescorer) == ("exact", "qadapt")
        assert self.recall(lifted, sample) > lossy + 0.05
        self.check_scores(lifted, sample)

    no_rescoring: dict[str, Any] = {"rq": {"rescoreLimit": 0}}  # noqa: RUF012


FLAT = {"vectorIndexType": "flat"}


class FlatDatabase(Database):
    """Create collections with a flat index unless the suite sets another."""

    def create(self, collection: str, **wanted: Any) -> Collection:
        vectors = wanted.get("vectors") or {"": None}
        given = wanted.pop("quantization", None)
        flat = qa.Quantization.of(given or "none").replace(native=FLAT)
        return super().create(collection, quantization=dict.fromkeys(vectors, flat), **wanted)


@pytest.mark.extended
class TestWeaviateFlat(TestWeaviateHnsw):
    """The same on flat indexes: a change is a copy each time."""

    needed: ClassVar[Mapping[str, str]] = {
        "scalar": "1.34",
        "rotational:bits=1": "1.34",
        "rotational:bits=8": "1.34",
        "binary": SINCE_ALIAS,
    }

    @pytest.fixture
    def database(self, live: Callable[[str], str]) -> Iterator[Database]:
        with qa.open(live("weaviate")) as opened:
            yield FlatDatabase(opened._store)

    def test_searches_without_rescoring_use_codes_only(
        self, filled: Collection, sample: Sample
    ) -> None:
        """Flat always rescores: with a limit of 0 only the results, in a better order."""
        self.supported(filled, "rotational:bits=1")
        coarse = qa.Quantization.parse("rotational:bits=1").replace(native=self.no_rescoring)
        filled.plan(coarse).apply(yes=True, timeout=300)
        off = filled.search(sample.queries, k=self.k, rescore=OFF)
        assert (off.how.scores, off.how.rescorer, off.how.candidates) == ("exact", "store", 10)
        lossy = self.recall(off, sample)
        assert lossy < 0.9
        lifted = filled.search(sample.queries, k=self.k, rescore=10)
        assert (lifted.how.rescorer, lifted.how.candidates) == ("store", 100)
        assert self.recall(lifted, sample) > lossy + 0.05

    def test_default_rescoring_is_used(self, filled: Collection, sample: Sample) -> None:
        """A rescoreLimit of 500, as the mapping sets it, rescores more than is requested here."""
        self.supported(filled, "binary")
        filled.plan(qa.binary(rescore=6)).apply(yes=True, timeout=300)
        hits = filled.search(sample.queries, k=self.k)
        assert (hits.how.oversampling, hits.how.rescore_from) == (6, "collection")
        told = filled.search(sample.queries, k=self.k, rescore=2)
        assert (told.how.oversampling, told.how.rescore_from) == (2, "call")
        assert hits.how.candidates == told.how.candidates == 500
        assert self.recall(hits, sample) == self.recall(told, sample) > 0.95

    def test_created_with_quantization(self, database: Database, sample: Sample) -> None:
        """The name of a collection cannot be switched to a copy, but no step is needed."""
        collection = database.create(self.name, dim=self.dim, quantization="binary:rescore=4")
        collection.write(qa.Batch(self.keys(self.rows), {"": sample.rows}))
        plan = collection.plan("binary:rescore=4")
        assert not plan.changes
        plan.apply(yes=True, timeout=300)
        assert collection.info().vectors[""].status.state is qa.State.ACTIVE
        with pytest.raises(UnsupportedError, match=r"flat|need Weaviate"):
            collection.plan("rotational:bits=8")

    def test_verify_reports_the_configuration(self, filled: Collection) -> None:
        """Flat always rescores, so both modes have the same recall."""
        self.supported(filled, "binary")
        filled.plan("binary:rescore=8").apply(yes=True, timeout=300)
        report = filled.verify(k=self.k, queries=50)
        assert report.matches_configuration
        without, with_rescoring = (each.recall for each in report.results[1:])
        assert without is not None and with_rescoring is not None
        assert without.value <= with_rescoring.value
        for each in (report.recall, without, with_rescoring):
            assert each.low <= each.value <= each.high
