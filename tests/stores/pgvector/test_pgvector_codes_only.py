"""``float16:originals=none``: the column holds float16 values and nothing has the originals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.cli import main

DIM, COUNT, STEPS = 16, 400, 0.1
ITSELF = "the ground truth is itself float16"


@pytest.fixture
def rows() -> np.ndarray:
    """Differences of 0.1 around 1000, where float16 has steps of 0.5."""
    drawn = 1000 + STEPS * np.random.default_rng(0).standard_normal((COUNT, DIM))
    return drawn.astype(np.float32)


@pytest.fixture
def collection(database: Database, name: str, rows: np.ndarray) -> Collection:
    made = database.create(name, dim=DIM, metric="euclidean")
    made.write(qa.Batch(list(range(COUNT)), {"": rows}))
    return made


def recall(rows: np.ndarray, queries: np.ndarray, found: Any, k: int) -> float:
    """Recall@k by plain numpy in float64."""
    gaps = ((queries.astype(np.float64)[:, None] - rows.astype(np.float64)[None]) ** 2).sum(axis=2)
    right = np.argsort(gaps, axis=1)[:, :k].tolist()
    pairs = zip(right, found.ids.tolist(), strict=True)
    return float(np.mean([len(set(wanted) & set(ids)) / k for wanted, ids in pairs]))


def test_recall_says_that_its_ground_truth_is_float16(
    collection: Collection, rows: np.ndarray, tmp_path: Path
) -> None:
    queries = rows[:60] + np.float32(0.01)
    guard = qa.Guard(0.01, k=5, queries=queries)
    outcome = collection.plan("float16:originals=none").apply(yes=True, guard=guard).outcome
    assert outcome is not None and outcome.recall_before == 1
    # The guard of the change itself has the vectors before it.
    assert outcome.ground_truth == "original vectors (float32)"
    expected = recall(rows, queries, collection.search(queries, 5), 5)
    assert expected < 0.7
    assert outcome.recall_after == pytest.approx(expected, abs=1e-6)

    own = collection.verify(queries=queries, k=5)
    assert own.recall is not None and own.recall.value == 1
    assert "vectors as stored (float16)" in own.truth.ground_truth
    assert any(note.startswith(ITSELF) and "--truth FILE" in note for note in own.notes)
    evaluation = collection.evaluate(queries=queries, k=5, concurrency=())
    assert any(note.startswith(ITSELF) for note in evaluation.notes)

    later = collection.plan(qa.binary(rescore=8))
    done = later.apply(yes=True, guard=qa.Guard(0.5, k=5, queries=queries)).outcome
    assert done is not None
    assert "vectors as stored (float16)" in done.ground_truth

    file = tmp_path / "full.npy"
    np.save(file, rows)
    outside = collection.verify(queries=queries, k=5, truth=file)
    assert not any(ITSELF in note for note in outside.notes)
    assert str(file) in outside.truth.ground_truth
    expected = recall(rows, queries, collection.search(queries, 5), 5)
    assert outside.recall is not None
    assert outside.recall.value == pytest.approx(expected, abs=1e-6)


def test_the_command_line_says_it_too(
    collection: Collection,
    rows: np.ndarray,
    tmp_path: Path,
    url: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def printed(*words: object) -> str:
        capsys.readouterr()
        main([*map(str, words)])
        return " ".join(capsys.readouterr().out.split())

    collection.plan("float16:originals=none").apply(yes=True)
    assert ITSELF in printed("verify", url, collection.name)
    file = tmp_path / "full.npy"
    np.save(file, rows)
    words = printed("verify", url, collection.name, "--truth", file)
    assert ITSELF not in words
    assert "full.npy" in words
    assert "400 vectors of 16 dimensions" in words
    assert ITSELF in printed("eval", url, collection.name, "--concurrency", 1)
