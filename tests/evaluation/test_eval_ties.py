"""Vectors that occur more than k times: an exact search has recall 1 in every command."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qadapt as qa
from qadapt.api import Collection
from qadapt.errors import GuardMissedError
from qadapt.evaluation.proof import Proof
from qadapt.model import Metric

VECTORS, TIMES, DIM = 60, 20, 32
ROWS = VECTORS * TIMES


@pytest.fixture
def database(live: Callable[[str], str]) -> Iterator[qa.Database]:
    with qa.open(live("edge")) as opened:
        yield opened


def vectors() -> np.ndarray:
    rows = np.random.default_rng(1).standard_normal((VECTORS, DIM)).astype(np.float32)
    return np.repeat(rows, TIMES, axis=0)


def queries(n: int = 60) -> np.ndarray:
    return np.random.default_rng(2).standard_normal((n, DIM)).astype(np.float32)


def made(database: qa.Database, metric: str = "cosine", **vector: Any) -> Collection:
    collection = database.create(f"c_{metric}", dim=DIM, metric=metric, **vector)
    collection.write(qa.Batch(range(ROWS), {"": vectors()}))
    return collection


@pytest.mark.parametrize("metric", [str(metric) for metric in Metric])
@pytest.mark.parametrize("asked", ["queries", "own rows"])
def test_float32_search_has_recall_1_with_repeated_rows(
    database: qa.Database, metric: str, asked: str
) -> None:
    collection = made(database, metric)
    given: Any = queries() if asked == "queries" else 100
    report = collection.verify(queries=given)
    assert report.recall.value == 1
    assert report.proof == Proof("sufficient") or asked == "own rows"
    (result,) = collection.evaluate(queries=given, concurrency=()).results
    assert result.recall is not None and result.ndcg is not None and result.overlap is not None
    assert (result.recall.value, result.ndcg.value, result.overlap.value) == (1, 1, 1)


def test_all_rows_equal(database: qa.Database) -> None:
    collection = database.create("equal", dim=4)
    collection.write(qa.Batch(range(300), {"": np.ones((300, 4))}))
    report = collection.verify(queries=np.eye(4, dtype=np.float32))
    assert report.recall.value == 1
    assert "only 4 distinct queries" in report.notes[-1]
    assert collection.verify(queries=60).recall.value == 1


def test_a_guard_accepts_a_change_without_loss(database: qa.Database) -> None:
    guard = qa.Guard(1.0, queries=queries(), clients="configured")
    change = made(database).plan("scalar:rescore=20").apply(yes=True, guard=guard)
    assert change.state == "applied"
    assert (change.recall_before, change.recall_after) == (1, 1)
    assert change.outcome.ground_truth == "original vectors (float32)"
    assert change.outcome.proof == Proof("sufficient")
    (kept,) = qa.history()
    assert kept.outcome.ground_truth == change.outcome.ground_truth
    assert kept.outcome.proof == change.outcome.proof


def test_predicted_and_measured_agree_on_repeated_rows(database: qa.Database) -> None:
    collection = made(database)
    settings = ["none", "scalar", "binary", "binary:rescore=4"]
    measured = collection.evaluate(*settings[1:], queries=queries(), concurrency=())
    for sample in (10_000, 400):
        predicted = collection.simulate(*settings, queries=queries(), sample_rows=sample)
        none = predicted.result("none").recall
        assert none is not None and none.value == 1
        for setting in settings[1:]:
            said, seen = predicted.result(setting).recall, measured.result(setting).recall
            assert said is not None and seen is not None
            assert said.value == pytest.approx(seen.value, abs=0.1), (setting, sample)


def test_advise_finds_a_setting_among_repeated_rows(database: qa.Database) -> None:
    collection = made(database)
    advice = collection.advise(
        qa.Target(0.95), queries=queries(), codes=["none", "scalar"], confirm=False
    )
    assert advice.best is not None
    assert advice.best.recall.value >= 0.95


# -- proof ---------------------------------------------------------------------------------------


def test_a_guard_that_proves_nothing_is_rejected_before_any_change(
    database: qa.Database,
) -> None:
    collection = database.create("few", dim=DIM)
    collection.write(qa.Batch(range(8), {"": vectors()[::TIMES][:8]}))
    before = collection.info()
    with pytest.raises(GuardMissedError, match=r"proves nothing.*nothing was changed"):
        collection.plan("binary").apply(yes=True, guard="recall@10>=0.9")
    assert collection.info() == before
    (change,) = qa.history()
    assert change.state == "undone"
    # With fewer hits than rows the guard is evaluated, and eight queries are weak evidence.
    kept = collection.plan("binary:rescore=4").apply(
        yes=True, guard=qa.Guard(0.9, k=3, clients="configured")
    )
    assert kept.state == "applied"
    assert kept.outcome.proof is not None and kept.outcome.proof.level == "weak"


def test_every_document_states_the_proof(database: qa.Database) -> None:
    collection = database.create("few", dim=DIM)
    collection.write(qa.Batch(range(8), {"": vectors()[::TIMES][:8]}))
    for found in (
        collection.verify(),
        collection.evaluate(concurrency=()),
        collection.simulate("binary"),
        collection.advise(qa.Target(0.9), codes=["none"], confirm=False),
    ):
        text = json.dumps(found.to_dict())
        assert "proves nothing" in text
        assert '"level": "none"' in text
        assert "original vectors (float32)" in text


# -- float16 -------------------------------------------------------------------------------------


def test_float16_vectors_are_not_reported_as_original_vectors(
    database: qa.Database,
) -> None:
    rows = np.random.default_rng(3).standard_normal((200, DIM)).astype(np.float32)
    collection = database.create("half", vectors={"": qa.Vector(DIM, datatype="float16")})
    collection.write(qa.Batch(range(200), {"": rows}))
    words = "vectors as stored (float16)"
    hits = collection.search(queries(), k=5)
    assert hits.how.scores == "approximate"
    assert any("stored vectors (float16)" in note for note in hits.how.notes)
    assert collection.search(queries(), k=5, exact=True).how.scores == "approximate"
    report = collection.verify(queries=queries())
    assert words in report.truth.ground_truth
    evaluation = collection.evaluate("binary", queries=queries(), concurrency=())
    assert words in evaluation.truth.ground_truth
    with pytest.raises(GuardMissedError, match="vectors as stored"):
        collection.plan("binary:rescore=off").apply(
            yes=True, guard=qa.Guard(0.999, queries=queries())
        )
    assert words in qa.history()[0].outcome.ground_truth


# -- a copy --------------------------------------------------------------------------------------


@pytest.mark.parametrize("ids", ["numbers", pytest.param("names", marks=pytest.mark.long)])
def test_a_correct_copy_of_repeated_rows_passes_its_check(tmp_path: Path, ids: str) -> None:
    pytest.importorskip("milvus_lite")
    lite, edge = f"milvus:{tmp_path}/m.db#a", f"edge:{tmp_path}/e#a"
    keys = [f"row {at}" for at in range(ROWS)] if ids == "names" else range(ROWS)
    with qa.open(f"milvus:{tmp_path}/m.db") as db:
        db.create("a", dim=DIM).write(qa.Batch(keys, {"": vectors()}))
    # Names become UUIDs in the first copy, and are mapped back in the next one.
    for source, target in ((lite, edge), (edge, f"edge:{tmp_path}/f#a")):
        check = qa.migrate(source, target).check
        assert check is not None and check.passed
        (recall,) = check.recalls
        assert (recall.recall, recall.source_recall) == (1, 1)
        assert recall.ground_truth == "original vectors (float32)"
        assert recall.proof.level in ("weak", "sufficient")


def test_a_float16_copy_is_compared_with_the_source_vectors(tmp_path: Path) -> None:
    pytest.importorskip("qdrant_edge")
    source, target = f"edge:{tmp_path}/a#a", f"edge:{tmp_path}/b#a"
    with qa.open(f"edge:{tmp_path}/a") as db:
        db.create("a", dim=DIM, metric="dot").write(qa.Batch(range(ROWS), {"": vectors()}))
    check = qa.migrate(source, target, datatype="float16").check
    assert check is not None and check.passed
    assert check.recalls[0].recall == pytest.approx(1, abs=0.02)
    assert check.recalls[0].ground_truth == "original vectors (float32)"
    back = qa.check(target, source)
    assert "as stored (float16)" in back.recalls[0].ground_truth


def test_the_check_of_a_tiny_copy_passes_without_proof_and_a_gate_on_it_does_not(
    tmp_path: Path,
) -> None:
    pytest.importorskip("qdrant_edge")
    source, target = f"edge:{tmp_path}/a#a", f"edge:{tmp_path}/b#a"
    with qa.open(f"edge:{tmp_path}/a") as db:
        rows = vectors()[::TIMES][:6]
        db.create("a", dim=DIM).write(qa.Batch(range(6), {"": rows}))
    check = qa.migrate(source, target).check
    assert check is not None and check.passed
    assert check.recalls[0].proof.level == "none"
    gated = qa.check(source, target, gate="recall@10>=0.9")
    assert not gated.passed
    assert "proves nothing" in gated.recalls[0].proof.reason
    assert qa.check(source, target, gate="recall@3>=0.9").passed
