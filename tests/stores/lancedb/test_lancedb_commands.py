"""Cost, advice, predictions, evaluation, copies and code for other clients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa
import pytest
from lancedb_helpers import DIM, ROWS
from slow import some

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.costing import memory
from qadapt.quantizers.models import NEAR
from qadapt.stores.lancedb.rabitq import IvfRq
from qadapt.testing.data import Sample, clustered

CODES = ("scalar", "rotational:bits=1", "rotational:bits=4", "product:ratio=16",
         'scalar:native={"index":"hnsw"}')  # fmt: skip


@pytest.mark.parametrize("setting", some(CODES, 2))
def test_the_formulas_give_the_size_of_the_index(articles: Collection, setting: str) -> None:
    articles.plan(setting).apply(yes=True)
    vector = articles.info().vectors[""]
    parts = {e.name: e.disk for e in memory(ROWS, qa.Vector(DIM), setting, "lancedb").components}
    assert parts["originals"] == 4 * ROWS * DIM
    assert parts["codes"] + parts["graph"] == pytest.approx(vector.code_bytes, rel=0.1)


def test_advice_saves_ram(database: Database, sample: Sample) -> None:
    articles = database.create("articles", dim=DIM)
    articles.write(qa.Batch(range(400), {"": sample.rows[:400]}))
    advice = articles.advise(
        0.8, queries=sample.queries[:20], codes=["rotational:bits=1", "scalar"]
    )
    assert advice.best is not None
    assert advice.best.quantization.kind is not qa.Kind.NONE
    found = articles.cost("rotational:bits=1")
    assert found.before is not None and found.after is not None
    assert found.before.footprint is not None and found.after.footprint is not None
    assert found.after.footprint.ram < found.before.footprint.ram / 4
    assert found.after.footprint.disk > found.before.footprint.disk


PREDICTED = [
    (rows, dim, metric)
    for rows, dim in ((1200, 128), (1000, 200))
    for metric in ("cosine", "euclidean", "dot")
]


@pytest.mark.parametrize(("rows", "dim", "metric"), some(PREDICTED, 1, seed=1))
def test_predictions_are_near_the_engine(
    database: Database, rows: int, dim: int, metric: str
) -> None:
    """On data and dimensions that no figure of the model was derived from."""
    data = clustered(rows, dim, queries=100, k=10, seed=dim)
    made = database.create("predicted", dim=dim, metric=metric)
    made.write(qa.Batch(range(rows), {"": 2 * data.rows}))
    # Not codes of 1 and 2 bits without rescoring, whose recall varies from build to build.
    asked = ["scalar:rescore=off", "rotational:bits=1,rescore=4", "rotational:bits=4,rescore=off",
             "product:ratio=16,rescore=off"]  # fmt: skip
    predicted = made.simulate(*asked, queries=2 * data.queries, k=10, sample_rows=rows)
    live = made.evaluate(*asked, queries=2 * data.queries, k=10, live=False, concurrency=())
    for ours, theirs in zip(predicted.results, live.results, strict=True):
        assert ours.recall is not None
        assert theirs.recall is not None
        assert abs(ours.recall.value - theirs.recall.value) <= NEAR, (ours, theirs)


@pytest.mark.parametrize(("metric", "bits"), some([("dot", 1), ("cosine", 1), ("dot", 8)], 1))
def test_codes_of_rotations_have_the_recall_of_the_model(
    folder: Path, metric: str, bits: int
) -> None:
    """On the mean of some builds: the engine draws another rotation for each."""
    rows, dim, k, builds = 800, 128, 10, 5
    data = clustered(rows, dim, queries=40, k=k, seed=dim)
    vectors = 2 * data.rows
    table = lancedb.connect(str(folder)).create_table(
        "raw",
        pa.table({
            "id": pa.array(range(rows)),
            "v": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), dim),
        }),
    )  # fmt: skip
    truth = [set(np.argsort(-(data.rows @ query))[:k].tolist()) for query in data.queries]
    model = IvfRq(qa.Metric(metric), dim, bits).fit(vectors)
    scores = model.rows(vectors).scores(model.queries(data.queries))
    ours = [
        len(set(np.argsort(-each)[:k].tolist()) & near)
        for each, near in zip(scores, truth, strict=True)
    ]
    theirs = []
    for _ in range(builds):
        table.create_index(
            "v", config=lancedb.index.IvfRq(distance_type=metric, num_bits=bits, num_partitions=1)
        )
        for query, near in zip(data.queries, truth, strict=True):
            found = table.search(query, vector_column_name="v").distance_type(metric)
            ids = found.select(["id", "_distance"]).limit(k).to_arrow()["id"].to_pylist()
            theirs.append(len(set(ids) & near))
    assert np.mean(ours) / k == pytest.approx(np.mean(theirs) / k, abs=NEAR)


# -- copies --------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("texts", some([True, False], 1))
def test_rows_are_copied_to_edge_and_back(
    database: Database, sample: Sample, folder: Path, tmp_path: Path, texts: bool
) -> None:
    pytest.importorskip("qdrant_edge")
    count = 400
    ids: list[Any] = [f"00000000-0000-0000-0000-{at:012x}" if texts else at for at in range(count)]
    made = database.create("articles", dim=DIM)
    payloads = [{"group": at % 7, "list": ["a", at], "none": None} for at in range(count)]
    made.write(qa.Batch(ids, {"": sample.rows[:count]}, payloads))
    made.plan("rotational:bits=4,rescore=4").apply(yes=True)
    there, back = f"edge:{tmp_path}/edge", f"lancedb:{tmp_path}/back"
    first = qa.migrate(f"lancedb:{folder}#articles", there)
    assert first.state == "done", first
    assert qa.check(f"lancedb:{folder}#articles", f"{there}#articles").passed
    second = qa.migrate(f"{there}#articles", back)
    assert second.state == "done", second
    assert qa.check(f"{there}#articles", f"{back}#articles").passed
    with qa.open(back) as copy:
        found = copy["articles"].fetch(ids)
        assert (found.ids, found.payloads) == (ids, payloads)
        np.testing.assert_allclose(found.vectors[""], sample.rows[:count], atol=1e-6)
        vector = copy["articles"].info().vectors[""]
        assert vector.status.state is qa.State.ACTIVE
        assert vector.quantization == qa.rotational(bits=4, rescore=4)


# -- other clients -------------------------------------------------------------------------------


PASTED = [
    (setting, metric)
    for setting in ("none", "scalar:rescore=4", "rotational:bits=2,rescore=2.5",
                    "rotational:bits=4,rescore=off", 'scalar:rescore=3,native={"index":"hnsw"}')
    for metric in ("cosine", "euclidean", "dot")
]  # fmt: skip


@pytest.mark.parametrize(("setting", "metric"), some(PASTED, 3))
def test_pasted_code_returns_the_ids_of_qadapt(
    database: Database, sample: Sample, setting: str, metric: str
) -> None:
    made = database.create("pasted", dim=DIM, metric=metric)
    made.write(qa.Batch(range(600), {"": sample.rows[:600]}))
    made.plan(setting).apply(yes=True)
    found = made.client_params(k=5)
    defined: dict[str, Any] = {}
    exec(compile(found.code["lancedb"], "pasted.py", "exec"), defined)  # the code that users paste
    for query in sample.queries[:5]:
        assert defined["search"](query.tolist()) == made.search(query, k=5).ids[0].tolist()


def test_the_settings_of_a_collection_are_read_by_another_machine(
    articles: Collection, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """They are in the metadata of the id column, so another state folder has them."""
    articles.plan("rotational:bits=1,rescore=6").apply(yes=True)
    monkeypatch.setenv("QADAPT_STATE_DIR", str(tmp_path / "other"))
    with qa.open(f"lancedb:{folder}") as other:
        hits = other["articles"].search(np.ones(DIM), k=10)
        assert (hits.how.oversampling, hits.how.candidates) == (6, 60)
        assert hits.how.rescore_from == "collection"


def test_a_client_that_sends_nothing_is_measured(articles: Collection, sample: Sample) -> None:
    """Without parameters the engine does not rescore; a table without an index uses l2."""
    articles.plan("rotational:bits=1,rescore=10").apply(yes=True)
    report = articles.verify(k=10, queries=30)
    assert report.matches_configuration
    assert report.recall is not None
    default = report.results[1].recall
    assert default is not None
    assert default.value < report.recall.value
