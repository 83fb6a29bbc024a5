"""Another vector with the first dimensions or the same values, added to a collection."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qadapt as qa
from qadapt.api import Collection
from qadapt.errors import ApplyError
from qadapt.stores.qdrant.edge import named_vectors, schema

pytest.importorskip("qdrant_edge")

ROWS, FULL, KEPT, K = 1_500, 64, 32, 5


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    scale = 1 / np.sqrt(1 + np.arange(FULL))  # the first dimensions matter most
    return (np.random.default_rng(5).normal(size=(ROWS, FULL)) * scale).astype(np.float32)


@pytest.fixture
def articles(tmp_path: Path, rows: np.ndarray) -> Any:
    with qa.open(f"edge:{tmp_path}/data") as db:
        made = db.create("articles", dim=FULL)
        made.write(qa.Batch(range(ROWS), {"": rows}, [{"at": at} for at in range(ROWS)]))
        yield made


def unit(array: np.ndarray) -> np.ndarray:
    wide = array.astype(np.float64)
    return wide / np.linalg.norm(wide, axis=1, keepdims=True)


def nearest(rows: np.ndarray, queries: np.ndarray, dims: int) -> np.ndarray:
    return np.argsort(-(unit(queries[:, :dims]) @ unit(rows[:, :dims]).T), axis=1)[:, :K]


def recall(found: Any, wanted: np.ndarray) -> float:
    return float(np.mean([len(set(a) & set(b)) / K for a, b in zip(found, wanted, strict=True)]))


def on_disk(tmp_path: Path) -> dict[str, Any]:
    """The settings of the collection, and index and codes of each vector of each segment."""
    folder = tmp_path / "data" / "articles"
    found = {
        json.dumps(json.loads(file.read_text())["config"]["vector_data"], sort_keys=True)
        for file in folder.glob("segments/*/segment.json")
    }
    return {"settings": schema.settings(schema.read(folder)), "segments": sorted(found)}


@pytest.mark.parametrize(
    "asked",
    [
        "none",
        "scalar",
        "binary",
        "rotational:bits=4",
        pytest.param("product", marks=pytest.mark.long),
    ],
)
@pytest.mark.parametrize("before", [None, pytest.param("scalar", marks=pytest.mark.long)])
def test_first_dimensions_are_added_as_a_vector_and_undone(
    asked: str, before: str | None, articles: Collection, rows: np.ndarray, tmp_path: Path
) -> None:
    if before is not None:
        articles.plan(before).apply(yes=True)
    former = on_disk(tmp_path)
    setting = qa.Quantization.parse(asked).replace(dims=KEPT, rescore=qa.Rescore(6))
    plan = articles.plan(setting)
    short = str(plan.new_vector)
    assert short == f"default_{asked.split(':')[0]}_{KEPT}".replace("none_", "").replace(
        "rotational_", "rotational4_" if "bits" in asked else ""
    ).replace("scalar_", "scalar7_")
    assert f"first {KEPT} dimensions" in plan.steps[0].action
    change = plan.apply(yes=True, guard=qa.Guard(0.2, k=K, queries=50, clients="configured"))
    about = articles.info().vectors
    assert (about[""].dim, about[short].dim, about[short].count) == (FULL, KEPT, ROWS)
    assert str(about[short].status.state) == ("absent" if asked == "none" else "active")
    stored = articles.fetch([7, 3], vectors=[short]).vectors[short]
    np.testing.assert_allclose(stored, unit(rows[[7, 3], :KEPT]), atol=1e-6)

    queries = rows[:40]
    hits = articles.search(queries, K, vector=short)
    assert (hits.how.rescorer, hits.how.rescored_on) == ("qadapt", "originals")
    wide = recall(hits.ids.tolist(), nearest(rows, queries, FULL))
    exact = unit(queries) @ unit(rows).T
    np.testing.assert_allclose(
        hits.scores, np.take_along_axis(exact, hits.ids.astype(int), axis=1), atol=1e-5
    )
    cut = articles.search(queries[:, :KEPT], K, vector=short, rescore=None)
    assert wide >= recall(cut.ids.tolist(), nearest(rows, queries, FULL))
    report = articles.verify(vector=short, k=K, queries=queries)
    assert report.truth.ground_truth.endswith(f"of the vector '' with all {FULL} dimensions")
    assert report.recall is not None and report.recall.value == pytest.approx(wide, abs=1e-6)

    change.undo()
    assert on_disk(tmp_path) == former
    assert list(articles.info().vectors) == [""]
    assert articles.fetch([3]).payloads == [{"at": 3}]


def test_printed_code_finds_the_same_rows(
    articles: Collection, rows: np.ndarray, tmp_path: Path
) -> None:
    short = str(articles.plan(f"binary:dims={KEPT},rescore=6").apply(yes=True).outcome.vector)  # type: ignore[union-attr]
    params = articles.client_params(vector=short, k=K)
    expected = articles.search(rows[:10], K, vector=short).ids.tolist()
    articles._store.close()  # the code opens the folder itself
    defined: dict[str, Any] = {}
    exec(compile(params.code["qdrant-edge"], "pasted.py", "exec"), defined)
    assert [defined["search"](row.tolist()) for row in rows[:10]] == expected
    defined["shard"].close()


def test_an_interrupted_copy_is_continued(
    articles: Collection, rows: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(named_vectors, "PAGE", 400)
    edge = named_vectors.client_module()
    pages: list[int] = []
    original = named_vectors.Progress

    def stops(*args: Any) -> Any:
        pages.append(len(pages))
        if len(pages) == 2:
            raise OSError("the disk is gone")
        return original(*args)

    plan = articles.plan(f"binary:dims={KEPT}")
    monkeypatch.setattr(named_vectors, "Progress", stops)
    with pytest.raises((ApplyError, OSError)):
        plan.apply(yes=True)
    assert edge is not None
    done = articles.plan(f"binary:dims={KEPT}").apply(yes=True)
    assert done.id == plan.id
    found = articles.info().vectors[str(plan.new_vector)]
    assert (found.count, str(found.status.state)) == (ROWS, "active")


def test_another_vector_may_have_the_same_dimensions(articles: Collection) -> None:
    plan = articles.plan("rotational:bits=8", strategy="vector")
    assert plan.new_vector == "default_rotational8" or plan.new_vector == "default_rotational"
    plan.apply(yes=True)
    about = articles.info().vectors
    assert about[str(plan.new_vector)].dim == about[""].dim == FULL
    assert str(about[""].status.state) == "absent"
    again = articles.plan("rotational:bits=8", vector="", strategy="vector")
    assert again.new_vector == f"{plan.new_vector}_2"
    assert not articles.plan("none", vector="", strategy="vector").changes


def test_an_evaluation_rescores_as_the_plan_does(articles: Collection, rows: np.ndarray) -> None:
    """A copy has both vectors: rescoring by the kept dimensions alone had a lower recall."""
    setting = f"scalar:dims={KEPT},rescore=6"
    measured = articles.evaluate(setting, k=K, queries=rows[:60], concurrency=(), live=False)
    predicted = articles.simulate(setting, k=K, queries=rows[:60])
    plan = articles.plan(setting)
    plan.apply(yes=True)
    live = articles.verify(vector=plan.new_vector, k=K, queries=rows[:60]).recall
    found = measured.result(setting).recall
    expected = predicted.result(setting).recall
    assert live is not None and found is not None and expected is not None
    assert found.value == pytest.approx(live.value, abs=0.01)
    assert expected.value == pytest.approx(live.value, abs=0.02)
