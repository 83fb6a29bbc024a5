"""Conformance of searches and quantization: applied and verified, or rejected."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import qadapt as qa
from qadapt.api import Change, Collection, Database
from qadapt.api import Plan as BoundPlan
from qadapt.errors import SpecError, UnsupportedError
from qadapt.model import Hits, MatchLevel, Plan, Symbol
from qadapt.testing.data import Sample
from qadapt.testing.suite import Suite

# All possible settings. A store that does not support one must report it, with an alternative.
SETTINGS = (
    "float16",
    "scalar",
    "scalar:bits=4",
    "product:ratio=4",
    "product:ratio=16",
    "product:ratio=64",
    "rotational:bits=1",
    "rotational:bits=1.5",
    "rotational:bits=2",
    "rotational:bits=4",
    "rotational:bits=8",
    "binary",
    "binary:bits=1.5",
    "binary:bits=2",
    "binary:query_bits=4",
    "binary:query_bits=8",
)
OFF = qa.Rescore(source="off")


class SearchTests(Suite):
    """Exact searches, filters and short results."""

    def test_fewer_rows_than_k_are_padded(self, database: Database) -> None:
        collection = database.create(self.name, dim=4, metric=self.metric)
        collection.write(qa.Batch(self.keys(2), {"": np.eye(2, 4)}))
        hits = collection.search(np.eye(3, 4), k=4)
        assert hits.ids.shape == hits.scores.shape == (3, 4)
        assert hits.ids[0].tolist()[2:] == [None, None]
        assert np.isnan(hits.scores[:, 2:]).all()
        assert hits.scores.dtype == np.float32

    def test_a_batch_returns_the_results_of_single_queries(
        self, small: Collection, small_sample: Sample
    ) -> None:
        together = small.search(small_sample.queries[:10], k=self.k, exact=True)
        for at in range(10):
            alone = small.search(small_sample.queries[at], k=self.k, exact=True)
            assert alone.ids.tolist() == [together.ids[at].tolist()]
        assert (
            self.recall(small.search(small_sample.queries, k=self.k, exact=True), small_sample) == 1
        )

    @pytest.mark.parametrize(
        ("filter", "matching"),
        [
            ({"group": 3}, lambda row: row % 7 == 3),
            ({"name": "row 12"}, lambda row: row == 12),
            ({"group": [1, 2]}, lambda row: row % 7 in (1, 2)),
            ({"group": {"gte": 2, "lt": 5}}, lambda row: 2 <= row % 7 < 5),
            ({"any": [{"group": 0}, {"name": "row 1"}]}, lambda row: row % 7 == 0 or row == 1),
            ({"all": [{"group": 0}, {"not": {"name": "row 7"}}]}, lambda r: r % 7 == 0 and r != 7),
            ({"not": {"group": {"gt": 0}}}, lambda row: row % 7 == 0),
            ({"group": {"exists": True, "lt": 2}}, lambda row: row % 7 < 2),
            ({"any": [{"name": {"missing": True}}, {"group": 0}]}, lambda row: row % 7 == 0),
        ],
        ids=lambda value: str(value) if isinstance(value, dict) else "",
    )
    def test_filters(
        self, small: Collection, small_sample: Sample, filter: dict[str, Any], matching: Any
    ) -> None:
        wanted = [row for row in range(self.few_rows) if matching(row)]
        try:
            count = small.count(filter=filter)
        except UnsupportedError as error:
            assert any(word in str(filter) for word in ("not", "exists", "missing"))
            assert error.hint, "a rejection names an alternative"
            pytest.skip(f"the store does not support this filter: {error.message}")
        assert count == len(wanted)
        found = [key for page in small.read(page=50, filter=filter, vectors=()) for key in page.ids]
        assert sorted(map(self.number, found)) == wanted
        k = min(10, len(wanted))
        hits = small.search(small_sample.queries[:10], k=k, filter=filter, exact=True)
        scores = small_sample.queries[:10] @ small_sample.rows[wanted].T
        best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        assert self.numbers(hits).tolist() == [[wanted[at] for at in row] for row in best]

    def test_an_unknown_filter_operator_is_refused(self, small: Collection) -> None:
        with pytest.raises(SpecError, match="gte"):
            small.search(np.ones(self.dim), filter={"group": {"gtee": 3}})


class QuantizationTests(Suite):
    """Each setting: planned, applied, verified, searched, undone."""

    @pytest.mark.parametrize("text", SETTINGS)
    def test_every_setting_is_verified_active_or_refused(
        self, database: Database, sample: Sample, text: str, request: pytest.FixtureRequest
    ) -> None:
        wanted = qa.Quantization.parse(text)
        if wanted not in map(qa.Quantization.parse, self.must_support):
            # A rejection requires no rows.
            empty = database.create(self.other, dim=self.dim, metric="cosine")
            if self.planned(empty, wanted) is None:
                return
        filled: Collection = request.getfixturevalue("filled")
        native = self.native_configuration(filled)
        before = filled.fetch(self.keys(self.rows)).vectors[""].tobytes()
        plan = self.planned(filled, wanted)
        if plan is None:
            return
        assert Plan.from_json(plan.to_json()).steps == plan.steps
        assert all(step.reason and step.request for step in plan.steps)
        if plan.match.level is MatchLevel.DIFFERS:
            assert all(plan.match.differences)
        change = plan.apply(yes=True, timeout=300)
        assert change.state == "applied"
        vector = filled.info().vectors[""]
        assert vector.status.state is qa.State.ACTIVE, vector.status
        assert vector.status.evidence
        assert vector.quantization.codes_only == plan.target.codes_only
        assert vector.code_bytes
        assert vector.code_bytes < 1.5 * 4 * self.rows * self.dim

        self.check_codes(filled, sample)

        again = filled.plan(wanted)
        assert not again.changes
        assert [step.symbol for step in again.steps] == [Symbol.NOTHING]

        self.check_undo(change, filled, sample)
        self.check_restored(change, native, filled)
        assert filled.count() == self.rows
        assert filled.fetch(self.keys(self.rows)).vectors[""].tobytes() == before

    @pytest.mark.parametrize("text", ["scalar:rescore=4", "binary:rescore=4"])
    def test_undo_of_a_setting_with_rescoring_restores_the_configuration(
        self, filled: Collection, text: str
    ) -> None:
        """The default search parameters are part of the collection where it can keep them."""
        self.supported(filled, text.partition(":")[0])
        native = self.native_configuration(filled)
        change = filled.plan(text).apply(yes=True, timeout=300)
        assert self.native_configuration(filled) != native
        change.undo(timeout=300)
        self.check_restored(change, native, filled)

    def native_configuration(self, collection: Collection) -> dict[str, Any]:
        """The whole configuration of a collection in the store's terms, and its indexes."""
        info = collection.info()
        vectors = {name: (dict(each.index), str(each.quantization), each.status.state)
                   for name, each in info.vectors.items()}  # fmt: skip
        return {"config": dict(info.config), "vectors": vectors, "notes": info.notes}

    def check_restored(self, change: Change, native: dict[str, Any], filled: Collection) -> None:
        """An undo restores the whole native configuration."""
        now = self.native_configuration(filled)
        assert now == native, f"before the change: {native}; after the undo: {now}"

    def planned(self, collection: Collection, wanted: qa.Quantization) -> BoundPlan | None:
        """The plan, or None if the store rejects a setting that it need not support."""
        try:
            return collection.plan(wanted)
        except UnsupportedError as error:
            supported = map(qa.Quantization.parse, self.must_support)
            assert wanted not in supported, error
            assert error.hint, "a rejection names an alternative"
            assert collection.info().vectors[""].quantization == qa.none()
            return None

    def check_undo(self, change: Change, filled: Collection, sample: Sample) -> None:
        """An undo leaves no codes behind.

        A store that cannot undo overrides this test.
        """
        change.undo(timeout=300)
        vector = filled.info().vectors[""]
        assert vector.quantization == qa.none()
        assert vector.status.state is qa.State.ABSENT
        hits = filled.search(sample.queries, k=self.k)
        assert hits.how.scores == "exact"
        assert hits.how.rescorer == "none"
        assert self.recall(hits, sample) > 0.95, "codes are still in use"
        assert self.recall(filled.search(sample.queries, k=self.k, exact=True), sample) == 1

    def check_codes(self, filled: Collection, sample: Sample) -> None:
        """Codes are in use: they lose recall, and rescoring restores some of it.

        A store that cannot search without rescoring overrides this test.
        """
        off = filled.search(sample.queries, k=self.k, rescore=OFF)
        assert off.how.scores == "approximate"
        assert off.how.rescorer == "none"
        lossy = self.recall(off, sample)
        assert lossy < 1, "codes without any loss are not in use"
        assert self.recall(self.rescored(filled, sample), sample) > lossy

    def rescored(self, filled: Collection, sample: Sample) -> Hits:
        """Results with ten times as many candidates."""
        hits = filled.search(sample.queries, k=self.k, rescore=qa.Rescore(10))
        assert hits.how.scores == "exact"
        assert hits.how.candidates >= 10 * self.k
        self.check_scores(hits, sample)
        return hits

    def check_scores(self, hits: Hits, sample: Sample) -> None:
        """Scores are those of the original vectors."""
        found = sample.rows[self.numbers(hits)]
        exact = np.einsum("qkd,qd->qk", found, sample.queries)
        np.testing.assert_allclose(hits.scores, exact, atol=1e-5)

    def test_default_rescoring_is_used(self, filled: Collection, sample: Sample) -> None:
        self.supported(filled, self.coarse)
        wanted = qa.Quantization.parse(self.coarse).replace(rescore=qa.Rescore(6))
        filled.plan(wanted).apply(yes=True, timeout=300)
        hits = filled.search(sample.queries, k=self.k)
        assert hits.how.oversampling == 6
        assert hits.how.rescore_from == "collection"
        reported = filled.search(sample.queries, k=self.k, rescore=2)
        assert (reported.how.oversampling, reported.how.rescore_from) == (2, "call")
        assert self.recall(hits, sample) > self.recall(reported, sample)

    def test_changing_the_kind_and_undoing_it(self, filled: Collection) -> None:
        self.supported(filled, "scalar")
        self.supported(filled, self.coarse)
        filled.plan("scalar").apply(yes=True, timeout=300)
        change = filled.plan(self.coarse).apply(yes=True, timeout=300)
        coarse = qa.Quantization.parse(self.coarse)
        assert filled.info().vectors[""].quantization.kind is coarse.kind
        change.undo(timeout=300)
        vector = filled.info().vectors[""]
        assert vector.quantization.kind is qa.Kind.SCALAR
        assert vector.status.state is qa.State.ACTIVE

    def test_created_with_quantization(self, database: Database, sample: Sample) -> None:
        plain = database.create(self.other, dim=self.dim)
        self.supported(plain, self.coarse)
        wanted = qa.Quantization.parse(self.coarse).replace(rescore=qa.Rescore(4))
        collection = database.create(self.name, dim=self.dim, quantization=wanted)
        collection.write(qa.Batch(self.keys(self.rows), {"": sample.rows}))
        collection.plan(wanted).apply(yes=True, timeout=300)
        assert collection.info().vectors[""].status.state is qa.State.ACTIVE
        lossy = collection.search(sample.queries, k=self.k, rescore=OFF)
        assert self.recall(lossy, sample) < 1

    def test_verify_reports_the_configuration(self, filled: Collection) -> None:
        self.supported(filled, self.coarse)
        wanted = qa.Quantization.parse(self.coarse).replace(rescore=qa.Rescore(8))
        filled.plan(wanted).apply(yes=True, timeout=300)
        report = filled.verify(k=self.k, queries=min(50, self.queries))
        assert report.matches_configuration
        without, with_rescoring = (each.recall for each in report.results[1:])
        assert without is not None and with_rescoring is not None
        assert without.value < with_rescoring.value
        for each in (report.recall, without, with_rescoring):
            assert each.low <= each.value <= each.high
