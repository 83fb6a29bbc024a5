"""Evaluate real embeddings on the live engine: quality, latency and bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from embeddings import DIM, ROWS
from reference import asymmetric, binary_recall, hamming, ndcg, rescored, scalar, top
from reference import recall as recall_of

import qadapt as qa
from qadapt.api import Collection
from qadapt.errors import DimensionError, InputError, SpecError, UnsupportedError
from qadapt.evaluation.documents import Evaluation
from qadapt.evaluation.results import Result
from qadapt.stores.base import ChangePlan, Progress

QUERIES = 150


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QADAPT_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def database(live: Callable[[str], str]) -> Iterator[qa.Database]:
    with qa.open(live("edge")) as opened:
        yield opened


@pytest.fixture
def articles(database: qa.Database, embeddings: Any) -> Collection:
    made = database.create("articles", dim=embeddings.dim)
    payloads = [{"doc": key} for key in embeddings.doc_ids]
    made.write(qa.Batch(range(len(embeddings.docs)), {"": embeddings.docs}, payloads))
    return made


def recall(found: Evaluation, setting: str) -> float:
    result = found.result(setting)
    assert result.recall is not None, result.notes
    assert result.recall.low <= result.recall.value <= result.recall.high
    return result.recall.value


def test_candidates_are_measured_and_the_collection_does_not_change(
    articles: Collection, embeddings: Any
) -> None:
    before = articles.info()
    steps: list[Progress] = []
    found = articles.evaluate(
        "scalar:rescore=off", "binary:rescore=off", "binary:rescore=4",
        "binary:query_bits=8,rescore=4 hnsw_ef=128", "rotational:bits=4,rescore=off",
        queries=embeddings.queries[:QUERIES], seconds=0.2, progress=steps.append,
    )  # fmt: skip
    docs, queries = embeddings.docs, embeddings.queries[:QUERIES]
    exact = queries @ docs.T
    for_query_of_floats = rescored(asymmetric(docs, queries), exact, 4)
    assert recall(found, "live") == 1.0
    scalar_codes = recall_of(top(scalar(docs, queries)), top(exact))
    assert recall(found, "scalar:rescore=off") == pytest.approx(scalar_codes, abs=0.01)
    for setting, factor in (("binary:rescore=off", 1), ("binary:rescore=4", 4)):
        expected = binary_recall(docs, queries, factor)
        assert recall(found, setting) == pytest.approx(expected, abs=0.02), setting
    with_8 = recall(found, "binary:query_bits=8,rescore=4 hnsw_ef=128")
    assert with_8 == pytest.approx(recall_of(for_query_of_floats, top(exact)), abs=0.02)
    assert articles.info() == before
    assert articles._store.collections() == ["articles"]
    assert found.copy_rows == found.count == ROWS
    assert {step.stage for step in steps} >= {"computing ground truth", "copying a sample"}
    assert Evaluation.from_json(found.to_json()) == found


def test_each_result_has_bytes_latency_and_provenance(
    articles: Collection, embeddings: Any
) -> None:
    found = articles.evaluate(
        "none", "binary:rescore=4", queries=embeddings.queries[:50], seconds=0.2, concurrency=(1, 2)
    )
    none, binary = found.result("none"), found.result("binary:rescore=4")
    assert none.bytes_per_vector == pytest.approx(4 * DIM, rel=0.01)
    assert binary.bytes is not None
    # One bit per dimension; the growing segment adds a file system block.
    assert DIM / 8 * ROWS <= binary.bytes.codes <= DIM / 8 * ROWS + 4096
    assert binary.bytes_per_vector == pytest.approx(binary.bytes.codes / ROWS)
    assert binary.bytes.originals == pytest.approx(4 * DIM * ROWS, rel=0.01)
    assert binary.how is not None
    assert (binary.how.rescorer, binary.how.candidates) == ("store", 40)
    assert binary.status is not None and binary.status.state is qa.State.ACTIVE
    assert binary.score_error is not None and binary.score_error < 1e-5
    for result in found.results:
        assert [(each.phase, each.concurrency) for each in result.latency] == [
            ("cold", 1), ("warm", 1), ("warm", 2)
        ]  # fmt: skip
        for each in result.latency:
            assert 0 <= each.p50 <= each.p95 <= each.p99
            assert each.throughput > 0
            assert each.client_ms is not None and each.client_ms > 0
        assert result.latency[1].queries >= 20


def test_without_candidates_nothing_is_written_and_the_client_is_not_measured(
    articles: Collection, embeddings: Any
) -> None:
    def refused(*_: Any) -> None:
        raise AssertionError("something was written")

    articles._store.create = refused  # type: ignore[method-assign]
    found = articles.evaluate(queries=embeddings.queries[:30], seconds=0.1)
    assert found.copy_rows is None
    assert [item.client_ms for item in found.results[0].latency] == [None] * 3


def test_the_live_collection_is_measured_with_other_search_parameters(
    articles: Collection, embeddings: Any
) -> None:
    articles.plan("binary").apply(yes=True)
    found = articles.evaluate(
        "live:rescore=4", "live:rescore=off", queries=embeddings.queries[:QUERIES], concurrency=()
    )
    assert [item.setting for item in found.results] == [
        "live",
        "live:rescore=4",
        "live:rescore=off",
    ]
    for setting, factor in (("live:rescore=off", 1), ("live:rescore=4", 4)):
        expected = binary_recall(embeddings.docs, embeddings.queries[:QUERIES], factor)
        assert recall(found, setting) == pytest.approx(expected, abs=0.02), setting
    off = found.result("live:rescore=off")
    assert off.score_error is not None and off.score_error > 1  # raw counts of bits


def test_relevance_labels_are_compared_with_exact_search(
    articles: Collection, embeddings: Any
) -> None:
    options: dict[str, Any] = {
        "queries": embeddings.queries,
        "query_ids": embeddings.query_ids,
        "labels": embeddings.qrels,
        "label_field": "doc",
        "concurrency": (),
        "k": 10,
    }
    found = articles.evaluate("binary:rescore=off", **options)
    live, binary = found.result("live").labels, found.result("binary:rescore=off").labels
    assert live is not None and binary is not None
    labels = (embeddings.doc_ids, embeddings.query_ids, embeddings.qrels)
    exact = top(embeddings.queries @ embeddings.docs.T)
    # One document is relevant to each query, so recall@10 is the share of queries that find it.
    found_it = [
        next(iter(embeddings.qrels[query])) in {embeddings.doc_ids[row] for row in rows}
        for query, rows in zip(embeddings.query_ids, exact.tolist(), strict=True)
    ]
    assert live.queries == 300
    assert live.exact_ndcg == pytest.approx(ndcg(exact, *labels), abs=1e-6)
    assert live.ndcg.value == pytest.approx(live.exact_ndcg, abs=1e-3)
    assert live.recall.value == pytest.approx(np.mean(found_it), abs=0.002)
    by_bits = top(hamming(embeddings.docs, embeddings.queries))
    assert binary.ndcg.value == pytest.approx(ndcg(by_bits, *labels), abs=0.01)
    assert binary.exact_ndcg == live.exact_ndcg


def test_a_sample_of_a_large_collection_is_copied(articles: Collection, embeddings: Any) -> None:
    found = articles.evaluate(
        "scalar", queries=embeddings.queries[:50], copy_rows=1_000, concurrency=()
    )
    assert (found.copy_rows, found.count) == (1_000, ROWS)
    assert any("1,000 of 5,000" in note for note in found.notes)
    assert recall(found, "scalar") > 0.95


def test_unsupported_settings_are_reported_and_the_others_measured(
    articles: Collection, embeddings: Any
) -> None:
    found = articles.evaluate(
        "scalar:bits=4", "scalar", "binary:rescore=4@codes", "float16",
        queries=embeddings.queries[:30], concurrency=(), live=False,
    )  # fmt: skip
    states = {item.setting: item.state for item in found.results}
    assert states == {
        "scalar:bits=4": "unsupported",
        "scalar": "measured",
        "binary:rescore=4@codes": "unsupported",
        "float16": "measured",
    }
    assert "7 bits" in " ".join(found.result("scalar:bits=4").notes)
    assert found.result("float16").bytes_per_vector == pytest.approx(2 * DIM, rel=0.01)
    assert articles._store.collections() == ["articles"]


def test_inactive_codes_have_no_recall(
    articles: Collection, embeddings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No steps are run, so the configuration does not change.
    monkeypatch.setattr(articles._store, "plan_change", lambda _: ChangePlan())
    monkeypatch.setattr(
        articles._store, "create",
        lambda name, vectors, _: type(articles._store).create(articles._store, name, vectors, {}),
    )  # fmt: skip
    found = articles.evaluate("scalar", queries=embeddings.queries[:20], concurrency=(), live=False)
    result: Result = found.results[0]
    assert result.state == "not active"
    assert result.recall is None
    assert "not active on the engine" in " ".join(result.notes)


def test_self_matches_are_excluded(articles: Collection) -> None:
    found = articles.evaluate("none", queries=60, concurrency=())
    assert recall(found, "live") == recall(found, "none") == 1.0
    assert "self-matches excluded" in found.source


def test_texts_are_encoded_as_queries(articles: Collection, embeddings: Any) -> None:
    vectors = dict(zip(embeddings.query_ids, embeddings.queries, strict=True))

    def encoder(texts: list[str]) -> np.ndarray:
        return np.stack([vectors[text] for text in texts])

    found = articles.evaluate(
        queries=embeddings.query_ids[:40], encoder=encoder, labels=embeddings.qrels,
        query_ids=embeddings.query_ids[:40], label_field="doc", concurrency=(),
    )  # fmt: skip
    assert found.queries == 40
    assert "encoded" in found.source
    assert found.results[0].labels is not None
    with pytest.raises(InputError, match="encoder"):
        articles.evaluate(queries=["a question"])
    with pytest.raises(DimensionError):
        articles.evaluate(queries=["a question"], encoder=lambda texts: np.ones((1, 3)))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("q.jsonl", '{"_id": "7", "text": "one"}\n{"_id": "8", "text": "two"}\n'),
        ("q.tsv", "7\tone\n8\ttwo\n"),
        ("q.txt", "one\n\ntwo\n"),
    ],
)
def test_texts_are_read_from_files(
    articles: Collection, embeddings: Any, tmp_path: Path, name: str, text: str
) -> None:
    from qadapt.evaluation.options import EvaluationOptions
    from qadapt.evaluation.query_input import resolve_queries

    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    heard: list[str] = []

    def encoder(texts: list[str]) -> np.ndarray:
        heard.extend(texts)
        return embeddings.queries[: len(texts)]

    vector = articles.info().vectors[""].vector
    asked = resolve_queries(
        articles._store, "articles", "", vector, EvaluationOptions(queries=path, encoder=encoder)
    )
    assert heard == ["one", "two"]
    assert asked.ids == (None if name == "q.txt" else ("7", "8"))


@pytest.mark.parametrize(
    "options",
    [
        {"k": 0}, {"rows": 0}, {"copy_rows": 0}, {"concurrency": (0,)}, {"queries": "nowhere.npy"},
        {"queries": np.zeros((0, DIM), dtype=np.float32)}, {"live": False},
        {"labels": {"q": 3}}, {"query_ids": ["a"], "labels": {}},
    ],
)  # fmt: skip
def test_invalid_input_is_rejected_before_a_copy_is_created(
    articles: Collection, options: dict[str, Any]
) -> None:
    with pytest.raises((InputError, SpecError)):
        articles.evaluate(**{"queries": 20, "concurrency": (), **options})
    assert articles._store.collections() == ["articles"]


def test_an_unknown_search_option_is_rejected_and_no_copy_remains(articles: Collection) -> None:
    with pytest.raises((SpecError, UnsupportedError), match="nprobe"):
        articles.evaluate("binary nprobe=4", queries=20, concurrency=(), live=False)
    assert articles._store.collections() == ["articles"]
