"""A search that compares every row keeps only the best rows in memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from qadapt.model import Batch, Metric, SearchProvenance, Vector
from qadapt.stores import brute_force

HOW = SearchProvenance("store", "none", 1.0, 0, "none", "exact")


def test_the_best_of_all_pages_are_found_by_their_ids() -> None:
    rows = np.random.default_rng(1).standard_normal((1000, 8)).astype(np.float32)
    queries = np.random.default_rng(2).standard_normal((5, 8)).astype(np.float32)
    missing = np.zeros(1000, dtype=bool)
    missing[::3] = True

    def pages() -> Iterator[Batch]:
        for at in range(0, 1000, 130):
            part = slice(at, at + 130)
            ids = [f"row-{row}" for row in range(at, min(at + 130, 1000))]
            yield Batch(ids, {"": rows[part]}, missing={"": missing[part]})

    hits = brute_force.best(pages(), "", Vector(8, Metric.DOT), queries, 7, HOW)
    scores = queries @ rows.T
    scores[:, missing] = -np.inf
    best = np.argsort(-scores, axis=1, kind="stable")[:, :7]
    assert hits.ids.tolist() == [[f"row-{row}" for row in line] for line in best.tolist()]
    assert hits.how == HOW


def test_no_rows_give_padding() -> None:
    hits = brute_force.best(iter(()), "", Vector(8), np.ones((2, 8), dtype=np.float32), 3, HOW)
    assert hits.ids.tolist() == [[None] * 3] * 2
