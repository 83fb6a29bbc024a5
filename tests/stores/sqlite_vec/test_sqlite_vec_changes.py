"""Changes: codes that other programs leave behind, interruptions, undo, kill -9."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from slow import some
from sqlite_vec_helpers import DIM, ROWS, blob

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.engines.exact import unit
from qadapt.errors import ApplyError, InputError, StoreTimeoutError
from qadapt.model import Plan
from qadapt.stores.operations import Execution
from qadapt.stores.polling import Deadline
from qadapt.stores.sqlite_vec import code_tables, mapping
from qadapt.testing.data import Sample

OFF = qa.Rescore(source="off")


def state(collection: Collection) -> qa.State:
    return collection.info().vectors[""].status.state


def tables(raw: Any) -> list[str]:
    """Tables of vec0 in the file."""
    rows = raw.execute("SELECT name FROM sqlite_master WHERE sql LIKE 'CREATE VIRTUAL TABLE%'")
    return sorted(row[0] for row in rows)


# -- codes that are left behind ------------------------------------------------------------------


def test_rows_of_other_programs_are_found_although_they_have_no_code(
    articles: Collection, raw: Any
) -> None:
    """Active turns ignored, and searches compare the vectors; apply writes the codes."""
    articles.plan("binary").apply(yes=True)
    query = np.ones(DIM, dtype=np.float32)
    assert articles.search(query, k=1).how.scores == "approximate"
    raw.execute("INSERT INTO articles(id, embedding) VALUES (9999, ?)", (blob(query),))
    hits = articles.search(query, k=1)
    assert (hits.ids.tolist(), hits.how.scores) == ([[9999]], "exact")
    status = articles.info().vectors[""].status
    assert status.state is qa.State.IGNORED
    assert "1 of 1,501 rows have no code" in status.reason
    assert [each.code for each in articles.doctor().findings].count("codes-left-behind") == 1
    plan = articles.plan("binary")
    assert "up to date" in plan.steps[0].action
    plan.apply(yes=True)
    assert state(articles) is qa.State.ACTIVE
    assert articles.search(query, k=1, rescore=OFF).ids.tolist() == [[9999]]


def test_updated_and_deleted_rows_of_other_programs(articles: Collection, raw: Any) -> None:
    articles.plan("scalar").apply(yes=True)
    raw.execute("UPDATE articles SET embedding = ? WHERE id = 700", (blob(np.ones(DIM)),))
    reason = articles.info().vectors[""].status.reason
    assert "1 of 1,500 codes are outdated" in reason
    hits = articles.search(np.ones(DIM), k=1)
    assert (hits.ids.tolist(), hits.how.scores) == ([[700]], "exact")
    raw.execute("DELETE FROM articles WHERE id = 5")
    assert "1 codes have no row" in articles.info().vectors[""].status.reason
    articles.plan("scalar").apply(yes=True)
    assert state(articles) is qa.State.ACTIVE
    assert articles.search(np.ones(DIM), k=1, rescore=OFF).ids.tolist() == [[700]]


def test_a_row_that_is_written_twice_has_the_new_vector_and_the_new_code(
    articles: Collection,
) -> None:
    """vec0 has no upsert, and cannot update codes."""
    articles.plan("binary").apply(yes=True)
    for sign in (1, -1):
        articles.write(qa.Batch([3], {"": sign * np.ones((1, DIM))}))
        assert state(articles) is qa.State.ACTIVE
        found = articles.search(sign * np.ones(DIM), k=1, rescore=OFF)
        assert (found.ids.tolist(), found.how.scores) == ([[3]], "approximate")
    articles.delete([3])
    assert state(articles) is qa.State.ACTIVE
    assert articles.search(-np.ones(DIM), k=1, rescore=OFF).ids.tolist() != [[3]]


def test_dropped_codes_are_reported_and_created_again(articles: Collection, raw: Any) -> None:
    articles.plan("binary").apply(yes=True)
    raw.execute("DROP TABLE articles__embedding_bit")
    status = articles.info().vectors[""].status
    assert status.state is qa.State.IGNORED
    assert "dropped it" in status.reason
    assert articles.search(np.ones(DIM), k=1).how.scores == "exact"
    articles.write(qa.Batch([3], {"": np.ones((1, DIM))}))
    articles.plan("binary").apply(yes=True)
    assert state(articles) is qa.State.ACTIVE


def test_another_process_sees_the_codes_and_keeps_them_in_step(
    articles: Collection, database: Database, file: Path
) -> None:
    with qa.open(f"sqlite-vec:{file}") as other:
        theirs = other["articles"]
        theirs.search(np.ones(DIM), k=1)
        articles.plan("binary").apply(yes=True)
        theirs.write(qa.Batch([4], {"": np.ones((1, DIM))}))
    assert state(articles) is qa.State.ACTIVE


def test_codes_are_those_of_sqlite_vec(articles: Collection, raw: Any) -> None:
    articles.plan("binary").apply(yes=True)
    wrong = raw.execute(
        "SELECT count(*) FROM articles AS a JOIN articles__embedding_bit AS c ON c.id = a.id "
        "WHERE c.codes <> vec_quantize_binary(a.embedding)"
    ).fetchone()
    assert wrong == (0,)


# -- plans and undo ------------------------------------------------------------------------------


def test_each_change_is_undone(articles: Collection, raw: Any) -> None:
    first = articles.plan("binary").apply(yes=True)
    assert tables(raw) == ["articles", "articles__embedding_bit"]
    second = articles.plan("scalar").apply(yes=True)
    assert tables(raw) == ["articles", "articles__embedding_int8"]
    second.undo()
    assert tables(raw) == ["articles", "articles__embedding_bit"]
    assert state(articles) is qa.State.ACTIVE
    first.undo()
    assert tables(raw) == ["articles"]
    assert articles.count() == ROWS


def test_a_table_with_the_name_of_the_codes_is_kept(articles: Collection, raw: Any) -> None:
    raw.execute("CREATE TABLE articles__embedding_bit (mine)")
    with pytest.raises(ApplyError, match="exists already"):
        articles.plan("binary").apply(yes=True)
    assert raw.execute("SELECT count(*) FROM articles__embedding_bit").fetchone() == (0,)


def test_a_build_that_was_cut_off_is_continued(
    articles: Collection, raw: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code_tables, "BATCH", 500)
    run = Execution(articles._store, "articles", lambda _: None, Deadline(0))
    with pytest.raises(StoreTimeoutError, match="500 of 1,500"):
        code_tables.build(run, "", "bit")
    status = articles.info().vectors[""].status
    assert (status.state, status.progress) == (qa.State.BUILDING, 500 / 1500)
    assert articles.search(np.ones(DIM), k=1).how.scores == "exact"
    articles.write(qa.Batch([3], {"": np.ones((1, DIM))}))
    articles.plan("binary").apply(yes=True)
    assert state(articles) is qa.State.ACTIVE


def test_rows_that_are_written_during_a_build_get_codes(
    articles: Collection, raw: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program inserts, updates and deletes rows that the build has passed."""
    monkeypatch.setattr(code_tables, "BATCH", 500)
    written = []

    def progress(_: Any) -> None:
        if not written:
            written.append(True)
            raw.execute("INSERT INTO articles(id, embedding) VALUES (-7, ?)", (blob([1] * DIM),))
            raw.execute("UPDATE articles SET embedding = ? WHERE id = 0", (blob([2] * DIM),))
            raw.execute("DELETE FROM articles WHERE id = 1")

    articles.plan("binary").apply(yes=True, progress=progress)
    assert written
    assert state(articles) is qa.State.ACTIVE


