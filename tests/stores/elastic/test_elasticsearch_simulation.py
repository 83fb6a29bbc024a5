"""Predictions and what the engine finds, at three dimensions and under three metrics."""

from __future__ import annotations

import numpy as np
import pytest

import qadapt as qa
from qadapt.api import Database

ROWS, QUERIES, K = 900, 60, 10
CLOSE = 0.02
SETTINGS = ("scalar", "scalar:bits=4", "binary")


@pytest.mark.parametrize(("dim", "metric"), [(96, "cosine"), (160, "dot"), (128, "euclidean")])
def test_predictions_are_close_to_the_engine(
    database: Database, name: str, dim: int, metric: str
) -> None:
    random = np.random.default_rng(dim)
    scale = random.lognormal(sigma=0.5, size=dim)
    centers = random.normal(size=(40, dim))
    members = centers[random.integers(0, 40, ROWS + QUERIES)]
    found = ((members + random.normal(size=members.shape)) * scale).astype(np.float32)
    rows, queries = found[:ROWS], found[ROWS:]
    flat = qa.Quantization.parse("none").replace(native={"index": "flat"})
    collection = database.create(name, dim=dim, metric=metric, quantization=flat)
    collection.write(qa.Batch(list(range(ROWS)), {"": rows}))
    for codes in SETTINGS:
        settings = [f"{codes}{':' if ':' not in codes else ','}rescore={f}" for f in ("off", "2")]
        predicted = collection.simulate(*settings, queries=queries, k=K).results
        collection.plan(codes).apply(yes=True)
        for each, setting in zip(predicted, settings, strict=True):
            rescore = qa.Quantization.parse(setting).rescore
            hits = collection.search(queries, k=K, rescore=rescore)
            exact = collection.search(queries, k=K, exact=True)
            pairs = zip(hits.ids.tolist(), exact.ids.tolist(), strict=True)
            measured = float(np.mean([len(set(one) & set(other)) / K for one, other in pairs]))
            if codes == "scalar:bits=4" and each.state == "unsupported":  # before 9.4
                continue
            assert each.recall is not None
            assert each.recall.value == pytest.approx(measured, abs=CLOSE), setting
