"""Conformance of collections and rows: creating, writing, reading, deleting, invalid input."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import qadapt as qa
from qadapt.api import Database
from qadapt.errors import (
    AlreadyExistsError,
    DimensionError,
    InputError,
    NonFiniteError,
    NotFoundError,
    SpecError,
    ZeroVectorError,
)
from qadapt.model import CollectionInfo
from qadapt.testing.data import clustered
from qadapt.testing.suite import Suite


class CollectionTests(Suite):
    """Creating, inspecting and dropping collections."""

    def test_a_new_collection_is_listed_and_described(self, database: Database) -> None:
        assert self.name not in database
        collection = database.create(self.name, dim=24, metric=self.metric)
        assert self.name in database.collections()
        assert self.name in database
        info = collection.info()
        assert (info.name, info.count, list(info.vectors)) == (self.name, 0, [""])
        vector = info.vectors[""]
        assert (vector.dim, vector.metric.value, vector.datatype) == (24, self.metric, "float32")
        assert vector.quantization == qa.none()
        assert vector.status.state is qa.State.ABSENT
        assert vector.status.evidence
        assert CollectionInfo.from_json(info.to_json()) == info

    def test_creating_an_existing_collection_changes_nothing(self, database: Database) -> None:
        database.create(self.name, dim=24)
        with pytest.raises(AlreadyExistsError):
            database.create(self.name, dim=12)
        assert database[self.name].info().vectors[""].dim == 24

    def test_a_dropped_collection_does_not_exist(self, database: Database) -> None:
        database.create(self.name, dim=24)
        database.drop(self.name)
        assert self.name not in database.collections()
        with pytest.raises(NotFoundError):
            database.drop(self.name)
        assert database.create(self.name, dim=12).info().count == 0

    def test_an_unknown_collection_suggests_the_nearest_name(self, database: Database) -> None:
        database.create(self.name, dim=24)
        with pytest.raises(NotFoundError, match=self.name):
            database[self.name[:-1]]

    @pytest.mark.parametrize("metric", ["cosine", "dot", "euclidean"])
    def test_scores_have_the_unit_of_the_metric(self, database: Database, metric: str) -> None:
        if self.refused(database, metric):
            return
        sample = clustered(300, 32, queries=20)
        rows = sample.rows if metric == "cosine" else sample.rows * np.float32(3)
        collection = database.create(self.name, dim=32, metric=metric)
        collection.write(qa.Batch(self.keys(300), {"": rows}))
        hits = collection.search(sample.queries, k=10, exact=True)
        wide, asked = rows.astype(np.float64), sample.queries.astype(np.float64)
        for at in range(20):
            found = wide[self.numbers(hits)[at]]
            if metric == "euclidean":
                expected = -((found - asked[at]) ** 2).sum(axis=1)
            else:
                expected = found @ asked[at]
            np.testing.assert_allclose(hits.scores[at], expected, atol=1e-5, rtol=1e-5)
            assert (np.diff(hits.scores[at]) <= 1e-6).all()
        assert hits.how.scores == "exact"


class RowTests(Suite):
    """Writing, reading and deleting rows."""

    @pytest.mark.parametrize("metric", ["dot", "euclidean"])
    def test_vectors_are_returned_bit_for_bit(self, database: Database, metric: str) -> None:
        if self.refused(database, metric):
            return
        rows = np.random.default_rng(1).standard_normal((500, 19)).astype(np.float32)
        rows[0, :4] = [-0.0, 1e-38, 8e18, 1.17549435e-38]
        collection = database.create(self.name, dim=19, metric=metric)
        collection.write(qa.Batch(self.keys(500), {"": rows}))
        back = self.everything(collection)
        assert back.ids == sorted(back.ids)
        assert back.vectors[""].tobytes() == rows.tobytes()
        some = collection.fetch([self.key(row) for row in (7, 3, 499)])
        assert some.vectors[""].tobytes() == rows[[7, 3, 499]].tobytes()

    def test_cosine_keeps_the_direction(self, database: Database) -> None:
        rows = 5 * np.random.default_rng(1).standard_normal((50, 19)).astype(np.float32)
        collection = database.create(self.name, dim=19, metric="cosine")
        collection.write(qa.Batch(self.keys(50), {"": rows}))
        back = self.everything(collection).vectors[""]
        lengths = np.linalg.norm(back, axis=1, keepdims=True)
        expected = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        np.testing.assert_allclose(back / lengths, expected, atol=1e-6)

    def test_many_rows_in_pages(self, database: Database) -> None:
        count = self.many_rows
        rows = np.random.default_rng(2).standard_normal((count, 8)).astype(np.float32)
        collection = database.create(self.name, dim=8, metric=self.metric)
        collection.write(qa.Batch(self.keys(count), {"": rows}))
        page = count * 3 // 10
        pages = list(collection.read(page=page))
        assert len(pages) > 1
        assert max(map(len, pages)) <= page
        assert sorted(key for page in pages for key in page.ids) == self.keys(count)
        assert self.everything(collection).vectors[""].tobytes() == rows.tobytes()
        assert collection.count() == count
        (whole,) = collection.read(page=count, vectors=(), payload=False)
        assert len(whole) == count
        assert dict(whole.vectors) == {}

    def test_ids_of_both_kinds(self, database: Database) -> None:
        rows = np.random.default_rng(3).standard_normal((40, 8)).astype(np.float32)
        ids = [self.key(row) if row % 2 else self.string_id(row) for row in range(40)]
        collection = database.create(self.name, dim=8, metric=self.metric)
        collection.write(qa.Batch(ids, {"": rows}))
        assert set(self.everything(collection).ids) == set(ids)
        assert collection.fetch(ids).ids == ids
        hits = collection.search(rows[:6], k=1, exact=True)
        best = np.argmax(rows[:6] @ rows.T, axis=1)
        assert hits.ids[:, 0].tolist() == [ids[at] for at in best]

    def test_an_upsert_replaces_rows(self, database: Database) -> None:
        collection = database.create(self.name, dim=4, metric=self.metric)
        collection.write(qa.Batch(self.keys(2), {"": np.eye(2, 4)}, [{"a": 1}, {"a": 2}]))
        collection.write(qa.Batch([self.key(1)], {"": [[0, 0, 0, 9]]}, [{"b": 3}]))
        assert collection.count() == 2
        again = collection.fetch([self.key(1)])
        assert again.vectors[""].tolist() == [[0, 0, 0, 9]]
        assert again.payloads == [{"b": 3}]

    def test_deleting_removes_rows_and_ignores_unknown_ids(self, database: Database) -> None:
        collection = database.create(self.name, dim=4, metric=self.metric)
        collection.write(qa.Batch(self.keys(3), {"": np.eye(3, 4)}))
        collection.delete([self.key(1), self.key(77)])
        assert collection.count() == 2
        assert collection.fetch(self.keys(3)).ids == [self.key(0), self.key(2)]
        hits = collection.search([0, 1, 0, 0], k=3)
        assert self.key(1) not in hits.ids.tolist()[0]

    def test_payloads_are_returned(self, database: Database) -> None:
        payload = {"text": "naïve ☃", "number": 7, "share": 0.25, "yes": True, "list": ["a", "b"]}
        collection = database.create(self.name, dim=4, metric=self.metric)
        collection.write(qa.Batch(self.keys(2), {"": np.eye(2, 4)}, [payload, {}]))
        assert collection.fetch([self.key(0)]).payloads == [payload]
        hits = collection.search([1, 0, 0, 0], k=1, with_payload=True)
        assert hits.payloads == [[payload]]

    def test_named_vectors(self, database: Database) -> None:
        vectors = {
            "title": qa.Vector(8, qa.Metric.of(self.metric)),
            "body": qa.Vector(12, qa.Metric.EUCLIDEAN),
        }
        collection = database.create(self.name, vectors=vectors)
        random = np.random.default_rng(4)
        title = random.standard_normal((30, 8)).astype(np.float32)
        body = random.standard_normal((30, 12)).astype(np.float32)
        collection.write(qa.Batch(self.keys(30), {"title": title, "body": body}))
        info = collection.info()
        assert {name: each.vector for name, each in info.vectors.items()} == vectors
        back = self.everything(collection)
        assert back.vectors["title"].tobytes() == title.tobytes()
        assert back.vectors["body"].tobytes() == body.tobytes()
        hits = collection.search(body[5], k=1, vector="body")
        assert hits.ids.tolist() == [[self.key(5)]]
        with pytest.raises(SpecError, match="name one"):
            collection.search(body[5], k=1)
        with pytest.raises(NotFoundError, match="title"):
            collection.search(title[5], k=1, vector="titel")


class BadInputTests(Suite):
    """Invalid rows are rejected before any are sent."""

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
        collection = database.create(self.name, dim=4, metric="cosine")
        with pytest.raises(error):
            collection.write(qa.Batch(self.keys(len(rows)), {"": rows}))
        assert collection.count() == 0
        with pytest.raises(error):
            collection.search(rows, k=1)

    def test_a_batch_with_a_bad_row_at_its_end_writes_nothing(self, database: Database) -> None:
        rows = np.ones((5000, 4), dtype=np.float32)
        rows[4999, 2] = np.nan
        collection = database.create(self.name, dim=4, metric=self.metric)
        with pytest.raises(NonFiniteError, match="4999"):
            collection.write(qa.Batch(self.keys(5000), {"": rows}))
        assert collection.count() == 0

    def test_an_unknown_vector_name_is_refused(self, database: Database) -> None:
        collection = database.create(self.name, vectors={"title": qa.Vector(4)})
        with pytest.raises(SpecError, match="title"):
            collection.write(qa.Batch(self.keys(1), {"titel": np.ones((1, 4))}))
        assert collection.count() == 0

    def test_invalid_ids_are_refused(self, database: Database) -> None:
        collection = database.create(self.name, dim=4, metric=self.metric)
        with pytest.raises(InputError, match="-1"):
            collection.write(qa.Batch([self.key(0), -1], {"": np.ones((2, 4))}))
        if self.uuid_ids:
            with pytest.raises(InputError, match="no-uuid"):
                collection.write(qa.Batch([self.key(0), "no-uuid"], {"": np.ones((2, 4))}))
        assert collection.count() == 0

    @pytest.mark.parametrize("k", [0, -1, 16_385, True, 2.5])
    def test_k_out_of_range(self, database: Database, k: Any) -> None:
        collection = database.create(self.name, dim=4, metric=self.metric)
        with pytest.raises(InputError, match="k must be"):
            collection.search([1, 0, 0, 0], k=k)
