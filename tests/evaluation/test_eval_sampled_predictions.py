"""Predictions from a sample are close to predictions from all rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import qadapt as qa

pytest.importorskip("qdrant_edge")

ROWS, DIM, SAMPLE = 16_000, 128, 2_500
SETTINGS = [
    f"{codes}{rescore}"
    for codes in ("scalar:bits=7", "rotational:bits=1", "binary")
    for rescore in ("", ":rescore=2", ":rescore=4")
]


def settings() -> list[str]:
    return [each.replace("bits=7:", "bits=7,").replace("bits=1:", "bits=1,") for each in SETTINGS]


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> qa.Collection:
    folder: Path = tmp_path_factory.mktemp("rows")
    random = np.random.default_rng(2)
    centers = random.standard_normal((ROWS // 40, DIM))
    rows = centers[random.integers(0, len(centers), ROWS)]
    rows += 0.7 * random.standard_normal(rows.shape)
    db = qa.open(f"edge:{folder}")
    made = db.create("rows", dim=DIM)
    made.write(qa.Batch(range(ROWS), {"": rows.astype(np.float32)}))
    return made


def test_a_sample_predicts_as_all_rows_do(collection: qa.Collection) -> None:
    """A sampled row represents many others, but not the 50 nearest rows of each query."""
    asked = settings()
    whole = collection.simulate(*asked, queries=60, sample_rows=ROWS, fresh=True)
    sampled = collection.simulate(*asked, queries=60, sample_rows=SAMPLE, fresh=True)
    assert whole.sample_rows == ROWS
    assert sampled.sample_rows is not None and sampled.sample_rows < ROWS / 2
    off = {
        each: sampled.result(each).recall.value - whole.result(each).recall.value  # type: ignore[union-attr]
        for each in asked
    }
    assert max(map(abs, off.values())) < 0.02, off


def test_a_sample_reads_the_rows_of_the_cached_ground_truth(collection: qa.Collection) -> None:
    first, again = (
        collection.simulate("binary", queries=60, sample_rows=SAMPLE).result("binary").recall
        for _ in range(2)
    )
    assert first == again
