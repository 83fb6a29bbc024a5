"""Predictions for OpenSearch and what the engine finds, on seeded data of several dimensions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from slow import some

import qadapt as qa
from qadapt.api import Database
from qadapt.stores.elastic.opensearch.store import OpenSearchStore

ROWS, QUERIES, K = 800, 150, 10
CLOSE = 0.02
SETTINGS = (
    "scalar:bits=7,rescore=off", "scalar:bits=7,quantile=0.95,rescore=off", "binary:rescore=off",
    "binary:rescore=20",
)  # fmt: skip


def seeded(dim: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and queries around common centers, with dimensions of different variance."""
    random = np.random.default_rng(dim)
    scale = random.lognormal(sigma=0.5, size=dim)
    centers = random.normal(size=(50, dim))
    members = centers[random.integers(0, 50, ROWS + QUERIES)]
    found = (members + random.normal(size=members.shape)) * scale
    return found[:ROWS].astype(np.float32), found[ROWS:].astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dim", "metric"), some([(48, "cosine"), (200, "dot"), (120, "euclidean")], 1)
)
def test_predictions_are_close_to_the_engine(
    database: Database, name: str, dim: int, metric: str
) -> None:
    rows, queries = seeded(dim)
    collection = database.create(name, dim=dim, metric=metric)
    collection.write(qa.Batch(list(range(ROWS)), {"": rows}))
    predicted = collection.simulate(*SETTINGS, queries=queries, k=K).results
    for setting, each in zip(SETTINGS, predicted, strict=True):
        collection.plan(setting).apply(yes=True)
        measured = collection.verify(queries=queries, k=K).recall
        assert each.recall is not None
        assert each.recall.value == pytest.approx(measured.value, abs=CLOSE), setting


def test_candidates_are_measured_on_copies_that_are_removed(
    database: Database, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    create = OpenSearchStore.create

    def noted(store: Any, collection: str, *arguments: Any) -> None:
        made.append(collection)
        create(store, collection, *arguments)

    rows, queries = seeded(48)
    collection = database.create(name, dim=48)
    collection.write(qa.Batch(list(range(ROWS)), {"": rows}))
    monkeypatch.setattr(OpenSearchStore, "create", noted)
    report = collection.evaluate("binary:rescore=20", queries=queries[:20], k=K, live=False)
    (found,) = report.results
    assert found.recall is not None
    assert found.recall.value > 0.9
    assert made
    assert not set(made) & set(database.collections())