def test_a_metric_is_changed_and_undone_bit_for_bit(articles: Collection, raw: Any) -> None:
    articles.plan("scalar").apply(yes=True)
    before = articles.fetch(range(ROWS))
    wanted = qa.Vector(DIM, qa.Metric.EUCLIDEAN)
    change = articles.plan("scalar", metric="euclidean").apply(yes=True)
    info = articles.info().vectors[""]
    assert (info.metric, info.status.state) == (wanted.metric, qa.State.ACTIVE)
    hits = articles.search(before.vectors[""][7], k=1, rescore=2)
    assert hits.ids.tolist() == [[7]]
    assert abs(hits.scores[0, 0]) < 1e-6
    change.undo()
    info = articles.info().vectors[""]
    assert (info.metric.value, info.status.state) == ("cosine", qa.State.ACTIVE)
    after = articles.fetch(range(ROWS))
    assert after.vectors[""].tobytes() == before.vectors[""].tobytes()
    assert after.payloads == before.payloads
    assert tables(raw) == ["articles", "articles__embedding_int8"]


def test_the_range_of_int8_codes_grows_with_a_new_table(database: Database) -> None:
    """Codes that are created with an empty table have no range yet."""
    made = database.create("lengths", dim=8, metric="euclidean", quantization="scalar")
    rows = np.random.default_rng(0).standard_normal((400, 8)).astype(np.float32)
    for start, factor in ((0, 1), (100, 9), (200, 3), (300, 1)):
        made.write(qa.Batch(range(start, start + 100), {"": factor * rows[start : start + 100]}))
        assert state(made) is qa.State.ACTIVE
    assert "clipped-codes" not in [each.code for each in made.doctor().findings]
    assert made.search(9 * rows[150], k=1).ids.tolist() == [[150]]
    assert made.search(3 * rows[250], k=1).how.scores == "approximate"


