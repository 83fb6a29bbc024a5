"""Indexes: when a search uses one, what it returns, and its status."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from clickhouse_helpers import DIM, ROWS, Raw, nearest, recall

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.errors import ApplyError, UnsupportedError
from qadapt.stores.base import SearchRequest
from qadapt.stores.clickhouse.search import FILTERED, TOO_FEW, UNITS
from qadapt.stores.clickhouse.snapshot import parse_plan
from qadapt.testing.data import Sample

DISTANCE = "cosineDistance(embedding, {q:Array(Float32)})"


def foreign(
    raw: Raw,
    rows: Any,
    word: str,
    function: str = "cosineDistance",
    engine: str = "MergeTree",
) -> None:
    """A table of another program with an index."""
    raw.run(
        f"CREATE TABLE {{t}}docs (id Int64, v Array(Float32), INDEX ix v TYPE vector_similarity("
        f"'hnsw', '{function}', {DIM}, '{word}', 32, 128) GRANULARITY 100000000) "
        f"ENGINE = {engine} ORDER BY id"
    )
    raw.insert("docs", rows)


def found_by(raw: Raw, sample: Sample, text: str) -> list[list[int]]:
    return [[row[0] for row in raw.rows(text, query)] for query in sample.queries]


def test_an_index_is_used_for_one_form_of_statement(
    raw: Raw, articles: Collection, sample: Sample
) -> None:
    articles.plan("binary").apply(yes=True)

    def indexes(clause: str) -> tuple[str, ...]:
        text = f"EXPLAIN indexes = 1 SELECT id FROM {{t}}articles {clause}"
        lines = [row[0] for row in raw.rows(text, sample.queries[0])]
        return parse_plan("\n".join(lines)).indexes

    assert indexes(f"ORDER BY {DISTANCE} LIMIT 10") == ("embedding_b1",)
    for clause in (
        f"ORDER BY {DISTANCE}, id LIMIT 10",
        f"ORDER BY {DISTANCE} LIMIT 1001",
        "ORDER BY L2Distance(embedding, {q:Array(Float32)}) LIMIT 10",
        f"ORDER BY {DISTANCE} DESC LIMIT 10",
    ):
        assert indexes(clause) == (), clause


def test_more_than_1000_results_use_the_index(
    raw: Raw, articles: Collection, sample: Sample
) -> None:
    """The search of qadapt raises the limit of the server."""
    articles.plan("binary").apply(yes=True)
    hits = articles.search(sample.queries[0], k=1100)
    assert (hits.how.searcher, hits.how.candidates) == ("store", 1100)
    prepared = articles._store._prepare(  # type: ignore[attr-defined]
        articles._store.table("articles"),  # type: ignore[attr-defined]
        SearchRequest(1100),
    )
    lines = raw.rows(f"EXPLAIN indexes = 1 {prepared.text}", sample.queries[0])
    assert parse_plan("\n".join(row[0] for row in lines)).indexes == ("embedding_b1",)


def test_a_declared_index_that_is_not_built_is_building(
    raw: Raw, articles: Collection, sample: Sample
) -> None:
    raw.run(
        "ALTER TABLE {t}articles ADD INDEX ix embedding TYPE vector_similarity('hnsw', "
        f"'cosineDistance', {DIM}, 'b1', 32, 128) GRANULARITY 100000000"
    )
    status = articles.info().vectors[""].status
    assert (status.state, status.progress) == (qa.State.BUILDING, 0)
    assert f"{ROWS:,} rows" in status.reason
    articles.plan("binary").apply(yes=True)
    assert articles.info().vectors[""].status.state is qa.State.ACTIVE
    raw.run("SYSTEM STOP MERGES {t}articles")
    raw.run("ALTER TABLE {t}articles MODIFY SETTING materialize_skip_indexes_on_merge = 0")
    raw.run(
        "INSERT INTO {t}articles SELECT id + 10000, embedding, payload, qadapt_version "
        "FROM {t}articles LIMIT 100 SETTINGS materialize_skip_indexes_on_insert = 0"
    )
    status = articles.info().vectors[""].status
    assert status.state is qa.State.BUILDING
    assert "100 rows in 1 parts" in status.reason
    raw.run("SYSTEM START MERGES {t}articles")


def test_a_filter_is_applied_before_the_search(
    raw: Raw, articles: Collection, sample: Sample
) -> None:
    """A plain WHERE returns too few rows; qadapt compares all rows that match."""
    articles.plan("binary:rescore=4").apply(yes=True)
    where = "JSONExtractInt(payload, 'group') = 3"
    plain = found_by(
        raw, sample, f"SELECT id FROM {{t}}articles WHERE {where} ORDER BY {DISTANCE} LIMIT 10"
    )
    assert min(map(len, plain)) < 10
    hits = articles.search(sample.queries, k=10, filter={"group": 3})
    assert FILTERED in hits.how.notes
    members = np.arange(ROWS) % 10 == 3
    ids = np.arange(ROWS)[members]
    truth = [ids[nearest(sample.rows[members], q, "cosine")].tolist() for q in sample.queries]
    assert hits.ids.tolist() == truth


@pytest.mark.long
def test_deleted_rows_in_an_index_do_not_shorten_results(
    raw: Raw, articles: Collection, sample: Sample
) -> None:
    articles.plan("binary").apply(yes=True)
    gone = [row for row in range(ROWS) if row % 5 < 3]
    articles.delete(gone)
    plain = found_by(raw, sample, f"SELECT id FROM {{t}}articles ORDER BY {DISTANCE} LIMIT 10")
    assert min(map(len, plain)) < 10
    hits = articles.search(sample.queries, k=10)
    assert None not in hits.ids
    assert hits.how.notes[1:] == (TOO_FEW.format(count=sum(len(each) < 10 for each in plain)),)
    codes = {each.code: each for each in articles.doctor().findings}
    assert f"{len(gone):,} of {ROWS:,}" in codes["deleted-rows"].message


def test_distances_of_sign_bits_are_numbers_of_bits(
    raw: Raw, articles: Collection, sample: Sample
) -> None:
    """They are true distances if a part does not have the index, so qadapt always rescores."""
    articles.plan("binary").apply(yes=True)
    text = f"SELECT {DISTANCE} AS d FROM {{t}}articles ORDER BY d LIMIT 10"
    query = sample.queries[0]
    distances = [row[0] for row in raw.rows(text, query)]
    assert all(each == int(each) for each in distances)
    assert max(distances) > 2
    hits = articles.search(query, k=10, rescore="off")
    assert (hits.how.scores, hits.how.notes) == ("exact", (UNITS,))
    exact = [sample.rows[row] @ query for row in hits.ids.tolist()[0]]
    assert hits.scores[0].tolist() == pytest.approx(exact, abs=1e-5)
    raw.run(
        "INSERT INTO {t}articles SELECT id + 9000, embedding, payload, 1 FROM {t}articles LIMIT 1 "
        "SETTINGS materialize_skip_indexes_on_insert = 0"
    )
    assert max(row[0] for row in raw.rows(text, query)) < 2


def test_i8_ignores_lengths_and_scalar_is_mapped_to_a_codec(
    raw: Raw, database: Database, sample: Sample, lengths: Any
) -> None:
    foreign(raw, lengths, "i8", "L2Distance")
    distance = "L2Distance(v, {q:Array(Float32)})"
    queries = sample.queries
    found = found_by(raw, sample, f"SELECT id FROM {{t}}docs ORDER BY {distance} LIMIT 10")
    truth = [nearest(lengths, query, "euclidean") for query in queries]
    assert recall(found, truth) < 0.6
    (finding,) = [e for e in database["docs"].doctor().findings if e.code == "lengths-ignored"]
    assert "'ix'" in finding.message
    (first, *_) = database["docs"].plan("scalar").steps
    assert first.request["codec"] == f"Quantized('int8', {DIM})"


def test_replaced_rows_of_another_program_are_not_found(
    raw: Raw, database: Database, sample: Sample
) -> None:
    """FINAL without rescoring returns a replaced row by its former vector."""
    foreign(raw, sample.rows, "bf16", engine="ReplacingMergeTree")
    raw.run("SYSTEM STOP MERGES {t}docs")
    raw.insert("docs", -sample.rows[:5])
    text = "SELECT id FROM {t}docs FINAL ORDER BY cosineDistance(v, {q:Array(Float32)}) LIMIT 1"
    assert raw.rows(text, sample.rows[3]) == [(3,)]
    collection = database["docs"]
    assert collection.count() == ROWS
    hits = collection.search(sample.rows[:5], k=5, vector="v")
    assert all(row not in hits.ids[row].tolist() for row in range(5))
    raw.run("SYSTEM START MERGES {t}docs")


@pytest.mark.long
def test_a_search_uses_the_last_of_several_indexes(
    raw: Raw, articles: Collection, sample: Sample
) -> None:
    articles.plan("binary").apply(yes=True)
    raw.run(
        "ALTER TABLE {t}articles ADD INDEX late embedding TYPE vector_similarity('hnsw', "
        f"'cosineDistance', {DIM}, 'f32', 32, 128) GRANULARITY 100000000"
    )
    raw.run("ALTER TABLE {t}articles MATERIALIZE INDEX late SETTINGS mutations_sync = 2")
    codes = {each.code: each for each in articles.doctor().findings}
    assert "embedding_b1, late" in codes["several-indexes"].message
    vector = articles.info().vectors[""]
    assert vector.index["index"] == "late"
    assert vector.status.state is qa.State.ABSENT
    truth = [nearest(sample.rows, query, "cosine") for query in sample.queries]
    assert recall(articles.search(sample.queries, k=10).ids.tolist(), truth) > 0.98


def test_an_index_of_another_program_is_mapped_back(
    raw: Raw, database: Database, sample: Sample
) -> None:
    foreign(raw, sample.rows, "bf16")
    vector = database["docs"].info().vectors["v"]
    assert vector.quantization.kind is qa.Kind.FLOAT16
    assert vector.status.state is qa.State.ACTIVE
    assert (vector.dim, vector.metric.value, vector.index["m"]) == (DIM, "cosine", 32)


def test_an_index_with_the_name_of_another_one_is_refused(raw: Raw, articles: Collection) -> None:
    raw.run(
        "ALTER TABLE {t}articles ADD INDEX embedding_b1 embedding TYPE vector_similarity('hnsw', "
        f"'cosineDistance', {DIM}, 'b1', 16, 64) GRANULARITY 100000000"
    )
    with pytest.raises(ApplyError, match="another index with the name 'embedding_b1'"):
        articles.plan("binary").apply(yes=True)


def test_sign_bits_need_the_cosine_distance_and_whole_bytes(database: Database) -> None:
    euclidean = database.create("euclidean", dim=DIM, metric="euclidean")
    with pytest.raises(UnsupportedError, match="cosine distance"):
        euclidean.plan("binary")
    odd = database.create("odd", dim=DIM + 1)
    with pytest.raises(UnsupportedError, match="multiple of 8"):
        odd.plan("binary")
    database.create("dot", dim=DIM, metric="dot")
    with pytest.raises(UnsupportedError, match="codec"):
        database["dot"].plan("scalar")


def test_saved_settings_are_in_the_comment_on_the_table(
    raw: Raw, articles: Collection, address: str
) -> None:
    raw.run("ALTER TABLE {t}articles MODIFY COMMENT 'articles of 2026'")
    articles.plan("binary:rescore=4").apply(yes=True)
    ((comment,),) = raw.rows(
        f"SELECT comment FROM system.tables WHERE name = 'articles' AND database = '{raw.database}'"
    )
    first, second = comment.split("\n")
    assert first == "articles of 2026"
    assert json.loads(second.removeprefix("qadapt: "))["search"]
    with qa.open(address) as other:
        assert other["articles"].search(np.ones(DIM), k=3).how.oversampling == 4
