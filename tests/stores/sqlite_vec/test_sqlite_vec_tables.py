"""Tables that other programs created, and what vec0 refuses."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlite_vec
from sqlite_vec_helpers import DIM, blob

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.errors import (
    AddressError,
    AlreadyExistsError,
    BusyError,
    InputError,
    IntegrityError,
    SpecError,
    StorageError,
    StoreError,
    UnsupportedError,
)
from qadapt.stores.sqlite_vec import schema
from qadapt.stores.sqlite_vec.connection import connect

EYE = np.eye(8, dtype=np.float32)


# -- shapes of tables ----------------------------------------------------------------------------


def test_definitions_are_parsed() -> None:
    body = schema.body_of(
        "create virtual table if not exists x\n USING vec0(\n  a f32[8],\n b bit[16], "
        "c int8[8] distance_metric = cosine, id TEXT PRIMARY KEY, t integer partition key, "
        "n boolean, +body text, chunk_size = 256)"
    )
    assert body is not None
    found = schema.parse(body)
    assert [(e.name, e.role, e.type, e.dim, e.metric, e.place) for e in found] == [
        ("a", "vector", "float", 8, "l2", 0),
        ("b", "vector", "bit", 16, "hamming", 1),
        ("c", "vector", "int8", 8, "cosine", 2),
        ("id", "key", "text", 0, "", 0),
        ("t", "partition", "integer", 0, "", 0),
        ("n", "metadata", "boolean", 0, "", 0),
        ("body", "auxiliary", "text", 0, "", 0),
    ]
    assert schema.body_of("CREATE TABLE x (a)") is None


@pytest.fixture
def foreign(database: Database, raw: Any) -> Collection:
    """A table without a declared key, with sign bits in a column."""
    raw.execute(
        "CREATE VIRTUAL TABLE old USING vec0(a float[8] distance_metric=cosine, b bit[8], "
        "year integer, +body text)"
    )
    signs = np.random.default_rng(0).standard_normal((50, 8)).astype(np.float32)
    for at, row in enumerate(signs, start=1):
        raw.execute(
            "INSERT INTO old(rowid, a, b, year, body) VALUES (?1, ?2, vec_quantize_binary(?2), ?3, "
            "?4)",
            (at, blob(row), 2000 + at, None if at % 2 else f"text {at}"),
        )
    return database["old"]


def test_a_table_of_another_program_is_read_written_and_searched(foreign: Collection) -> None:
    vector = foreign.info().vectors["a"]
    assert (vector.dim, vector.metric.value, foreign.count()) == (8, "cosine", 50)
    assert vector.quantization == qa.binary()
    assert vector.status.state is qa.State.ACTIVE
    assert foreign.fetch([2]).payloads == [{"year": 2002, "body": "text 2"}]
    assert foreign.fetch([3]).payloads == [{"year": 2003}]
    row = np.full((1, 8), 0.5, dtype=np.float32)
    foreign.write(qa.Batch([7], {"a": row}, [{"year": 1}]))
    assert foreign.count() == 50
    assert foreign.info().vectors["a"].status.state is qa.State.ACTIVE
    hits = foreign.search(row, k=1, vector="a", rescore=4)
    assert (hits.ids.tolist(), hits.how.scores) == ([[7]], "exact")
    with pytest.raises(InputError, match="requires an integer"):
        foreign.write(qa.Batch([8], {"a": row}, [{"year": "x"}]))
    with pytest.raises(InputError, match="not a column"):
        foreign.write(qa.Batch([8], {"a": row}, [{"year": 1, "other": 1}]))
    assert foreign.fetch([8]).payloads == [{"year": 2008, "body": "text 8"}]


def test_bits_that_an_update_left_behind_are_ignored(foreign: Collection, raw: Any) -> None:
    """UPDATE changes a float column and cannot change the bits beside it."""
    assert foreign.search(EYE[0], k=1, vector="a").how.scores == "approximate"
    with pytest.raises(Exception, match="invalid float32 vector"):
        raw.execute("UPDATE old SET b = vec_quantize_binary(?) WHERE rowid = 3", (blob(EYE[0]),))
    raw.execute("UPDATE old SET a = ? WHERE rowid = 3", (blob(EYE[0]),))
    status = foreign.info().vectors["a"].status
    assert status.state is qa.State.IGNORED
    assert "vec0 cannot update them" in status.reason
    hits = foreign.search(EYE[0], k=1, vector="a")
    assert (hits.ids.tolist(), hits.how.scores) == ([[3]], "exact")
    assert "not in step" in " ".join(hits.how.notes)


def test_the_bits_of_a_table_are_switched_off_and_on(foreign: Collection) -> None:
    change = foreign.plan("none", vector="a").apply(yes=True)
    assert foreign.info().vectors["a"].quantization == qa.none()
    assert foreign.search(EYE[0], k=1, vector="a").how.scores == "exact"
    change.undo()
    assert foreign.info().vectors["a"].quantization == qa.binary()


def test_columns_may_be_named_after_keywords(database: Database, raw: Any) -> None:
    raw.execute(
        "CREATE VIRTUAL TABLE words USING vec0(index integer primary key, from float[8], "
        "group integer, order text partition key, +where text)"
    )
    made = database["words"]
    fields = [{"group": at, "order": "x", "where": "y"} for at in range(3)]
    made.write(qa.Batch(range(3), {"from": EYE[:3]}, fields))
    made.plan("binary", vector="from").apply(yes=True)
    for filter in ({"group": {"gte": 1}}, {"not": {"group": 0}, "order": "x", "where": "y"}):
        assert made.count(filter=filter) == 2
        hits = made.search(EYE[1], k=1, vector="from", filter=filter, rescore=2)
        assert hits.ids.tolist() == [[1]]
    assert made.fetch([2]).payloads == [fields[2]]
    made.plan("binary", vector="from", metric="cosine").apply(yes=True)
    assert made.info().vectors["from"].status.state is qa.State.ACTIVE
    made.delete([1])
    assert made.count() == 2


def test_codes_without_original_vectors_are_not_vectors(database: Database, raw: Any) -> None:
    raw.execute("CREATE VIRTUAL TABLE bits USING vec0(b bit[8], c float[8] distance_metric=l1)")
    info = database["bits"].info()
    assert dict(info.vectors) == {}
    assert "bit codes without original vectors" in " ".join(info.notes)
    assert "metric l1" in " ".join(info.notes)
    with pytest.raises((UnsupportedError, SpecError)):
        database["bits"].write(qa.Batch([1], {"c": EYE[:1]}))


def test_a_renamed_table_is_refused_and_does_not_end_the_process(
    database: Database, raw: Any
) -> None:
    raw.execute("CREATE VIRTUAL TABLE a USING vec0(embedding float[8])")
    raw.execute("INSERT INTO a(rowid, embedding) VALUES (1, ?)", (blob(EYE[0]),))
    raw.execute("ALTER TABLE a RENAME TO b")
    assert "b" in database.collections()
    for use in (lambda: database["b"].info(), lambda: database["b"].fetch([1])):
        with pytest.raises(StoreError, match="was renamed") as refused:
            use()
        assert "RENAME TO" in (refused.value.hint or "")
    raw.execute("ALTER TABLE b RENAME TO a")
    assert database["a"].fetch([1]).ids == [1]


def test_a_table_of_a_newer_version_is_refused(database: Database, raw: Any) -> None:
    raw.execute("CREATE VIRTUAL TABLE a USING vec0(embedding float[8])")
    raw.execute("PRAGMA writable_schema = ON")
    raw.execute(
        "UPDATE sqlite_master SET sql = 'CREATE VIRTUAL TABLE a USING vec0(embedding float[8] "
        "indexed by rescore(quantizer=bit))' WHERE name = 'a'"
    )
    raw.execute("PRAGMA writable_schema = RESET")
    raw.execute("CREATE TABLE other (x)")
    with pytest.raises(UnsupportedError, match="indexed by rescore"):
        database["a"].info()


# -- what is refused before anything is touched --------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dim": 8, "metric": "dot"}, "no metric dot"),
        ({"dim": 9000}, "8,192 dimensions"),
        ({"vectors": {"a": qa.Vector(8, datatype="float16")}}, "not float16"),
        ({"vectors": {"distance": qa.Vector(8)}}, "reserved"),
        ({"vectors": {"a-b": qa.Vector(8)}}, "other than letters"),
        ({"vectors": {f"v{at}": qa.Vector(8) for at in range(17)}}, "at most 16"),
        ({"dim": 8, "quantization": "float16"}, "no float16 codes"),
        ({"dim": 12, "quantization": "binary"}, "multiple of 8"),
        ({"dim": 8, "quantization": "scalar:bits=4"}, "no codes of 4 bits"),
        ({"dim": 8, "quantization": "binary:originals=none"}, "originals=none"),
    ],
)
def test_what_vec0_does_not_have_is_refused_before_anything_is_made(
    database: Database, raw: Any, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises((UnsupportedError, InputError), match=message) as refused:
        database.create("articles", **arguments)
    assert refused.value.hint
    assert raw.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)


def test_names_differ_by_more_than_case(database: Database) -> None:
    database.create("articles", dim=8)
    with pytest.raises(AlreadyExistsError, match="'articles' already exists"):
        database.create("Articles", dim=8)
    with pytest.raises(InputError, match="valid table name"):
        database.create("sqlite_x", dim=8)
    made = database.create('my "table", ünsafe', dim=8)
    made.write(qa.Batch(["x"], {"": EYE[:1]}, [{"a": 1}]))
    made.plan("binary").apply(yes=True)
    assert made.search(EYE[0], k=1, filter={"a": 1}).ids.tolist() == [["x"]]


def test_rows_need_all_vectors_and_keep_those_that_a_batch_lacks(database: Database) -> None:
    vectors = {"a": qa.Vector(8), "b": qa.Vector(8, qa.Metric.EUCLIDEAN)}
    made = database.create("two", vectors=vectors)
    with pytest.raises(InputError, match="requires all vectors"):
        made.write(qa.Batch([1], {"a": EYE[:1]}))
    assert made.count() == 0
    made.write(qa.Batch([1, 2], {"a": EYE[:2], "b": EYE[2:4]}))
    made.write(qa.Batch([2], {"a": EYE[5:6]}, [{"new": True}]))
    found = made.fetch([2])
    assert found.vectors["a"].tolist() == [EYE[5].tolist()]
    assert found.vectors["b"].tolist() == [EYE[3].tolist()]
    gone = np.array([True])
    with pytest.raises(InputError, match="requires all vectors"):
        made.write(qa.Batch([3], {"a": EYE[:1], "b": EYE[:1]}, missing={"b": gone}))


def test_more_candidates_than_vec0_returns_are_reported(articles: Collection) -> None:
    articles.plan("binary").apply(yes=True)
    hits = articles.search(np.ones(DIM), k=50, rescore=100)
    assert hits.how.candidates == 4096
    assert "at most 4,096 candidates" in " ".join(hits.how.notes)
    with pytest.raises(InputError, match="from 1 to 4096"):
        articles.search(np.ones(DIM), k=5000)
    with pytest.raises(SpecError, match="no search parameter"):
        articles.search(np.ones(DIM), k=1, options={"ef": 1})


def test_a_plan_says_when_rescoring_costs_as_much_as_floats(articles: Collection) -> None:
    notes = " ".join(articles.plan("binary:rescore=40").notes)
    assert "as long as comparing all original vectors" in notes
    assert "more than 102 results rescore fewer" in notes
    assert "as long as" not in " ".join(articles.plan("binary:rescore=4").notes)


def test_findings_of_files_of_other_programs(database: Database, raw: Any) -> None:
    """The default metric, a journal without WAL, and free pages."""
    raw.execute("CREATE VIRTUAL TABLE a USING vec0(embedding float[1024])")
    rows = [(at, blob(np.full(1024, at))) for at in range(1, 1100)]
    raw.executemany("INSERT INTO a(rowid, embedding) VALUES (?, ?)", rows)
    raw.execute("DELETE FROM a")
    codes = [each.code for each in database["a"].doctor().findings]
    assert {"default-metric", "journal-mode", "free-pages"} <= set(codes)


def test_rows_without_a_distance_are_left_out_and_reported(database: Database, raw: Any) -> None:
    """vec0 accepts NaN, infinite values and zero vectors, whose distances are NULL."""
    raw.execute("CREATE VIRTUAL TABLE a USING vec0(embedding float[8] distance_metric=cosine)")
    rows = np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32)
    rows[3::10], rows[5, 2], rows[7] = np.nan, np.inf, 0
    raw.executemany(
        "INSERT INTO a(rowid, embedding) VALUES (?, ?)",
        [(at, blob(row)) for at, row in enumerate(rows, 1)],
    )
    invalid = {4, 14, 24, 34, 6, 8}
    collection = database["a"]
    valid = set(range(1, 41)) - invalid
    for setting in ("none", "scalar:rescore=4", "binary:rescore=4"):
        collection.plan(setting).apply(yes=True)
        hits = collection.search(rows[0], 40)
        assert {hit.id for hit in hits} == valid, setting
        assert np.isfinite([hit.score for hit in hits]).all()
        assert hits.ids[0, 34:].tolist() == [None] * 6
    codes = {each.code: each for each in collection.doctor().findings}
    assert "5 vectors have NaN" in codes["invalid-vectors"].message


# -- files and connections -----------------------------------------------------------------------


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="is a folder"):
        qa.open(f"sqlite-vec:{tmp_path}")
    with pytest.raises(StorageError, match="does not exist"):
        qa.open(f"sqlite-vec:{tmp_path}/no/x.db")
    (tmp_path / "text").write_text("not a database, but long enough for a header" * 100)
    with pytest.raises(IntegrityError, match="not a database"):
        qa.open(f"sqlite-vec:{tmp_path}/text").collections()
    with pytest.raises(AddressError, match="cache"):
        qa.open(f"sqlite-vec:{tmp_path}/x.db?cache=3")


def test_a_second_writer_gets_an_error_that_names_what_to_do(
    articles: Collection, raw: Any, file: Path
) -> None:
    raw.execute("BEGIN IMMEDIATE")
    with qa.open(f"sqlite-vec:{file}?timeout=1") as other:
        with pytest.raises(BusyError, match="database is locked") as refused:
            other["articles"].write(qa.Batch([1], {"": np.ones((1, DIM))}))
        assert "one writer at a time" in (refused.value.hint or "")
        assert "timeout" in (refused.value.hint or "")
        # WAL: searches continue.
        assert other["articles"].search(np.ones(DIM), k=1).ids.shape == (1, 1)
    raw.execute("ROLLBACK")
    assert raw.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_connection_of_the_user_is_wrapped_and_stays_open(file: Path) -> None:
    opened = connect(str(file), 1)
    opened.row_factory = lambda *_: pytest.fail("the row factory of the user was used")
    with qa.wrap(opened) as database:
        made = database.create("articles", dim=8)
        made.write(qa.Batch([1], {"": EYE[:1]}))
        made.plan("binary").apply(yes=True)
        assert str(file) in str(database._store.address)
    opened.row_factory = None
    opened.execute("BEGIN")
    with qa.wrap(opened) as database:
        database["articles"].write(qa.Batch([2], {"": EYE[1:2]}))
        opened.execute("ROLLBACK")
        assert database["articles"].count() == 1
        assert database["articles"].info().vectors[""].status.state is qa.State.ACTIVE
    opened.close()


def test_a_connection_without_the_extension_is_refused() -> None:
    assert sqlite_vec.__name__ in sys.modules
    with pytest.raises(UnsupportedError, match="does not have the extension") as refused:
        qa.wrap(sqlite3.connect(":memory:"))
    assert "sqlite_vec.load" in (refused.value.hint or "")


def test_a_forked_process_opens_the_file_itself(articles: Collection, file: Path) -> None:
    code = f"""
import os, qadapt as qa
db = qa.open("sqlite-vec:{file}")
db["articles"].count()
child = os.fork()
if not child:
    try:
        db["articles"].count()
    except qa.errors.StoreError as error:
        os._exit(7 if "forked" in error.message else 1)
    os._exit(2)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)
