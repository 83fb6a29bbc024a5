"""Settings that PostgreSQL accepts and that have no effect (docs/engines/pgvector.md)."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.errors import ApplyError, DimensionError
from qadapt.testing.data import Sample

OFF = qa.Rescore(source="off")
BIT = "(binary_quantize(embedding)::bit(48)) bit_hamming_ops"


def state(collection: Collection) -> tuple[qa.State, str]:
    status = collection.info().vectors[""].status
    return status.state, status.reason


def recall(collection: Collection, sample: Sample, **options: Any) -> float:
    hits = collection.search(sample.queries, k=10, **options)
    truth = sample.truth[:, :10]
    found = [
        len(set(row) & set(best))
        for row, best in zip(hits.ids.tolist(), truth.tolist(), strict=True)
    ]
    return float(np.mean(found)) / 10


def test_candidates_raise_ef_search(articles: Collection, sample: Sample) -> None:
    """``LIMIT 200`` at ``ef_search = 40`` returns 40 rows, without a warning."""
    articles.plan("binary").apply(yes=True)
    four, twenty = (recall(articles, sample, rescore=factor) for factor in (4, 20))
    assert twenty > four
    hits = articles.search(sample.queries[:1], k=10, rescore=20)
    assert hits.how.candidates == 200


def test_ef_search_limits_the_candidates_of_plain_sql(
    articles: Collection, raw: Any, name: str, sample: Sample
) -> None:
    articles.plan("binary").apply(yes=True)
    query = str(sample.queries[0].tolist())
    statement = (
        f"SELECT count(*) FROM (SELECT id FROM {name} ORDER BY binary_quantize(embedding)::bit(48) "
        "<~> binary_quantize(%s::vector(48)) LIMIT 200) AS candidates"
    )
    with raw.transaction():
        raw.execute("SET LOCAL enable_seqscan = off")
        assert raw.execute(statement, [query]).fetchone() == (40,)
        raw.execute("SET LOCAL hnsw.ef_search = 200")
        assert raw.execute(statement, [query]).fetchone() == (200,)


def test_a_raised_ef_search_makes_the_planner_compare_all_rows(
    articles: Collection, raw: Any, name: str, sample: Sample
) -> None:
    """Recall is then 1.0, and the codes are not used; searches of qadapt keep the index."""
    articles.plan("float16").apply(yes=True)
    assert state(articles)[0] is qa.State.ACTIVE
    order = "embedding::halfvec(48) <=> %s::halfvec(48)"
    statement = f"EXPLAIN SELECT id FROM {name} ORDER BY {order} LIMIT 10"
    query = str(sample.queries[0].tolist())
    with raw.transaction():
        assert "Index Scan" in str(raw.execute(statement, [query]).fetchall())
        raw.execute("SET LOCAL hnsw.ef_search = 1000")
        assert "Seq Scan" in str(raw.execute(statement, [query]).fetchall())
    sent = articles.client_params(k=10).params
    assert sent["enable_seqscan"] == "off"


def test_deleted_neighbors_do_not_hide_rows(
    articles: Collection, raw: Any, name: str, sample: Sample
) -> None:
    """Until VACUUM, deleted rows use up ``ef_search``: plain SQL returns 2 rows of 10."""
    articles.plan("float16").apply(yes=True)
    raw.execute(f"ALTER TABLE {name} SET (autovacuum_enabled = off)")
    nearest = articles.search(sample.queries[:1], 38, exact=True).ids[0].tolist()
    raw.execute(f"DELETE FROM {name} WHERE id = ANY(%s)", [nearest])
    statement = (
        f"SELECT id FROM {name} ORDER BY embedding::halfvec(48) <=> %s::halfvec(48) LIMIT 10"
    )
    with raw.transaction():
        raw.execute("SET LOCAL enable_seqscan = off")
        plain = raw.execute(statement, [str(sample.queries[0].tolist())]).fetchall()
    assert len(plain) < 10
    hits = articles.search(sample.queries[:1], 10)
    assert None not in hits.ids[0].tolist()
    exact = articles.search(sample.queries[:1], 10, exact=True)
    assert len(set(hits.ids[0].tolist()) & set(exact.ids[0].tolist())) >= 8
    assert np.all(np.diff(hits.scores[0]) <= 1e-6)


def test_filtered_results_are_sorted(articles: Collection, sample: Sample) -> None:
    """An iterative scan in relaxed order returns some near rows late."""
    articles.plan("float16").apply(yes=True)
    hits = articles.search(sample.queries, 20, filter={"group": 3}, with_payload=True)
    assert np.all(np.diff(hits.scores, axis=1) <= 1e-6)
    assert {row["group"] for query in hits.payloads for row in query} == {3}


def test_more_candidates_than_ef_search_allows(articles: Collection, sample: Sample) -> None:
    """``ef_search`` is at most 1000; an iterative scan continues."""
    articles.plan("binary").apply(yes=True)
    hits = articles.search(sample.queries, k=10, rescore=150)
    assert hits.how.candidates == 1500
    assert recall(articles, sample, rescore=150) > recall(articles, sample, rescore=20)


def test_a_build_that_was_cut_off_is_not_active(
    articles: Collection, database: Database, raw: Any, name: str
) -> None:
    """``IF NOT EXISTS`` then succeeds although no search uses the index."""
    import psycopg

    raw.execute("SET statement_timeout = '30ms'")
    with pytest.raises(psycopg.errors.QueryCanceled):
        raw.execute(
            f"CREATE INDEX CONCURRENTLY {name}_embedding_bit_hnsw ON {name} USING hnsw ({BIT}) "
            "WITH (m = 64, ef_construction = 800)"
        )
    raw.execute("SET statement_timeout = 0")
    raw.execute(
        f"CREATE INDEX IF NOT EXISTS {name}_embedding_bit_hnsw ON {name} USING hnsw ({BIT})"
    )
    found, reason = state(articles)
    assert found is qa.State.IGNORED
    assert "cut off" in reason
    assert [each.code for each in articles.doctor().findings if each.code == "invalid-index"]
    articles.plan("binary").apply(yes=True)
    assert state(articles)[0] is qa.State.ACTIVE


def test_a_small_table_is_scanned(database: Database, name: str, sample: Sample) -> None:
    """Recall is 1.0 because no codes are used."""
    small = database.create(name, dim=48)
    small.write(qa.Batch(list(range(100)), {"": sample.rows[:100]}))
    with pytest.raises(ApplyError, match="sequential scan of 100 rows"):
        small.plan("float16").apply(yes=True)
    found, reason = state(small)
    assert found is qa.State.IGNORED
    assert "sequential scan of 100 rows" in reason


@pytest.mark.parametrize(
    "definition",
    [
        "USING hnsw ((binary_quantize(l2_normalize(embedding))::bit(48)) bit_hamming_ops)",
        "USING hnsw ((binary_quantize(embedding)::bit(32)) bit_hamming_ops)",
        "USING hnsw ((binary_quantize(embedding)::bit(48)) bit_jaccard_ops)",
        "USING hnsw ((binary_quantize(embedding)::bit(48)) bit_hamming_ops) WHERE id < 100",
    ],
)
def test_an_index_that_no_search_uses(
    articles: Collection, raw: Any, name: str, definition: str
) -> None:
    raw.execute(f"CREATE INDEX ON {name} {definition}")
    vector = articles.info().vectors[""]
    assert (vector.quantization, vector.status.state) == (qa.none(), qa.State.ABSENT)
    articles.plan("binary").apply(yes=True)
    assert state(articles)[0] is qa.State.ACTIVE


def test_a_cheaper_index_of_the_same_codes_is_reported(
    articles: Collection, raw: Any, name: str, sample: Sample
) -> None:
    """An ivfflat index takes over by cost, and its recall with one probe is much lower."""
    articles.plan("binary").apply(yes=True)
    raw.execute(f"CREATE INDEX {name}_lists ON {name} USING ivfflat ({BIT}) WITH (lists = 50)")
    found, reason = state(articles)
    assert found is qa.State.IGNORED
    assert f"{name}_lists" in reason
    (finding,) = [each for each in articles.doctor().findings if each.code == "cheaper-index"]
    raw.execute(finding.command)
    assert state(articles)[0] is qa.State.ACTIVE


def test_deleted_rows_that_wait_for_vacuum_are_reported(
    articles: Collection, raw: Any, name: str
) -> None:
    def codes() -> set[str]:
        return {each.code for each in articles.doctor().findings}

    raw.execute(f"ALTER TABLE {name} SET (autovacuum_enabled = off)")
    assert "dead-rows" not in codes()
    raw.execute(f"DELETE FROM {name} WHERE id < 1000")
    raw.execute("SELECT pg_stat_force_next_flush()")
    raw.execute("SELECT 1")
    assert "dead-rows" in codes()
    (finding,) = [each for each in articles.doctor().findings if each.code == "dead-rows"]
    for _ in range(60):  # a transaction of another test keeps deleted rows while it is open
        raw.execute(finding.command)
        raw.execute("SELECT pg_stat_force_next_flush()")
        raw.execute("SELECT 1")
        if "dead-rows" not in codes():
            break
        time.sleep(1)
    assert "dead-rows" not in codes()


def test_an_assumed_metric_is_reported(database: Database, raw: Any, name: str) -> None:
    raw.execute(f"CREATE TABLE {name} (id int PRIMARY KEY, embedding vector(2))")
    raw.execute(f"INSERT INTO {name} VALUES (1, '[1,0]'), (2, '[0,1]')")
    found = {each.code: each for each in database[name].doctor().findings}
    assert "?metric=cosine" in found["unknown-metric"].command
    assert "stale-setting" not in found  # the note of `inspect` is about no setting
    raw.execute(f"CREATE INDEX ON {name} USING hnsw (embedding vector_l2_ops)")
    assert "unknown-metric" not in {each.code for each in database[name].doctor().findings}


def test_filters_do_not_shorten_results(articles: Collection, sample: Sample) -> None:
    """Filters apply after the index search: at 10 %, a plain search returns 4 of 10 rows."""
    articles.plan("binary").apply(yes=True)
    hits = articles.search(sample.queries, k=10, rescore=4, filter={"group": 3})
    assert all(key is not None for row in hits.ids.tolist() for key in row)
    assert {key % 10 for row in hits.ids.tolist() for key in row} == {3}


def test_settings_reach_a_fresh_connection(articles: Collection, url: str, sample: Sample) -> None:
    """A setting is lost if it is set before the library of the extension is loaded."""
    articles.plan("binary").apply(yes=True)
    expected = articles.search(sample.queries[:5], k=10, rescore=20).ids.tolist()
    with qa.open(url) as fresh:
        hits = fresh[articles.name].search(sample.queries[:5], k=10, rescore=20)
    assert hits.ids.tolist() == expected


def test_a_query_of_other_dimensions_is_refused(articles: Collection, raw: Any, name: str) -> None:
    """``binary_quantize(q)::bit(n)`` would be padded silently."""
    import psycopg

    articles.plan("binary").apply(yes=True)
    with pytest.raises(DimensionError):
        articles.search(np.ones(40), k=3)
    code = articles.client_params(k=3).code["psql"]
    statement = code.split("FROM (")[1].split(") AS found")[0].replace(":'query'", "%(q)s")
    with pytest.raises(psycopg.errors.DataException):
        raw.execute(statement, {"q": str([1.0] * 40)})


def test_sql_without_the_expression_does_not_use_the_codes(
    articles: Collection, raw: Any, name: str, sample: Sample
) -> None:
    articles.plan("binary").apply(yes=True)
    rows = raw.execute(
        f"EXPLAIN SELECT id FROM {name} ORDER BY embedding <=> %s LIMIT 10",
        [str(sample.queries[0].tolist())],
    ).fetchall()
    assert "Seq Scan" in str(rows)
    notes = articles.plan("binary").notes
    assert any("SQL" in each for each in notes) or not articles.plan("binary").changes


def test_the_metric_is_that_of_the_index(database: Database, raw: Any, name: str) -> None:
    raw.execute(f"CREATE TABLE {name} (id bigint PRIMARY KEY, embedding vector(8))")
    assert "is assumed" in database[name].info().vectors[""].notes[0]
    raw.execute(f"CREATE INDEX ON {name} USING hnsw (embedding vector_l2_ops)")
    vector = database[name].info().vectors[""]
    assert (vector.metric.value, vector.notes) == ("euclidean", ())
    database[name].plan("binary", accept="differs").apply(yes=True)
    raw.execute(f"DROP INDEX {name}_embedding_idx")
    assert database[name].info().vectors[""].metric.value == "euclidean"
