"""Modes of a search, and checks of its hits."""

from __future__ import annotations

from typing import Any

import numpy as np

from qadapt.engines.exact import unit
from qadapt.model import Hits

WAYS = ("engine", "rescored by us", "our codes")
QUERIES = 80
ALL = 600.0  # oversampling at which all 5,000 rows are candidates of 10 hits


def distances(embeddings: Any, queries: np.ndarray) -> np.ndarray:
    """Hamming distances of sign bits, ``(nq, rows)``."""
    rows, asked = unit(embeddings.docs) > 0, unit(queries) > 0
    return np.stack([(rows != bits).sum(axis=1) for bits in asked])


def same_answers(hits: Hits, exact: np.ndarray, allowed: np.ndarray | None = None) -> None:
    """The exact best rows, in any order for near ties, and their exact scores."""
    scores = exact if allowed is None else np.where(allowed, exact, -np.inf)
    best = -np.sort(-scores, axis=1)[:, : hits.ids.shape[1]]
    found = np.take_along_axis(scores, hits.ids.astype(int), axis=1)
    np.testing.assert_allclose(hits.scores, found, atol=1e-5)
    np.testing.assert_allclose(found, best, atol=1e-5)
    assert (np.diff(hits.scores, axis=1) <= 1e-6).all()


def no_duplicates(hits: Hits) -> None:
    for row in hits.ids.tolist():
        there = [key for key in row if key is not None]
        assert len(set(there)) == len(there)
        assert row[: len(there)] == there, "padding stands behind the hits"