def test_values_beyond_the_range_of_int8_codes_are_reported(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code_tables, "WIDENED_ROWS", 0)
    made = database.create("lengths", dim=8, metric="euclidean")
    rows = np.random.default_rng(0).standard_normal((100, 8)).astype(np.float32)
    made.write(qa.Batch(range(100), {"": rows}))
    made.plan("scalar").apply(yes=True)
    made.write(qa.Batch([0], {"": 50 * rows[:1]}))
    assert "clipped-codes" in [each.code for each in made.doctor().findings]
    hits = made.search(rows[5], k=1, rescore=4)
    assert hits.ids.tolist() == [[5]]


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_approximate_scores_have_the_unit_of_the_metric(
    database: Database, sample: Sample, metric: str
) -> None:
    rows, query = 3 * sample.rows[:200], sample.queries[0]
    made = database.create("scores", dim=DIM, metric=metric)
    made.write(qa.Batch(range(200), {"": rows}))
    made.plan("scalar").apply(yes=True)
    hits = made.search(query, k=5, rescore=OFF)
    found = rows[[int(each) for each in hits.ids[0]]]
    exact = unit(found) @ unit(query[None, :])[0]
    if metric == "euclidean":
        exact = -((found - query) ** 2).sum(axis=1)
    np.testing.assert_allclose(hits.scores[0], exact, rtol=0.03, atol=0.01)


def test_int8_codes_of_odd_rows() -> None:
    rows = np.array([[0, 0], [np.nan, 1], [3e38, -3e38], [-2, 1]], dtype=np.float32)
    assert mapping.int8(rows, None).tolist() == [[0, 0], [0, 127], [127, -127], [-127, 64]]
    assert mapping.int8(rows, 1.0)[3].tolist() == [-2, 1]
    assert mapping.scale_of(np.zeros((0, 2), dtype=np.float32)) == 0.0


# -- kill -9 -------------------------------------------------------------------------------------

