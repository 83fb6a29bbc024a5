"""Columns with the codec Quantized: codes, statements that destroy vectors, and the doctor."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from clickhouse_helpers import DIM, ROWS, WIDE, Raw, nearest, recall
from slow import some

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.errors import UnsupportedError
from qadapt.stores.clickhouse.connection import ChdbTransport
from qadapt.stores.clickhouse.search import ALWAYS
from qadapt.testing.data import Sample

METHODS = ("rabitq", "turboquant", "int8")


def coded(raw: Raw, name: str, method: str, more: str = "", settings: str = WIDE) -> None:
    raw.run(
        f"CREATE TABLE {{t}}{name} (id Int64, v Array(Float32) "
        f"CODEC(Quantized('{method}', {DIM}{more}))) ENGINE = MergeTree ORDER BY id {settings}, "
        "enable_quantized_codec = 1"
    )


@pytest.mark.parametrize(("method", "width"), [("rabitq", 1), ("turboquant", 2), ("int8", 8)])
def test_the_bits_of_a_codec_have_no_effect(
    raw: Raw, database: Database, sample: Sample, method: str, width: int
) -> None:
    coded(raw, "coded", method, ", 4")
    raw.insert("coded", sample.rows)
    ((kind,),) = raw.rows("SELECT toTypeName(v.quantized) AS t FROM {t}coded LIMIT 1")
    assert kind == f"FixedString({DIM * width // 8 + 4})"
    vector = database["coded"].info().vectors["v"]
    assert vector.quantization.bits == width
    assert vector.code_bytes == ROWS * (DIM * width // 8 + 4)
    assert vector.status.state is qa.State.ACTIVE


@pytest.mark.parametrize("method", some(METHODS, 1))
def test_an_update_of_a_coded_vector_destroys_all_of_the_part(
    raw: Raw, database: Database, sample: Sample, method: str
) -> None:
    coded(raw, "coded", method)
    raw.insert("coded", sample.rows)
    raw.run("ALTER TABLE {t}coded UPDATE v = v WHERE id = 3 SETTINGS mutations_sync = 2")
    assert not raw.vectors("coded").any()
    findings = {each.code: each for each in database["coded"].doctor().findings}
    assert f"{ROWS:,} vectors" in findings["zero-vectors"].message


def test_an_attached_partition_of_a_plain_table_reads_as_zeros(raw: Raw, sample: Sample) -> None:
    coded(raw, "coded", "rabitq")
    raw.run(
        "CREATE TABLE {t}plain (id Int64, v Array(Float32)) ENGINE = MergeTree ORDER BY id " + WIDE
    )
    raw.insert("plain", sample.rows)
    raw.run("ALTER TABLE {t}coded ATTACH PARTITION tuple() FROM {t}plain")
    assert raw.rows("SELECT count() AS n FROM {t}coded") == [(ROWS,)]
    assert not raw.vectors("coded").any()
    assert raw.vectors("plain").tobytes() == sample.rows.tobytes()


@pytest.mark.parametrize("method", some(METHODS, 1, seed=1))
def test_what_qadapt_sends_keeps_coded_vectors(
    raw: Raw,
    database: Database,
    sample: Sample,
    method: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Writes, replacements, deletions and changes on Wide parts, and the statements sent."""
    coded(raw, "coded", method, settings=f"{WIDE}, merge_max_block_size = 8192")
    raw.insert("coded", sample.rows)
    sent: list[str] = []
    query, insert = ChdbTransport.query, ChdbTransport.insert

    def record(self: Any, text: str, *rest: Any) -> Any:
        sent.append(text)
        return query(self, text, *rest)

    def record_insert(self: Any, text: str, *rest: Any) -> None:
        sent.append(text)
        insert(self, text, *rest)

    monkeypatch.setattr(ChdbTransport, "query", record)
    monkeypatch.setattr(ChdbTransport, "insert", record_insert)
    collection = database["coded"]
    rows = sample.rows.copy()
    rows[[3, 5]] = -rows[[3, 5]]
    collection.write(qa.Batch([3, 5], {"v": rows[[3, 5]]}))
    collection.delete([7, 8])
    kept = [row for row in range(ROWS) if row not in (7, 8)]
    assert raw.vectors("coded").tobytes() == rows[kept].tobytes()
    change = collection.plan("none").apply(yes=True)
    assert collection.info().vectors["v"].status.state is qa.State.ABSENT
    change.undo()
    vector = collection.info().vectors["v"]
    assert vector.status.state is qa.State.ACTIVE
    assert raw.vectors("coded").tobytes() == rows[kept].tobytes()
    words = [" ".join(each.upper().split()) for each in sent]
    assert any(each.startswith("DELETE FROM") for each in words)
    assert any(each.startswith("EXCHANGE TABLES") for each in words)
    for each in words:
        assert "PARTITION" not in each
        assert not (each.startswith("ALTER TABLE") and " UPDATE " in each)


