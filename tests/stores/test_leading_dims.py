"""The first dimensions of vectors (``dims=``), in each store that can be tested here."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qadapt as qa
from qadapt.errors import UnsupportedError
from qadapt.model import Metric, Quantization, Vector
from qadapt.model.leading_dims import leading
from qadapt.simulation.registry import mapped_to

FULL, KEPT = 48, 24
PREFIX = "Qadapt_dims_"


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    random = np.random.default_rng(5)
    scale = 1 / np.sqrt(1 + np.arange(FULL))  # as in Matryoshka models, the first dimensions matter
    return (random.normal(size=(1200, FULL)) * scale).astype(np.float32)


def unit(array: np.ndarray) -> np.ndarray:
    wide = array.astype(np.float64)
    return wide / np.linalg.norm(wide, axis=1, keepdims=True)


def nearest(rows: np.ndarray, queries: np.ndarray) -> np.ndarray:
    return np.argsort(-(unit(queries[:, :KEPT]) @ unit(rows[:, :KEPT]).T), axis=1)[:, :5]


@pytest.mark.parametrize("metric", list(Metric))
def test_leading_dimensions_have_length_one_under_cosine(rows: np.ndarray, metric: Metric) -> None:
    found = leading(rows, KEPT, metric)
    wanted = unit(rows[:, :KEPT]) if metric is Metric.COSINE else rows[:, :KEPT]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert leading(rows, FULL, metric) is rows
    np.testing.assert_array_equal(leading(np.zeros((1, FULL), np.float32), KEPT, metric), 0)


@pytest.mark.parametrize("store", ["edge", "qdrant", "milvus", "weaviate"])
@pytest.mark.parametrize("codes", ["none", "scalar", "binary", "product:ratio=16", "rotational"])
def test_all_codes_are_mapped_on_the_kept_dimensions(store: str, codes: str) -> None:
    narrow = Quantization.parse(codes).replace(dims=256)
    wide = mapped_to(store, narrow, Vector(768))
    alone = mapped_to(store, narrow.replace(dims=None), Vector(256))
    assert (wide.native, wide.match) == (alone.native, alone.match)
    assert wide.target == alone.target.replace(dims=256)


def test_more_dimensions_than_the_vectors_have_are_refused() -> None:
    found = mapped_to("edge", Quantization.parse("binary:dims=800"), Vector(768))
    assert found.native is None
    assert "dims of at most 768" in found.match.support[0]


def test_a_store_without_aliases_names_the_command_that_copies(
    tmp_path: Path, rows: np.ndarray
) -> None:
    pytest.importorskip("chromadb")
    with qa.open(f"chroma:{tmp_path}") as db:
        articles = db.create("articles", dim=FULL)
        articles.write(qa.Batch(range(len(rows)), {"": rows}))
        with pytest.raises(UnsupportedError) as refused:
            articles.plan(f"none:dims={KEPT}")
    command = f"#articles_{KEPT}' --quantize 'none:dims={KEPT}'"
    assert command in str(refused.value.hint)


def test_a_migration_copies_the_first_dimensions(tmp_path: Path, rows: np.ndarray) -> None:
    with qa.open(f"edge:{tmp_path}") as db:
        articles = db.create("articles", dim=FULL)
        articles.write(qa.Batch(range(len(rows)), {"": rows}))
        source, target = (f"edge:{tmp_path}#articles{tail}" for tail in ("", f"_{KEPT}"))
    done = qa.migrate(source, target, quantization=f"none:dims={KEPT}")
    assert done.check is not None and done.check.passed
    with qa.open(f"edge:{tmp_path}") as db:
        copy = db[f"articles_{KEPT}"]
        check(copy, rows)
        truth = tmp_path / "full.npy"
        np.save(truth, rows)
        verified = copy.verify(queries=rows[:50], k=5, truth=truth)
        assert verified.truth.ground_truth.endswith(f"1,200 vectors of {FULL} dimensions")
        wanted = np.argsort(-(unit(rows[:50]) @ unit(rows).T), axis=1)[:, :5]
        kept = nearest(rows, rows[:50])
        shared = np.mean([len(set(a) & set(b)) / 5 for a, b in zip(wanted, kept, strict=True)])
        assert verified.recall.value == pytest.approx(shared, abs=1e-6) != 1
        assert copy.plan("none").steps[0].action == "nothing to do"
        with pytest.raises(UnsupportedError, match="keeps more dimensions"):
            copy.plan("scalar:dims=30")


def check(narrow: Any, rows: np.ndarray) -> None:
    """A collection holds the first dimensions, and queries of both widths find the same rows."""
    queries = rows[:20]
    about = narrow.info().vectors[""]
    assert (about.dim, about.quantization.dims) == (KEPT, KEPT)
    wide, short = (narrow.search(each, 5) for each in (queries, queries[:, :KEPT]))
    assert any(f"by their first {KEPT}" in note for note in wide.how.notes)
    assert wide.ids.tolist() == short.ids.tolist()
    found = {str(key) for row in wide.ids.tolist() for key in row}
    assert len(found) > 20
    stored = narrow.sample(50)
    np.testing.assert_allclose(np.linalg.norm(stored.vectors[""], axis=1), 1, atol=1e-5)
    assert f"first {KEPT} dimensions" in narrow.client_params().text
    verified = narrow.verify(queries=20, k=5)
    assert any(f"of the first {KEPT} dimensions" in note for note in verified.notes)


def test_qdrant_cuts_the_named_vectors_of_a_point() -> None:
    from qadapt.stores.qdrant.server import copy_switch

    assert copy_switch._cut([1.0, 2.0, 3.0], {"": 2}) == [1.0, 2.0]
    point = {"a": [1.0, 2.0, 3.0], "b": [4.0, 5.0], "s": {"indices": [1], "values": [0.5]}}
    assert copy_switch._cut(point, {"a": 1}) == {**point, "a": [1.0]}
    assert copy_switch._cut(point, {}) is point
    assert copy_switch._change(Vector(768), Vector(256)) == {"size": 256}


@pytest.mark.server
def test_milvus_refuses_codes_of_few_rows_before_it_copies(
    live: Callable[[str], str], rows: np.ndarray
) -> None:
    """It indexes no segment under 1,024 rows, so the codes of the copy were never active."""
    with qa.open(live("milvus")) as db:
        real, alias = f"{PREFIX}few_v1", f"{PREFIX}few"
        made = db.create(real, dim=FULL)
        made.write(qa.Batch(range(900), {"": unit(rows[:900])}))
        db.switch_alias(alias, real)
        try:
            with pytest.raises(UnsupportedError, match="under 1,024 rows") as refused:
                db[alias].plan(f"scalar:dims={KEPT}")
            assert f"none:dims={KEPT}" in str(refused.value.hint)
            assert not [each for each in db.collections() if each == f"{PREFIX}few_v2"]
            db[alias].plan(f"none:dims={KEPT}").apply(yes=True)
            assert db[alias].info().vectors[""].dim == KEPT
        finally:
            db.drop_alias(alias)
            for each in db.collections():
                if each.startswith(PREFIX):
                    db.drop(each)


@pytest.mark.server
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("name", "asked"), [("milvus", "scalar"), ("weaviate", "scalar"), ("weaviate", "none")]
)
def test_a_plan_copies_the_first_dimensions_and_switches_the_alias(
    name: str, asked: str, live: Callable[[str], str], rows: np.ndarray
) -> None:
    with qa.open(live(name)) as db:
        real, alias = f"{PREFIX}{asked}_v1", f"{PREFIX}{asked}"
        keys = [f"00000000-0000-0000-0000-{at:012}" for at in range(len(rows))]
        made = db.create(real, dim=FULL)
        made.write(qa.Batch(keys if name == "weaviate" else range(len(rows)), {"": unit(rows)}))
        db.switch_alias(alias, real)
        articles = db[alias]
        try:
            plan = articles.plan(f"{asked}:dims={KEPT}")
            assert f"first {KEPT} dimensions" in plan.steps[0].action
            assert json.loads(plan.to_json())["target_vector"]["dim"] == KEPT
            change = plan.apply(yes=True)
            articles = db[alias]
            assert articles.info().vectors[""].quantization.kind is plan.target.kind
            check(articles, rows)
            if asked == "scalar":
                how = articles.search(rows[:5], 5, rescore="candidates=50").how
                assert how.candidates >= 50 and how.scores == "exact"
            change.undo()
            before = db[alias].info().vectors[""]
            assert (before.dim, before.quantization.dims) == (FULL, None)
        finally:
            db.drop_alias(alias)
            for each in db.collections():
                if each.startswith(PREFIX):
                    db.drop(each)


@pytest.mark.server
@pytest.mark.timeout(300)
@pytest.mark.parametrize("asked", ["none", "rotational"])
def test_weaviate_adds_a_vector_of_the_first_dimensions(
    asked: str, live: Callable[[str], str], rows: np.ndarray
) -> None:
    """Candidates are those of the short vector, and scores those of the long one."""
    with qa.open(live("weaviate")) as db:
        name = f"{PREFIX}added_{asked}"
        made = db.create(name, vectors={"text": Vector(FULL)})
        keys = [f"00000000-0000-0000-0000-{at:012}" for at in range(len(rows))]
        made.write(qa.Batch(keys, {"text": unit(rows)}))
        try:
            plan = made.plan(f"{asked}:dims={KEPT},rescore=6", strategy="vector")
            short = str(plan.new_vector)
            assert short.endswith(f"_{KEPT}")
            assert any("rescored by qadapt" in note for note in plan.notes)
            guard = qa.Guard(0.5, k=5, queries=50, clients="configured")
            outcome = plan.apply(yes=True, guard=guard).outcome
            assert outcome is not None
            assert outcome.ground_truth == (
                "original vectors (float32) before, original vectors (float32) of the vector "
                f"'text' with all {FULL} dimensions after"
            )
            made = db[name]
            about = made.info().vectors
            assert (about["text"].dim, about[short].dim) == (FULL, KEPT)
            queries = unit(rows[:40]).astype(np.float32)
            hits = made.search(queries, 5, vector=short)
            how = hits.how
            assert (how.rescorer, how.rescored_on, how.candidates) == ("qadapt", "originals", 30)
            assert any(f"all {FULL} dimensions" in note for note in how.notes)
            exact = queries.astype(np.float64) @ unit(rows).T
            for at in range(40):
                places = [int(str(key)[-12:]) for key in hits.ids[at]]
                np.testing.assert_allclose(hits.scores[at], exact[at, places], atol=1e-5)
            wanted = np.argsort(-exact, axis=1)[:, :5]

            def recall(found: Any) -> float:
                ids = [[int(str(key)[-12:]) for key in row] for row in found.ids]
                return float(
                    np.mean([len(set(a) & set(b)) / 5 for a, b in zip(ids, wanted, strict=True)])
                )

            cut = made.search(queries[:, :KEPT], 5, vector=short, rescore=None)
            assert recall(hits) > recall(cut)
            assert about[short].quantization.dims == KEPT
            assert not any("ignored" in note for note in about[short].notes)
            params = made.client_params(vector=short, k=5)
            assert (params.dims, params.limit, params.rescores) == (KEPT, 30, True)
            assert "'text'" in params.notes[0]
            again = made.plan(f"{asked}:dims={KEPT}", vector="text", strategy="vector")
            assert again.new_vector == f"{short}_2"

            # Recall is measured against the full vectors, which the collection has.
            report = made.verify(vector=short, k=5, queries=queries)
            assert report.truth.ground_truth == (
                f"original vectors (float32) of the vector 'text' with all {FULL} dimensions"
            )
            assert not any("the only ones" in note for note in report.notes)
            assert report.recall is not None and report.results[0].recall_no_params is not None
            assert report.recall.value == pytest.approx(recall(hits), abs=1e-6)
            plain = report.results[0].recall_no_params.value
            assert plain == pytest.approx(recall(cut), abs=0.05)
            assert made.verify(vector=short, k=5, queries=30).recall is not None
            assert report.reachability.unreachable == ()
            live = made.evaluate(vector=short, k=5, queries=30, concurrency=())
            assert any(f"against all {FULL} of the vector 'text'" in note for note in live.notes)
        finally:
            db.drop(name)