# Reads one job per line and runs each in a process that is forked before anything was opened. A job
# applies a change and kills itself before the n-th statement that changes the file. A run of equal
# statements counts once: all its rows are in one transaction, which a kill reverses as a whole.
SERVER = """
import json, os, signal, sys
import qadapt as qa
import qadapt.planning.apply
from qadapt.stores.sqlite_vec import code_tables, store

code_tables.BATCH = 400
WRITES = ("BEGIN", "COMMIT", "CREATE", "DROP", "INSERT", "DELETE")

def main(job):
    os.environ["QADAPT_STATE_DIR"] = job["state"]
    count, before = 0, ""

    def trace(sql):
        nonlocal count, before
        statement = " ".join(sql.split(maxsplit=3)[:3])
        changes = statement.split(" ")[0].upper() in WRITES
        same, before = statement == before, statement if changes else before
        if changes and not same:
            count += 1
            if count == job["stop"]:
                os.kill(os.getpid(), signal.SIGKILL)

    db = qa.open(job["address"])
    plan = db["articles"].plan(job["quantization"], **job["more"])
    db._store.connection._opened.set_trace_callback(trace)
    plan.apply(yes=True)
    return count

for line in sys.stdin:
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(write, str(main(json.loads(line))).encode())
            os._exit(0)
        except BaseException as error:
            os.write(write, f"{type(error).__name__}: {error}".encode())
            os._exit(1)
    os.close(write)
    with os.fdopen(read) as answer:
        text = answer.read()
    print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), text]), flush=True)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as started:
        yield started
        assert started.stdin is not None
        started.stdin.close()


def killed(server: Any, job: dict[str, Any]) -> int:
    """Run a change in a process that is killed at a statement; the number of statements."""
    server.stdin.write(json.dumps(job) + "\n")
    server.stdin.flush()
    code, text = json.loads(server.stdout.readline())
    assert code == (-signal.SIGKILL if job["stop"] else 0), text
    return int(text or 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "wanted", "more"),
    [
        ("none", "binary", {}),
        ("binary", "scalar", {}),
        ("scalar", "none", {}),
        ("scalar", "scalar", {"metric": "euclidean"}),
    ],
    ids=["build", "replace", "drop", "metric"],
)
def test_a_kill_at_any_statement_loses_nothing(
    articles: Collection, file: Path, before: str, wanted: str, more: dict[str, Any],
    sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Any,
) -> None:  # fmt: skip
    """The rows are unchanged, no search misses rows, and the next plan completes the change."""
    articles.plan(before).apply(yes=True)
    articles._store.connection._opened.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    rows = articles.fetch(range(ROWS))
    saved = file.read_bytes()
    articles._store.close()

    def killed_at(stop: int) -> int:
        for each in (file, Path(f"{file}-wal"), Path(f"{file}-shm")):
            each.unlink(missing_ok=True)
        file.write_bytes(saved)
        state = str(tmp_path / "states" / str(stop))
        monkeypatch.setenv("QADAPT_STATE_DIR", state)
        job = {"address": f"sqlite-vec:{file}", "quantization": wanted, "more": more}
        return killed(server, {**job, "stop": stop, "state": state})

    total = killed_at(0)
    assert total >= 3
    print(f"{total} kill points")
    for stop in some(list(range(1, total + 1)), 3):
        killed_at(stop)
        with qa.open(f"sqlite-vec:{file}") as database:
            found = database["articles"]
            after = found.fetch(range(ROWS))
            assert after.vectors[""].tobytes() == rows.vectors[""].tobytes()
            assert after.payloads == rows.payloads
            assert state(found) is not qa.State.IGNORED
            hits = found.search(sample.rows[:20], k=1, rescore=None)
            if hits.how.scores == "exact":
                assert hits.ids[:, 0].tolist() == list(range(20))
            found.plan(wanted, **more).apply(yes=True)
            vector = found.info().vectors[""]
            assert str(vector.quantization) == wanted
            assert vector.status.state in (qa.State.ACTIVE, qa.State.ABSENT)
            assert vector.metric.value == more.get("metric", "cosine")


def test_plans_of_a_file_are_read_again(articles: Collection) -> None:
    plan = articles.plan("binary")
    assert Plan.from_json(plan.to_json()).steps == plan.steps
    with pytest.raises(InputError):
        articles.search(np.ones(DIM), k=0)
