"""Ground truth, and configuration compared with status, on the live engine."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qadapt as qa
from qadapt.api import Collection
from qadapt.engines import nearest
from qadapt.errors import (
    DimensionError,
    InputError,
    NonFiniteError,
    NotFoundError,
    ZeroVectorError,
)
from qadapt.evaluation.documents import Verification
from qadapt.evaluation.ground_truth import exact_neighbors, load_queries, queries_of
from qadapt.model import Metric
from qadapt.testing import Sample, clustered

ROWS, DIM = 900, 48


@pytest.fixture
def database(live: Callable[[str], str]) -> Iterator[qa.Database]:
    with qa.open(live("edge")) as opened:
        yield opened


@pytest.fixture(scope="module")
def sample() -> Sample:
    return clustered(ROWS, DIM, queries=70)


@pytest.fixture
def articles(database: qa.Database, sample: Sample) -> Collection:
    collection = database.create("articles", dim=DIM)
    collection.write(qa.Batch(range(ROWS), {"": sample.rows}))
    return collection


def slow(queries: np.ndarray, rows: np.ndarray, metric: str) -> np.ndarray:
    """Scores by definition, in float64."""
    q, x = queries.astype(np.float64), rows.astype(np.float64)
    if metric == "euclidean":
        return -((q[:, None] - x[None]) ** 2).sum(axis=2)
    if metric == "cosine":
        q /= np.linalg.norm(q, axis=1, keepdims=True)
        x /= np.linalg.norm(x, axis=1, keepdims=True)
    return q @ x.T


def neighbours(collection: Collection, queries: Any, k: int, name: str = "") -> list[list[Any]]:
    vector = collection.info().vectors[name].vector
    asked = queries_of(collection._store, collection.name, name, vector, queries)
    known = exact_neighbors(
        collection._store, collection.name, name, vector, asked, k, lambda _: None
    )
    return known.ids


# -- truth ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", [str(metric) for metric in Metric])
@pytest.mark.parametrize("block", [7, 256])
def test_exact_neighbors_match_brute_force(
    database: qa.Database, monkeypatch: pytest.MonkeyPatch, metric: str, block: int
) -> None:
    monkeypatch.setattr(nearest, "BLOCK", block)
    random = np.random.default_rng(3)
    rows = (random.standard_normal((700, 24)) * random.uniform(0.5, 3, (700, 1))).astype("f4")
    queries = random.standard_normal((20, 24)).astype(np.float32)
    collection = database.create("raw", dim=24, metric=metric)
    collection.write(qa.Batch([row + 5 for row in range(700)], {"": rows}))
    whole = collection._store.read
    # In small pages, so that the running best is what is tested.
    collection._store.read = lambda name, request: whole(
        name, dataclasses.replace(request, page=90)
    )
    best = np.argsort(-slow(queries, rows, metric), axis=1)[:, :12] + 5
    assert neighbours(collection, queries, 12) == best.tolist()


def test_a_query_is_not_its_own_neighbor(articles: Collection, sample: Sample) -> None:
    vector = articles.info().vectors[""].vector
    asked = queries_of(articles._store, "articles", "", vector, 40, seed=3)
    assert len(asked) == len(set(asked.own)) == 40
    for key, row in zip(asked.own, asked.vectors, strict=True):
        np.testing.assert_allclose(row, sample.rows[key], atol=1e-6)
    found = exact_neighbors(articles._store, "articles", "", vector, asked, 10, lambda _: None)
    for own, row in zip(asked.own, found.ids, strict=True):
        scores = slow(sample.rows[own : own + 1], sample.rows, "cosine")[0]
        scores[own] = -np.inf
        assert len(row) == 10
        assert own not in row
        assert set(row) == set(np.argsort(-scores)[:10].tolist())


def test_drawn_queries_depend_on_the_seed(articles: Collection) -> None:
    vector = articles.info().vectors[""].vector

    def own(seed: int) -> Any:
        return queries_of(articles._store, "articles", "", vector, 20, seed=seed).own

    assert own(1) == own(1) != own(2)


def test_rows_without_the_vector_are_ignored(database: qa.Database) -> None:
    vectors = {"title": qa.Vector(4), "body": qa.Vector(4)}
    collection = database.create("books", vectors=vectors)
    eye = np.eye(4, dtype=np.float32)
    missing = {"title": np.array([False, False, True, True])}
    collection.write(qa.Batch([1, 2, 3, 4], {"title": eye, "body": eye}, missing=missing))
    assert neighbours(collection, np.ones((1, 4)), 10, "title") == [[1, 2]]
    assert neighbours(collection, np.ones((1, 4)), 10, "body") == [[1, 2, 3, 4]]
    vector = collection.info().vectors["title"].vector
    asked = queries_of(collection._store, "books", "title", vector, 4)
    assert sorted(asked.own) == [1, 2]
    assert asked.vectors.any(axis=1).all(), "a missing vector is not a zero query"
    report = collection.verify(vector="title", k=3, queries=4)
    assert report.recall.value == 1


def test_a_collection_smaller_than_k_is_verified(database: qa.Database) -> None:
    collection = database.create("few", dim=4, metric="dot")
    collection.write(qa.Batch([1, 2, 3], {"": np.eye(3, 4)}))
    assert neighbours(collection, [[3, 2, 1, 0]], 10) == [[1, 2, 3]]
    report = collection.verify(k=10, queries=3)
    assert report.recall.value == 1
    assert report.queries == 3


# -- queries -------------------------------------------------------------------------------------


def test_queries_as_array_list_path_or_number_measure_the_same(
    articles: Collection, sample: Sample, tmp_path: Path
) -> None:
    path = tmp_path / "queries.npy"
    np.save(path, sample.queries)
    expected = neighbours(articles, sample.queries, 5)
    assert expected == sample.truth[:, :5].tolist()
    for given in (str(path), path, sample.queries.tolist(), sample.queries.astype(np.float64)):
        assert neighbours(articles, given, 5) == expected
    assert neighbours(articles, sample.queries[0], 5) == expected[:1]
    np.save(path, sample.queries.astype(np.float16))
    assert load_queries(path).dtype == np.float32
    assert str(path) in articles.verify(queries=path).source
    assert "70 queries" in articles.verify(queries=sample.queries).source
    assert "its vectors" in articles.verify(queries=30).source


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda folder: folder / "missing.npy", InputError, "cannot read the queries"),
        (lambda folder: str(folder / "queries.npz"), InputError, "several arrays"),
        (lambda folder: folder / "text.npy", InputError, "is not a .npy file"),
        (lambda folder: folder / "objects.npy", InputError, "Python objects"),
        (lambda folder: folder, InputError, "cannot read queries"),
        (lambda _: np.ones((2, DIM + 1)), DimensionError, f"expected {DIM}"),
        (lambda _: np.full((2, DIM), np.nan), NonFiniteError, "rows"),
        (lambda _: np.zeros((2, DIM)), ZeroVectorError, "zero vectors cannot be normalized"),
        (lambda _: np.ones((2, 2, DIM)), InputError, "shape"),
        (lambda _: np.ones((0, DIM)), InputError, "no queries"),
        (lambda _: [["a"] * DIM], InputError, "numbers"),
        (lambda _: 0, InputError, "at least 1"),
        (lambda _: -3, InputError, "at least 1"),
        (lambda _: None, InputError, "queries"),
        (lambda _: True, InputError, "queries"),
    ],
)
def test_invalid_queries_are_rejected(
    articles: Collection,
    tmp_path: Path,
    make: Callable[[Path], Any],
    error: type[Exception],
    words: str,
) -> None:
    np.savez(tmp_path / "queries.npz", q=np.ones((2, DIM)))
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object))
    (tmp_path / "text.npy").write_text("hello", encoding="utf-8")
    with pytest.raises(error, match=words):
        articles.verify(queries=make(tmp_path))


def test_an_empty_collection_is_rejected(database: qa.Database) -> None:
    collection = database.create("empty", dim=4)
    with pytest.raises(InputError, match="empty"):
        collection.verify()
    with pytest.raises(InputError, match="empty"):
        collection.plan("binary").apply(yes=True, guard=qa.Guard(0.9))


@pytest.mark.parametrize("k", [0, -1, 10_000, 2.5, True])
def test_k_out_of_range_is_rejected(articles: Collection, k: Any) -> None:
    with pytest.raises(InputError, match="k must be"):
        articles.verify(k=k)


def test_a_missing_vector_or_collection_is_reported(
    database: qa.Database, articles: Collection
) -> None:
    with pytest.raises(NotFoundError):
        articles.verify(vector="titel")
    database.drop("articles")
    with pytest.raises(NotFoundError, match="articles"):
        articles.verify()


# -- configuration and status --------------------------------------------------------------------


def test_active_codes_match_the_configuration_and_are_measured_with_each_rescoring(
    articles: Collection, sample: Sample
) -> None:
    articles.plan("binary:rescore=8").apply(yes=True)
    report = articles.verify(queries=sample.queries)
    assert report.matches_configuration
    assert report.notes == ()
    assert report.configured == "binary:rescore=8"
    assert report.status.state is qa.State.ACTIVE
    by_setting = {each.setting: each for each in report.results}
    settings = ("live", "live:rescore=off", "live:rescore=8")
    assert tuple(by_setting) == settings
    for setting, rescore in zip(settings, (None, "off", 8), strict=True):
        hits = articles.search(sample.queries, k=10, rescore=rescore)
        found = zip(hits.ids.tolist(), sample.truth.tolist(), strict=True)
        expected = np.mean([len(set(row) & set(right)) / 10 for row, right in found])
        recall = by_setting[setting].recall
        assert recall is not None
        assert recall.value == pytest.approx(expected, abs=1e-9)
        assert recall.low <= recall.value <= recall.high
        (latency,) = by_setting[setting].latency
        assert (latency.phase, latency.queries) == ("batch", 70)
        assert latency.mean > 0
    assert (report.k, report.queries) == (10, 70)
    assert report.result("live:rescore=off").recall.value < report.result("live").recall.value
    assert report.recall == by_setting["live"].recall
    assert report.format == "qadapt.verification/1"
    assert Verification.from_json(report.to_json()) == report


def test_without_quantization_only_the_live_setting_is_measured(articles: Collection) -> None:
    report = articles.verify(queries=20)
    assert report.matches_configuration
    assert [each.setting for each in report.results] == ["live"]
    assert report.recall.value == 1
    assert report.configured == "none"


def test_ignored_codes_do_not_match_the_configuration(
    database: qa.Database, sample: Sample
) -> None:
    """https://github.com/qdrant/qdrant/issues/6125: quantization silently has no effect.

    Scalar codes set at creation, and too few rows for the engine to build its index: the
    configuration says scalar, and searches use the original vectors.
    """
    collection = database.create("articles", dim=DIM, quantization="scalar")
    collection.write(qa.Batch(range(ROWS), {"": sample.rows}))
    vector = collection.info().vectors[""]
    assert vector.quantization.kind is qa.Kind.SCALAR
    assert vector.status.state is qa.State.IGNORED
    assert "10,000 KB" in vector.status.reason
    assert vector.status.advice
    report = collection.verify(queries=sample.queries)
    assert not report.matches_configuration
    assert "verified ignored" in report.notes[0]
    assert report.recall.value == 1, "the original vectors were searched and measured"
    hits = collection.search(sample.queries, rescore="off")
    assert hits.how.scores == "exact", "and no search reports scores of codes"
    # Following the advice works, although the configuration does not change.
    change = collection.plan("scalar").apply(yes=True)
    assert change.status.state is qa.State.ACTIVE
    assert collection.verify(queries=20).matches_configuration


def test_progress_reports_rows_and_queries(articles: Collection, sample: Sample) -> None:
    told: list[Any] = []
    articles.verify(queries=sample.queries, progress=told.append)
    rows = [event for event in told if event.unit == "rows"]
    assert rows[-1].done == rows[-1].total == ROWS
    asked = [event for event in told if event.unit == "queries"]
    assert [event.done for event in asked] == [64, 70]


@pytest.mark.parametrize(
    ("name", "form"),
    [("q.txt", "{0}\n"), ("q.tsv", "{0}\t{0}\n"), ("q.jsonl", '{{"text": "{0}"}}\n')],
)
def test_texts_are_encoded_as_queries(
    articles: Collection, sample: Sample, tmp_path: Path, name: str, form: str
) -> None:
    path = tmp_path / name
    path.write_text("".join(form.format(at) for at in range(30)), encoding="utf-8")

    def encoder(texts: list[str]) -> np.ndarray:
        return sample.queries[[int(text) for text in texts]]

    articles.plan("binary:rescore=off").apply(yes=True)
    expected = articles.verify(queries=sample.queries[:30])
    found = articles.verify(queries=path, encoder=encoder)
    assert found.recall.value == expected.recall.value < 1
    assert "30 texts" in found.source and "encoded" in found.source
    listed = articles.verify(queries=[str(at) for at in range(30)], encoder=encoder)
    assert listed.recall.value == expected.recall.value
    with pytest.raises(InputError, match="encoder"):
        articles.verify(queries=path)
    with pytest.raises(DimensionError):
        articles.verify(queries=path, encoder=lambda texts: np.ones((len(texts), 3)))


def test_the_ground_truth_is_read_once_until_a_row_changes(
    articles: Collection, sample: Sample, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("QADAPT_CACHE_DIR", str(tmp_path / "cache"))
    assert not articles.verify().truth.cached
    assert articles.verify().truth.cached
    # Row 500 is not among the rows that are compared if an engine has no change counter.
    articles.write(qa.Batch([500], {"": -sample.rows[500:501]}))
    found = articles.verify()
    assert not found.truth.cached
    assert found.recall.value == 1.0


def test_the_ground_truth_is_computed_again_without_a_change_counter(
    articles: Collection, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("QADAPT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(type(articles._store), "change_counter", lambda *_: None)
    articles.verify()
    assert not articles.verify().truth.cached


def test_a_note_is_printed_once(articles: Collection, sample: Sample) -> None:
    text = str(articles.verify(queries=sample.queries[:3]))
    assert text.count("3 distinct queries: this recall is weak evidence") == 1
