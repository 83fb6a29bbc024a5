"""Builds and drops of indexes: progress, interruptions, undo."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.errors import ApplyError, ConsentRequiredError, ReadOnlyError, UnsupportedError
from qadapt.testing.data import Sample


def indexes(raw: Any, name: str) -> dict[str, str]:
    rows = raw.execute(
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = %s", [name]
    ).fetchall()
    return dict(rows)


def test_undo_restores_indexes_and_the_comment(articles: Collection, raw: Any, name: str) -> None:
    raw.execute(f"COMMENT ON TABLE {name} IS 'ours'")
    raw.execute(
        f"CREATE INDEX mine_{name} ON {name} USING hnsw (embedding vector_cosine_ops) WITH (m='8')"
    )
    before = indexes(raw, name)
    change = articles.plan(qa.binary(rescore=4, native={"replace": True})).apply(yes=True)
    during = indexes(raw, name)
    assert f"mine_{name}" not in during
    assert [each for each in during.values() if "binary_quantize" in each]
    change.undo()
    after = indexes(raw, name)
    assert after == before
    comment = raw.execute("SELECT obj_description(%s::regclass)", [name]).fetchone()[0]
    assert comment.split("\n")[0] == "ours"


def test_an_index_of_the_user_is_kept_and_its_size_is_named(
    articles: Collection, raw: Any, name: str
) -> None:
    raw.execute(f"CREATE INDEX mine_{name} ON {name} USING hnsw (embedding vector_cosine_ops)")
    plan = articles.plan("binary")
    assert any("RAM is saved only after" in note and f"mine_{name}" in note for note in plan.notes)
    plan.apply(yes=True)
    assert f"mine_{name}" in indexes(raw, name)
    assert articles.info().vectors[""].status.state is qa.State.ACTIVE


def test_a_build_waits_for_an_open_transaction_and_names_it(
    articles: Collection, url: str, raw: Any
) -> None:
    """One idle transaction stalls a concurrent build without end."""
    import psycopg

    seen: list[str] = []
    with psycopg.connect(url) as other:
        other.execute(f"INSERT INTO {articles.name} (id) VALUES (-1)")
        pid = other.info.backend_pid
        with pytest.raises(ApplyError, match="not finished in time"):
            articles.plan("binary").apply(
                yes=True, timeout=5, progress=lambda each: seen.append(each.stage)
            )
        other.rollback()
    assert any(str(pid) in each for each in seen), seen
    left = raw.execute(
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE query LIKE 'CREATE INDEX%' AND state = 'active'"
    ).fetchone()[0]
    assert left == 0, "the build goes on"
    articles.plan("binary").apply(yes=True)
    assert articles.info().vectors[""].status.state is qa.State.ACTIVE


def test_a_build_of_another_session_is_waited_for(
    articles: Collection, url: str, raw: Any, name: str
) -> None:
    import psycopg

    def build() -> None:
        with psycopg.connect(url, autocommit=True) as other:
            other.execute(
                f"CREATE INDEX CONCURRENTLY {name}_embedding_bit_hnsw ON {name} USING hnsw "
                "((binary_quantize(embedding)::bit(48)) bit_hamming_ops) "
                "WITH (m = 32, ef_construction = 400)"
            )

    thread = threading.Thread(target=build)
    thread.start()
    try:
        while f"{name}_embedding_bit_hnsw" not in indexes(raw, name):
            time.sleep(0.01)
        state = articles.info().vectors[""].status.state
        assert state in (qa.State.BUILDING, qa.State.ACTIVE)
        articles.plan("binary").apply(yes=True)
    finally:
        thread.join()
    assert articles.info().vectors[""].status.state is qa.State.ACTIVE


def test_writes_continue_during_a_build(articles: Collection, sample: Sample, url: str) -> None:
    done = threading.Event()
    written: list[int] = []

    def write() -> None:
        with qa.open(url) as database:
            while not done.is_set():
                key = 100_000 + len(written)
                database[articles.name].write(qa.Batch([key], {"": sample.queries[:1]}))
                written.append(key)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        articles.plan("binary").apply(yes=True)
    finally:
        done.set()
        thread.join()
    assert written
    assert articles.count() == 3000 + len(written)


def test_what_pgvector_does_not_have_is_refused_with_an_alternative(articles: Collection) -> None:
    for text in (
        "scalar",
        "rotational",
        "product:ratio=16",
        "binary:bits=2",
        "binary:query_bits=8",
    ):
        with pytest.raises(UnsupportedError) as found:
            articles.plan(text)
        assert "binary" in str(found.value.hint)


def test_dimensions_beyond_those_of_an_index(database: Database, name: str) -> None:
    collection = database.create(name, dim=3000)
    with pytest.raises(UnsupportedError, match="at most 2000 dimensions") as found:
        collection.plan(qa.none(native={"using": "hnsw"}))
    assert "float16" in str(found.value.hint)
    assert collection.plan("float16").steps[0].request["codes"] == "halfvec"


def test_values_beyond_float16_end_the_build_with_an_error(
    articles: Collection, sample: Sample
) -> None:
    """The build fails, and with the index, a write would fail."""
    articles.write(qa.Batch([9999], {"": sample.rows[:1] * 1e6}))
    with pytest.raises(ApplyError, match="out of range"):
        articles.plan("float16").apply(yes=True)


def test_a_plan_file_cannot_run_sql(articles: Collection) -> None:
    """A request names a vector and a kind of codes, not a statement."""
    plan = articles.plan("binary")
    for step in plan.steps:
        assert not any("CREATE" in str(each) for each in step.request.values())
    from qadapt.errors import SpecError

    with pytest.raises(SpecError):
        articles._store.operation({"op": "pgvector.build_index", "sql": "DROP TABLE x"})


def test_the_type_of_a_column_is_changed_with_consent(
    articles: Collection, raw: Any, name: str, sample: Sample
) -> None:
    raw.execute(f"CREATE INDEX mine_{name} ON {name} USING hnsw (embedding vector_cosine_ops)")
    articles.plan("binary").apply(yes=True)
    plan = articles.plan(datatype="float16")
    assert [step.needs_consent for step in plan.steps if step.symbol.value == "!"] == [True]
    with pytest.raises(ConsentRequiredError):
        plan.apply()
    plan.apply(yes=True)
    vector = articles.info().vectors[""]
    assert (vector.datatype, vector.status.state) == ("float16", qa.State.ACTIVE)
    assert "halfvec_cosine_ops" in indexes(raw, name)[f"mine_{name}"]
    hits = articles.search(sample.queries, k=10, rescore=20)
    assert (hits.how.scores, hits.how.rescorer) == ("approximate", "store")
    articles.write(qa.Batch([5000], {"": sample.rows[:1]}))
    assert articles.fetch([5000]).vectors[""].astype("f2").astype("f4").tolist() == [
        sample.rows[0].astype("f2").astype("f4").tolist()
    ]


def test_another_metric_is_recorded_and_undone(articles: Collection, sample: Sample) -> None:
    change = articles.plan(metric="dot").apply(yes=True)
    assert articles.info().vectors[""].metric is qa.Metric.DOT
    change.undo()
    assert articles.info().vectors[""].metric is qa.Metric.COSINE


def test_a_read_only_server_refuses_changes(url: str, raw: Any, articles: Collection) -> None:
    role = f"{articles.name}_ro"
    raw.execute(f"CREATE ROLE {role} LOGIN SUPERUSER")
    raw.execute(f"ALTER ROLE {role} SET default_transaction_read_only = on")
    try:
        with qa.open(url.replace("postgres@", f"{role}@")) as database:
            reader = database[articles.name]
            assert reader.verify(k=10, queries=20).recall is not None
            with pytest.raises(ReadOnlyError, match="read-only") as refused:
                reader.plan("binary").apply(yes=True)
            assert "nothing was changed" in str(refused.value.hint)
            with pytest.raises(ReadOnlyError, match="read-only"):
                reader.delete([1])
    finally:
        raw.execute(f"DROP ROLE {role}")


def test_a_service_file_and_a_password_file(
    url: str, raw: Any, articles: Collection, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = url.rpartition(":")[2].partition("/")[0]
    file = tmp_path / "services"
    file.write_text(f"[notes]\nhost=127.0.0.1\nport={port}\ndbname=postgres\nuser=postgres\n")
    monkeypatch.setenv("PGSERVICEFILE", str(file))
    with qa.open("postgresql://?service=notes") as database:
        assert articles.name in database
