"""Cost, advice, predictions, evaluation, copies and code for other clients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from slow import some
from sqlite_vec_helpers import DIM, ROWS, blob

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.cli import main
from qadapt.costing import memory
from qadapt.errors import QadaptError, UnsupportedError
from qadapt.quantizers.models import NEAR
from qadapt.stores.sqlite_vec import changes, code_tables
from qadapt.testing.data import Sample, clustered


@pytest.mark.parametrize("setting", ["none", "binary", "scalar"])
def test_the_formulas_give_the_sizes_of_the_file(
    articles: Collection, raw: Any, setting: str
) -> None:
    articles.plan(setting).apply(yes=True)
    components = memory(ROWS, qa.Vector(DIM), setting, "sqlite-vec").components
    parts = {part.name: part.disk for part in components}

    def held(table: str) -> int:
        query = f"SELECT sum(length(vectors)) FROM {table}_vector_chunks00"
        return int(raw.execute(query).fetchone()[0])

    assert parts["originals"] == held("articles")
    if setting != "none":
        kind = "bit" if setting == "binary" else "int8"
        assert parts["codes"] == held(f"articles__embedding_{kind}")


def test_advice_saves_ram(articles: Collection, sample: Sample) -> None:
    advice = articles.advise(0.8, queries=sample.queries)
    assert advice.best is not None
    assert advice.best.quantization.kind is not qa.Kind.NONE
    found = articles.cost("binary")
    assert found.before is not None
    assert found.after is not None
    assert found.before.footprint is not None
    assert found.after.footprint is not None
    assert found.after.footprint.ram < found.before.footprint.ram / 20
    assert found.after.footprint.disk > found.before.footprint.disk


@pytest.mark.parametrize(
    ("rows", "dim"), [pytest.param(1500, 32, marks=pytest.mark.long), (1000, 200)]
)
@pytest.mark.parametrize("metric", ["cosine", pytest.param("euclidean", marks=pytest.mark.long)])
def test_predictions_are_near_the_engine(
    database: Database, rows: int, dim: int, metric: str
) -> None:
    """On data and dimensions that no figure of the model was derived from."""
    data = clustered(rows, dim, queries=60, k=10, seed=dim)
    made = database.create("predicted", dim=dim, metric=metric)
    made.write(qa.Batch(range(rows), {"": 2 * data.rows}))
    asked = ["scalar:rescore=off", "binary:rescore=off", "binary:rescore=4", "binary:rescore=10"]
    predicted = made.simulate(*asked, queries=2 * data.queries, k=10, sample_rows=rows)
    live = made.evaluate(*asked, queries=2 * data.queries, k=10, live=False, concurrency=())
    for ours, theirs in zip(predicted.results, live.results, strict=True):
        assert ours.recall is not None
        assert theirs.recall is not None
        assert abs(ours.recall.value - theirs.recall.value) <= NEAR, (ours, theirs)


# -- copies --------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("texts", some([False, True], 1))
def test_rows_are_copied_to_edge_and_back(
    database: Database, sample: Sample, file: Path, tmp_path: Path, texts: bool
) -> None:
    pytest.importorskip("qdrant_edge")
    ids: list[Any] = [f"00000000-0000-0000-0000-{at:012x}" if texts else at for at in range(300)]
    made = database.create("articles", dim=DIM)
    payloads = [{"group": at % 7, "list": ["a", at], "none": None} for at in range(300)]
    made.write(qa.Batch(ids, {"": sample.rows[:300]}, payloads))
    made.plan("binary:rescore=4").apply(yes=True)
    there, back = f"edge:{tmp_path}/edge", f"sqlite-vec:{tmp_path}/back.db"
    first = qa.migrate(f"sqlite-vec:{file}#articles", there)
    assert first.state == "done", first
    assert qa.check(f"sqlite-vec:{file}#articles", f"{there}#articles").passed
    second = qa.migrate(f"{there}#articles", back)
    assert second.state == "done", second
    assert qa.check(f"{there}#articles", f"{back}#articles").passed
    with qa.open(back) as copy:
        found = copy["articles"].fetch(ids)
        assert found.ids == ids
        assert found.payloads == payloads
        np.testing.assert_allclose(found.vectors[""], sample.rows[:300], atol=1e-6)
        vector = copy["articles"].info().vectors[""]
        assert (vector.quantization, vector.status.state) == (qa.binary(rescore=4), qa.State.ACTIVE)


def test_a_collection_with_dot_product_is_not_copied(tmp_path: Path) -> None:
    pytest.importorskip("qdrant_edge")
    source = f"edge:{tmp_path}/edge"
    with qa.open(source) as other:
        made = other.create("dots", dim=8, metric="dot")
        made.write(qa.Batch([1], {"": np.ones((1, 8))}))
    with pytest.raises((UnsupportedError, QadaptError), match="no metric dot"):
        qa.migrate(f"{source}#dots", f"sqlite-vec:{tmp_path}/x.db")


# -- other clients -------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize(
    "setting", ["none", "binary:rescore=4", "scalar", "scalar:rescore=2", "binary:rescore=off"]
)
def test_pasted_code_returns_the_ids_of_qadapt(
    database: Database, sample: Sample, metric: str, setting: str
) -> None:
    made = database.create("pasted", dim=DIM, metric=metric)
    made.write(qa.Batch(range(400), {"": sample.rows[:400]}))
    made.plan(setting).apply(yes=True)
    found = made.client_params(k=5)
    code = found.code["sqlite3"]
    defined: dict[str, Any] = {}
    exec(compile(code, "pasted.py", "exec"), defined)  # the code that users paste
    for query in sample.queries[:5]:
        assert defined["search"](query.tolist()) == made.search(query, k=5).ids[0].tolist()
    defined["connection"].close()


def test_apply_prints_the_sql_of_applications_once(
    articles: Collection, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = articles.plan("binary:rescore=4")
    assert plan.clients is not None and plan.clients.needed
    assert "the SQL of `qadapt client-params --for sql`" in plan.clients.text
    for line in plan.clients.statement.splitlines():
        assert line in str(plan)
    address = f"{articles._store.address}"
    capsys.readouterr()
    assert main(["apply", address, "articles", "binary:rescore=4", "--yes"]) == 0
    shown = capsys.readouterr().out
    assert shown.count("SQL of applications:") == shown.count("WITH c AS") == 1
    assert shown.count("the SQL of `qadapt client-params --for sql`") == 2
    assert articles.client_params(k=10).code["sql"] == plan.clients.statement
    assert articles.client_params().statement == plan.clients.statement
    # Any SQL finds the original vectors.
    assert articles.plan("none").clients is None


def test_the_sql_for_writers_keeps_codes_in_step(articles: Collection, raw: Any) -> None:
    articles.plan("binary:rescore=4").apply(yes=True)
    text = articles.client_params(k=5).code["sql"]
    table = articles._store.table("articles")  # type: ignore[attr-defined]
    insert = changes.writing_sql(table, table.codes[0])
    assert insert in text
    vector = blob(np.ones(DIM))
    raw.execute("BEGIN IMMEDIATE")
    raw.execute("INSERT INTO articles(id, embedding) VALUES (?, ?)", (5000, vector))
    raw.execute(insert, (5000, vector))
    raw.execute("COMMIT")
    assert articles.info().vectors[""].status.state is qa.State.ACTIVE
    hits = articles.search(np.ones(DIM), k=1)
    assert (hits.ids.tolist(), hits.how.rescorer) == ([[5000]], "store")


def test_partition_keys_limit_the_search_of_codes(database: Database, raw: Any) -> None:
    raw.execute(
        "CREATE VIRTUAL TABLE parts USING vec0(id integer primary key, a float[16] "
        "distance_metric=cosine, tenant text partition key, year integer, +note text)"
    )
    rows = np.random.default_rng(0).standard_normal((200, 16)).astype(np.float32)
    raw.executemany(
        "INSERT INTO parts(id, a, tenant, year, note) VALUES (?, ?, ?, ?, ?)",
        [(at, blob(row), f"t{at % 4}", at, "x") for at, row in enumerate(rows)],
    )
    made = database["parts"]
    made.plan("binary", vector="a").apply(yes=True)
    assert made.info().vectors["a"].status.state is qa.State.ACTIVE
    hits = made.search(
        rows[6], k=3, vector="a", filter={"tenant": "t2", "year": {"lt": 20}}, rescore=4
    )
    assert hits.ids[0, 0] == 6
    assert all(key % 4 == 2 and key < 20 for key in hits.ids[0])
    made.write(qa.Batch([6], {"a": rows[:1]}, [{"tenant": "t3", "year": 6}]))
    assert made.info().vectors["a"].status.state is qa.State.ACTIVE
    hits = made.search(rows[0], k=2, vector="a", filter={"tenant": "t3"}, rescore=4)
    assert hits.ids[0, 0] == 6


def test_large_tables_are_compared_by_a_sample(
    articles: Collection, raw: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code_tables, "COMPARED_BYTES", 1000)
    articles.plan("binary").apply(yes=True)
    evidence = {e.signal: e.value for e in articles.info().vectors[""].status.evidence}
    assert 200 <= evidence["codes computed again"] < ROWS
    raw.execute("INSERT INTO articles(id, embedding) VALUES (-1, ?)", (blob(np.ones(DIM)),))
    assert articles.info().vectors[""].status.state is qa.State.IGNORED
