"""What any store must hold. Subclass it, give a ``database`` fixture, and run it live."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pytest

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.errors import (
    AlreadyExistsError,
    DimensionError,
    InputError,
    NonFiniteError,
    NotFoundError,
    SpecError,
    UnsupportedError,
    ZeroVectorError,
)
from qadapt.model import CollectionInfo, Hits, Level, Plan, Symbol
from qadapt.testing.data import Sample, clustered

# Every setting that a store may have. A store that has one not must say so, and what would do.
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


@functools.cache
def _sample(rows: int, dim: int, k: int) -> Sample:
    return clustered(rows, dim, k=k)


class StoreConformance:
    """The tests that a store's subclass inherits.

    Override the ``database`` fixture; it gives an open, empty ``qadapt.Database``.

    Attributes:
        must_support: settings that the store may not call unsupported.
        rows, dim: size of the collections that quantization is tried on; large enough that the
            engine builds its index.
        uuid_ids: whether string ids must be UUIDs.
        k: results that recall is measured on.
    """

    must_support: ClassVar[Sequence[str]] = ()
    rows: ClassVar[int] = 2000
    dim: ClassVar[int] = 96
    uuid_ids: ClassVar[bool] = True
    k: ClassVar[int] = 10

    # -- what a subclass gives ---------------------------------------------------------------

    @pytest.fixture
    def database(self) -> Iterator[Database]:
        """An open, empty database: to be overridden."""
        raise NotImplementedError("override the fixture `database` in your subclass")

    # -- fixtures and helpers ----------------------------------------------------------------

    @pytest.fixture(autouse=True)
    def own_state(self, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each test has a state folder of its own."""
        monkeypatch.setenv("QADAPT_STATE_DIR", str(tmp_path / "state"))

    @pytest.fixture
    def sample(self) -> Sample:
        """Rows and queries with their exact truth; made once for all tests."""
        return _sample(self.rows, self.dim, self.k)

    @pytest.fixture
    def filled(self, database: Database, sample: Sample) -> Collection:
        """A collection that holds the sample under cosine, ids 0..n-1, payload ``group``."""
        collection = database.create("articles", dim=self.dim, metric="cosine")
        payloads = [{"group": row % 7, "name": f"row {row}"} for row in range(self.rows)]
        collection.write(qa.Batch(range(self.rows), {"": sample.rows}, payloads))
        return collection

    def string_id(self, number: int) -> str:
        """A string id that the store takes."""
        name = f"row-{number}"
        return str(uuid.uuid5(uuid.NAMESPACE_URL, name)) if self.uuid_ids else name

    def recall(self, hits: Hits, sample: Sample) -> float:
        """Mean recall@k against the exact truth."""
        found = zip(hits.ids.tolist(), sample.truth.tolist(), strict=True)
        return float(np.mean([len(set(row) & set(right)) / len(right) for row, right in found]))

    # -- collections -------------------------------------------------------------------------

    def test_a_new_collection_is_listed_and_described(self, database: Database) -> None:
        assert database.collections() == []
        collection = database.create("articles", dim=24, metric="dot")
        assert database.collections() == ["articles"]
        assert "articles" in database
        info = collection.info()
        assert (info.name, info.count, list(info.vectors)) == ("articles", 0, [""])
        vector = info.vectors[""]
        assert (vector.dim, vector.metric.value, vector.datatype) == (24, "dot", "float32")
        assert vector.quantization == qa.none()
        assert vector.status.state is qa.State.ABSENT
        assert vector.status.evidence
        assert CollectionInfo.from_json(info.to_json()) == info

    def test_creating_it_again_is_refused_and_changes_nothing(self, database: Database) -> None:
        database.create("articles", dim=24)
        with pytest.raises(AlreadyExistsError):
            database.create("articles", dim=12)
        assert database["articles"].info().vectors[""].dim == 24

    def test_dropped_is_gone(self, database: Database) -> None:
        database.create("articles", dim=24)
        database.drop("articles")
        assert database.collections() == []
        with pytest.raises(NotFoundError):
            database.drop("articles")
        assert database.create("articles", dim=12).info().count == 0

    def test_unknown_collection_names_the_nearest(self, database: Database) -> None:
        database.create("articles", dim=24)
        with pytest.raises(NotFoundError, match="articles"):
            database["artciles"]

    @pytest.mark.parametrize("metric", ["cosine", "dot", "euclidean"])
    def test_scores_are_in_the_metrics_own_unit(self, database: Database, metric: str) -> None:
        sample = clustered(300, 32, queries=20)
        rows = sample.rows if metric == "cosine" else sample.rows * np.float32(3)
        collection = database.create("articles", dim=32, metric=metric)
        collection.write(qa.Batch(range(300), {"": rows}))
        hits = collection.search(sample.queries, k=10, exact=True)
        wide, asked = rows.astype(np.float64), sample.queries.astype(np.float64)
        for at in range(20):
            found = wide[hits.ids[at].astype(int)]
            if metric == "euclidean":
                expected = -((found - asked[at]) ** 2).sum(axis=1)
            else:
                expected = found @ asked[at]
            np.testing.assert_allclose(hits.scores[at], expected, atol=1e-5, rtol=1e-5)
            assert (np.diff(hits.scores[at]) <= 1e-6).all()
        assert hits.how.scores == "exact"

    # -- rows --------------------------------------------------------------------------------

    @pytest.mark.parametrize("metric", ["dot", "euclidean"])
    def test_vectors_come_back_bit_for_bit(self, database: Database, metric: str) -> None:
        rows = np.random.default_rng(1).standard_normal((500, 19)).astype(np.float32)
        rows[0, :4] = [-0.0, 1e-38, 3e38, 1.17549435e-38]
        collection = database.create("articles", dim=19, metric=metric)
        collection.write(qa.Batch(range(500), {"": rows}))
        back = self.everything(collection)
        assert back.ids == sorted(back.ids)
        assert back.vectors[""].tobytes() == rows.tobytes()
        some = collection.fetch([7, 3, 499])
        assert some.vectors[""].tobytes() == rows[[7, 3, 499]].tobytes()

    def test_cosine_keeps_the_direction(self, database: Database) -> None:
        rows = 5 * np.random.default_rng(1).standard_normal((50, 19)).astype(np.float32)
        collection = database.create("articles", dim=19, metric="cosine")
        collection.write(qa.Batch(range(50), {"": rows}))
        back = self.everything(collection).vectors[""]
        lengths = np.linalg.norm(back, axis=1, keepdims=True)
        expected = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        np.testing.assert_allclose(back / lengths, expected, atol=1e-6)

    def everything(self, collection: Collection) -> qa.Batch:
        """All rows in the order of their ids."""
        batch = qa.Batch.concat(list(collection.read()))
        order = sorted(range(len(batch)), key=lambda at: str(batch.ids[at]).zfill(40))
        return qa.Batch(
            [batch.ids[at] for at in order],
            {name: rows[order] for name, rows in batch.vectors.items()},
            None if batch.payloads is None else [batch.payloads[at] for at in order],
        )

    def test_ten_thousand_rows_in_pages(self, database: Database) -> None:
        count = 10_000
        rows = np.random.default_rng(2).standard_normal((count, 8)).astype(np.float32)
        collection = database.create("articles", dim=8, metric="dot")
        collection.write(qa.Batch(range(count), {"": rows}))
        pages = list(collection.read(page=3000))
        assert len(pages) > 1
        assert max(map(len, pages)) <= 3000
        assert sorted(key for page in pages for key in page.ids) == list(range(count))
        assert self.everything(collection).vectors[""].tobytes() == rows.tobytes()
        assert collection.count() == count
        (whole,) = collection.read(page=count, vectors=(), payload=False)
        assert len(whole) == count
        assert dict(whole.vectors) == {}

    def test_ids_of_both_kinds(self, database: Database) -> None:
        rows = np.random.default_rng(3).standard_normal((40, 8)).astype(np.float32)
        ids = [row if row % 2 else self.string_id(row) for row in range(40)]
        collection = database.create("articles", dim=8, metric="dot")
        collection.write(qa.Batch(ids, {"": rows}))
        assert set(self.everything(collection).ids) == set(ids)
        assert collection.fetch(ids).ids == ids
        hits = collection.search(rows[:6], k=1, exact=True)
        best = np.argmax(rows[:6] @ rows.T, axis=1)
        assert hits.ids[:, 0].tolist() == [ids[at] for at in best]

    def test_writing_again_replaces(self, database: Database) -> None:
        collection = database.create("articles", dim=4, metric="dot")
        collection.write(qa.Batch([1, 2], {"": np.eye(2, 4)}, [{"a": 1}, {"a": 2}]))
        collection.write(qa.Batch([2], {"": [[0, 0, 0, 9]]}, [{"b": 3}]))
        assert collection.count() == 2
        again = collection.fetch([2])
        assert again.vectors[""].tolist() == [[0, 0, 0, 9]]
        assert again.payloads == [{"b": 3}]

    def test_deleted_rows_are_gone_and_unknown_ids_are_no_error(self, database: Database) -> None:
        collection = database.create("articles", dim=4, metric="dot")
        collection.write(qa.Batch([1, 2, 3], {"": np.eye(3, 4)}))
        collection.delete([2, 77])
        assert collection.count() == 2
        assert collection.fetch([1, 2, 3]).ids == [1, 3]
        hits = collection.search([0, 1, 0, 0], k=3)
        assert 2 not in hits.ids.tolist()[0]

    def test_payload_comes_back(self, database: Database) -> None:
        payload = {"text": "naïve ☃", "number": 7, "share": 0.25, "yes": True, "list": ["a", "b"]}
        collection = database.create("articles", dim=4, metric="dot")
        collection.write(qa.Batch([1, 2], {"": np.eye(2, 4)}, [payload, {}]))
        assert collection.fetch([1]).payloads == [payload]
        hits = collection.search([1, 0, 0, 0], k=1, with_payload=True)
        assert hits.payloads == [[payload]]

    def test_named_vectors(self, database: Database) -> None:
        vectors = {"title": qa.Vector(8, qa.Metric.DOT), "body": qa.Vector(12, qa.Metric.EUCLIDEAN)}
        collection = database.create("articles", vectors=vectors)
        random = np.random.default_rng(4)
        title = random.standard_normal((30, 8)).astype(np.float32)
        body = random.standard_normal((30, 12)).astype(np.float32)
        collection.write(qa.Batch(range(30), {"title": title, "body": body}))
        info = collection.info()
        assert {name: each.vector for name, each in info.vectors.items()} == vectors
        back = self.everything(collection)
        assert back.vectors["title"].tobytes() == title.tobytes()
        assert back.vectors["body"].tobytes() == body.tobytes()
        hits = collection.search(body[5], k=1, vector="body")
        assert hits.ids.tolist() == [[5]]
        with pytest.raises(SpecError, match="say which"):
            collection.search(body[5], k=1)
        with pytest.raises(NotFoundError, match="title"):
            collection.search(title[5], k=1, vector="titel")

    # -- bad input ---------------------------------------------------------------------------

    @pytest.mark.parametrize(
        ("rows", "error"),
        [
            (np.ones((3, 5)), DimensionError),
            (np.array([[1, 1, 1, 1], [1, np.nan, 1, 1]]), NonFiniteError),
            (np.array([[1, 1, 1, 1], [1, np.inf, 1, 1]]), NonFiniteError),
            (np.array([[1, 1, 1, 1], [1, 1e39, 1, 1]]), NonFiniteError),
            (np.array([[1, 1, 1, 1], [0, 0, 0, 0]]), ZeroVectorError),
        ],
        ids=["dimension", "nan", "infinity", "beyond float32", "zero under cosine"],
    )
    def test_bad_vectors_are_refused_and_nothing_is_written(
        self, database: Database, rows: npt.NDArray[Any], error: type[Exception]
    ) -> None:
        collection = database.create("articles", dim=4, metric="cosine")
        with pytest.raises(error):
            collection.write(qa.Batch(range(len(rows)), {"": rows}))
        assert collection.count() == 0
        with pytest.raises(error):
            collection.search(rows, k=1)

    def test_a_batch_with_a_bad_row_at_its_end_writes_nothing(self, database: Database) -> None:
        rows = np.ones((5000, 4), dtype=np.float32)
        rows[4999, 2] = np.nan
        collection = database.create("articles", dim=4, metric="dot")
        with pytest.raises(NonFiniteError, match="4999"):
            collection.write(qa.Batch(range(5000), {"": rows}))
        assert collection.count() == 0

    def test_an_unknown_vector_is_refused(self, database: Database) -> None:
        collection = database.create("articles", vectors={"title": qa.Vector(4)})
        with pytest.raises(SpecError, match="title"):
            collection.write(qa.Batch([1], {"titel": np.ones((1, 4))}))
        assert collection.count() == 0

    def test_impossible_ids_are_refused(self, database: Database) -> None:
        collection = database.create("articles", dim=4, metric="dot")
        with pytest.raises(InputError, match="-1"):
            collection.write(qa.Batch([1, -1], {"": np.ones((2, 4))}))
        if self.uuid_ids:
            with pytest.raises(InputError, match="no-uuid"):
                collection.write(qa.Batch([1, "no-uuid"], {"": np.ones((2, 4))}))
        assert collection.count() == 0

    @pytest.mark.parametrize("k", [0, -1, 10_001, True, 2.5])
    def test_k_out_of_range(self, database: Database, k: Any) -> None:
        collection = database.create("articles", dim=4, metric="dot")
        with pytest.raises(InputError, match="k must be"):
            collection.search([1, 0, 0, 0], k=k)

    # -- searching ---------------------------------------------------------------------------

    def test_fewer_rows_than_k_are_padded(self, database: Database) -> None:
        collection = database.create("articles", dim=4, metric="dot")
        collection.write(qa.Batch([5, 6], {"": np.eye(2, 4)}))
        hits = collection.search(np.eye(3, 4), k=4)
        assert hits.ids.shape == hits.scores.shape == (3, 4)
        assert hits.ids[0].tolist()[2:] == [None, None]
        assert np.isnan(hits.scores[:, 2:]).all()
        assert hits.scores.dtype == np.float32

    def test_a_batch_of_queries_is_each_query_alone(
        self, filled: Collection, sample: Sample
    ) -> None:
        together = filled.search(sample.queries[:30], k=self.k, exact=True)
        for at in range(30):
            alone = filled.search(sample.queries[at], k=self.k, exact=True)
            assert alone.ids.tolist() == [together.ids[at].tolist()]
        assert self.recall(filled.search(sample.queries, k=self.k, exact=True), sample) == 1

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
        ],
        ids=lambda value: str(value) if isinstance(value, dict) else "",
    )
    def test_filters(
        self, filled: Collection, sample: Sample, filter: dict[str, Any], matching: Any
    ) -> None:
        wanted = [row for row in range(self.rows) if matching(row)]
        assert filled.count(filter=filter) == len(wanted)
        found = [key for page in filled.read(filter=filter, vectors=()) for key in page.ids]
        assert sorted(found) == wanted
        k = min(10, len(wanted))
        hits = filled.search(sample.queries[:10], k=k, filter=filter, exact=True)
        scores = sample.queries[:10] @ sample.rows[wanted].T
        best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        assert hits.ids.tolist() == [[wanted[at] for at in row] for row in best]

    def test_an_unknown_filter_word_is_refused(self, filled: Collection) -> None:
        with pytest.raises(SpecError, match="gte"):
            filled.search(np.ones(self.dim), filter={"group": {"gtee": 3}})

    # -- quantization ------------------------------------------------------------------------

    @pytest.mark.parametrize("text", SETTINGS)
    def test_every_setting_is_obeyed_or_refused(
        self, filled: Collection, sample: Sample, text: str
    ) -> None:
        wanted = qa.Quantization.parse(text)
        before = filled.fetch(range(self.rows)).vectors[""].tobytes()
        try:
            plan = filled.plan(wanted)
        except UnsupportedError as error:
            assert text not in self.must_support, error
            assert error.hint, "a refusal says what would do"
            assert filled.info().vectors[""].quantization == qa.none()
            return
        assert Plan.from_json(plan.to_json()).steps == plan.steps
        assert all(step.reason and step.request for step in plan.steps)
        if plan.match.level is Level.DIFFERS:
            assert all(plan.match.differences)
        change = plan.apply(yes=True, timeout=300)
        assert change.state == "applied"
        vector = filled.info().vectors[""]
        assert vector.status.state is qa.State.ACTIVE, vector.status
        assert vector.status.evidence
        assert vector.quantization.codes_only == plan.target.codes_only
        assert vector.code_bytes
        assert vector.code_bytes < 1.5 * 4 * self.rows * self.dim

        off = filled.search(sample.queries, k=self.k, rescore=OFF)
        assert off.how.scores == "approximate"
        assert off.how.rescorer == "none"
        lossy = self.recall(off, sample)
        assert lossy < 1, "codes that lose nothing are not in use"
        lifted = filled.search(sample.queries, k=self.k, rescore=qa.Rescore(10))
        assert self.recall(lifted, sample) > lossy
        assert lifted.how.scores == "exact"
        assert lifted.how.candidates >= 10 * self.k
        found = sample.rows[lifted.ids.astype(int)]
        exact = np.einsum("qkd,qd->qk", found, sample.queries)
        np.testing.assert_allclose(lifted.scores, exact, atol=1e-5)

        again = filled.plan(wanted)
        assert not again.changes
        assert [step.symbol for step in again.steps] == [Symbol.NOTHING]

        change.undo(timeout=300)
        vector = filled.info().vectors[""]
        assert vector.quantization == qa.none()
        assert vector.status.state is qa.State.ABSENT
        hits = filled.search(sample.queries, k=self.k)
        assert hits.how.scores == "exact"
        assert self.recall(hits, sample) > 0.95, "codes are still in use"
        assert self.recall(filled.search(sample.queries, k=self.k, exact=True), sample) == 1
        assert filled.count() == self.rows
        assert filled.fetch(range(self.rows)).vectors[""].tobytes() == before

    def test_a_remembered_rescore_is_used(self, filled: Collection, sample: Sample) -> None:
        self.supported(filled, "binary")
        filled.plan(qa.binary(rescore=6)).apply(yes=True, timeout=300)
        hits = filled.search(sample.queries, k=self.k)
        assert hits.how.oversampling == 6
        assert hits.how.rescore_from == "collection"
        told = filled.search(sample.queries, k=self.k, rescore=2)
        assert (told.how.oversampling, told.how.rescore_from) == (2, "call")
        assert self.recall(hits, sample) > self.recall(told, sample)

    def test_from_one_kind_to_another_and_back(self, filled: Collection) -> None:
        self.supported(filled, "scalar")
        self.supported(filled, "binary")
        filled.plan("scalar").apply(yes=True, timeout=300)
        change = filled.plan("binary").apply(yes=True, timeout=300)
        assert filled.info().vectors[""].quantization.kind is qa.Kind.BINARY
        change.undo(timeout=300)
        vector = filled.info().vectors[""]
        assert vector.quantization.kind is qa.Kind.SCALAR
        assert vector.status.state is qa.State.ACTIVE

    def test_quantized_from_the_start(self, database: Database, sample: Sample) -> None:
        plain = database.create("plain", dim=self.dim)
        self.supported(plain, "binary")
        collection = database.create("articles", dim=self.dim, quantization="binary:rescore=4")
        collection.write(qa.Batch(range(self.rows), {"": sample.rows}))
        collection.plan("binary:rescore=4").apply(yes=True, timeout=300)
        assert collection.info().vectors[""].status.state is qa.State.ACTIVE
        lossy = collection.search(sample.queries, k=self.k, rescore=OFF)
        assert self.recall(lossy, sample) < 1

    def test_verify_sees_what_is(self, filled: Collection) -> None:
        self.supported(filled, "binary")
        filled.plan("binary:rescore=8").apply(yes=True, timeout=300)
        report = filled.verify(k=self.k, queries=50)
        assert report.agrees
        by_label = {each.label: each for each in report.recalls}
        assert by_label["without rescoring"].recall < by_label["with rescoring"].recall
        for each in report.recalls:
            assert each.low <= each.recall <= each.high

    def supported(self, collection: Collection, text: str) -> None:
        """Skip a test that needs a setting which the store does not have."""
        try:
            collection.plan(text)
        except UnsupportedError as error:
            assert text not in self.must_support, error
            pytest.skip(f"the store has no {text}: {error.message}")
