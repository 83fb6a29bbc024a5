"""Predictions for pgvector and what the engine finds, on seeded data of several dimensions."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import qadapt as qa
from qadapt.api import Collection, Database

ROWS, QUERIES, K = 3000, 150, 10
CLOSE = 0.02
SETTINGS = ("float16", "binary", "binary:rescore=4", "binary:rescore=10")


def seeded(dim: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and queries around common centers, with dimensions of different variance."""
    random = np.random.default_rng(dim)
    scale = random.lognormal(sigma=0.5, size=dim)
    centers = random.normal(size=(50, dim))
    members = centers[random.integers(0, 50, ROWS + QUERIES)]
    found = (members + random.normal(size=members.shape)) * scale
    return found[:ROWS].astype(np.float32), found[ROWS:].astype(np.float32)


@pytest.fixture
def collection(
    database: Database, name: str, request: pytest.FixtureRequest
) -> Iterator[Collection]:
    rows, _ = seeded(request.param)
    made = database.create(name, dim=request.param)
    made.write(qa.Batch(list(range(ROWS)), {"": rows}))
    yield made


@pytest.mark.timeout(240)
@pytest.mark.parametrize("collection", [128, 1024], indirect=True)
def test_predictions_are_close_to_the_engine(collection: Collection) -> None:
    _, queries = seeded(collection.info().vectors[""].dim)
    predicted = collection.simulate(*SETTINGS, queries=queries, k=K).results
    for setting, each in zip(SETTINGS, predicted, strict=True):
        collection.plan(setting).apply(yes=True)
        assert collection.info().vectors[""].status.state is qa.State.ACTIVE
        measured = collection.verify(queries=queries, k=K).recall
        assert each.recall is not None
        print(setting, each.recall.value, measured.value)
        assert each.recall.value == pytest.approx(measured.value, abs=CLOSE), setting