def test_the_doctor_warns_of_coded_columns(raw: Raw, database: Database, sample: Sample) -> None:
    coded(raw, "coded", "rabitq")
    raw.insert("coded", sample.rows)
    (found,) = [e for e in database["coded"].doctor().findings if e.code == "coded-column"]
    assert "ATTACH PARTITION" in found.message
    assert found.severity.value == "warning"


def test_a_search_by_a_codec_needs_a_setting(
    raw: Raw, articles: Collection, sample: Sample
) -> None:
    """Clients without settings compare all rows; qadapt sends the setting."""
    articles.plan("rotational:bits=1").apply(yes=True)
    status = articles.info().vectors[""].status
    assert "vector_search_use_quantized_codes = 1" in status.reason
    truth = [nearest(sample.rows, query, "cosine") for query in sample.queries]
    distance = "cosineDistance(embedding, {q:Array(Float32)})"
    text = f"SELECT id FROM {{t}}articles ORDER BY {distance} LIMIT 10"
    plain = [[row[0] for row in raw.rows(text, query)] for query in sample.queries]
    assert recall(plain, truth) == 1
    by_codes = articles.search(sample.queries, k=10)
    assert recall(by_codes.ids.tolist(), truth) < 0.95
    assert by_codes.how.scores == "exact"
    off = articles.search(sample.queries, k=10, rescore="off")
    assert ALWAYS in off.how.notes
    assert recall(articles.search(sample.queries, k=10, rescore=20).ids.tolist(), truth) > 0.99


def test_codecs_keep_lengths_under_the_euclidean_distance(
    database: Database, sample: Sample, lengths: Any
) -> None:
    collection = database.create("lengths", dim=DIM, metric="euclidean", quantization="scalar")
    collection.write(qa.Batch(list(range(ROWS)), {"": lengths}))
    assert collection.info().vectors[""].index["codec"] == f"Quantized('int8', {DIM})"
    truth = [nearest(lengths, query, "euclidean") for query in sample.queries]
    assert recall(collection.search(sample.queries, k=10).ids.tolist(), truth) > 0.95


def test_quantizations_without_codes_are_refused(articles: Collection) -> None:
    for text, words in (
        ("rotational:bits=4", "not 4"),
        ("binary:bits=2", "not 2 bits"),
        ("product:ratio=7", "no number of segments"),
    ):
        with pytest.raises(UnsupportedError, match=words) as error:
            articles.plan(text)
        assert error.value.hint


def test_a_copy_keeps_payloads_settings_and_comments(raw: Raw, articles: Collection) -> None:
    articles.plan("none:rescore=off").apply(yes=True)
    raw.run("ALTER TABLE {t}articles ADD COLUMN note String DEFAULT 'x'")
    before = articles.fetch([1, 2, 3])
    articles.plan("rotational:bits=2,rescore=4").apply(yes=True)
    after = articles.fetch([1, 2, 3])
    assert after.payloads == before.payloads
    assert np.array_equal(after.vectors[""], before.vectors[""])
    assert articles.search(before.vectors[""], k=1).how.oversampling == 4
    assert raw.rows("SELECT DISTINCT note FROM {t}articles") == [("x",)]


@pytest.mark.parametrize("method", ["rabitq", "turboquant"])
def test_the_engine_ignores_one_and_two_bits_under_the_euclidean_distance(
    raw: Raw, database: Database, sample: Sample, method: str
) -> None:
    """EXPLAIN has no shortlist, and results are exact: the status is ``ignored``."""
    coded(raw, "coded", method)
    raw.insert("coded", sample.rows)
    raw.run('ALTER TABLE {t}coded MODIFY COMMENT \'qadapt: {"metrics": {"v": "euclidean"}}\'')
    collection = database["coded"]
    vector = collection.info().vectors["v"]
    assert vector.metric.value == "euclidean"
    assert vector.status.state is qa.State.IGNORED
    truth = [nearest(sample.rows, query, "euclidean") for query in sample.queries]
    assert recall(collection.search(sample.queries, k=10).ids.tolist(), truth) == 1
    with pytest.raises(UnsupportedError, match="cosine distance"):
        collection.plan("rotational:bits=1")
