"""Queries with a norm beyond float32 are refused, and short ones keep their direction."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import qadapt as qa
from qadapt.errors import InputError, ZeroVectorError
from qadapt.model import Metric, check_queries
from qadapt.model.query_checks import scaled_queries, usable_queries

GOOD = np.array([[0.6, 0.8]], dtype=np.float32)


@pytest.mark.parametrize("metric", list(Metric))
@pytest.mark.parametrize("size", [3e19, 1e30, 3e38])
def test_a_norm_that_overflows_is_refused(metric: Metric, size: float) -> None:
    queries = np.concatenate([GOOD, GOOD * np.float32(size)])
    with pytest.raises(InputError, match="overflows float32 in queries, rows: 1"):
        check_queries(queries, qa.Vector(2, metric))
    assert usable_queries(queries, qa.Vector(2, metric)).tolist() == [True, False]


@pytest.mark.parametrize("size", [1e-20, 1e-30, 1e-38])
def test_a_norm_that_underflows_is_refused_under_cosine(size: float) -> None:
    queries = np.concatenate([GOOD, GOOD * np.float32(size)])
    with pytest.raises(InputError, match="underflows float32 in queries, rows: 1"):
        check_queries(queries, qa.Vector(2))
    assert usable_queries(queries, qa.Vector(2)).tolist() == [True, False]
    check_queries(queries, qa.Vector(2, "dot"))
    check_queries(np.zeros((1, 2), dtype=np.float32), qa.Vector(2, "euclidean"))


def test_a_zero_query_raises_zero_vector_error() -> None:
    with pytest.raises(ZeroVectorError):
        check_queries(np.zeros((1, 2), dtype=np.float32), qa.Vector(2))


def test_queries_of_extreme_norm_are_scaled_under_cosine_only() -> None:
    queries = GOOD * np.array([[1e-18], [1e-4], [1], [1e18]], dtype=np.float32)
    found = scaled_queries(queries, qa.Vector(2))
    np.testing.assert_allclose(found, np.repeat(GOOD, 4, axis=0), rtol=1e-6)
    assert scaled_queries(GOOD, qa.Vector(2)) is GOOD
    for vector in (qa.Vector(2, "dot"), qa.Vector(2, "cosine", "int8")):
        assert scaled_queries(queries, vector) is queries


@pytest.mark.parametrize("scale", [1e-18, 1e-10, 1e-4, 1, 1e10, 1e18])
def test_the_length_of_a_query_changes_no_cosine_on_the_engine(tmp_path: Any, scale: float) -> None:
    pytest.importorskip("qdrant_edge")
    rows = np.random.default_rng(0).standard_normal((50, 8)).astype(np.float32)
    with qa.open(f"edge:{tmp_path}/e") as db:
        made = db.create("c", dim=8)
        made.write(qa.Batch(range(50), {"": rows}))
        plain, other = (made.search(rows * by, k=5) for by in (np.float32(1), np.float32(scale)))
        assert plain.ids.tolist() == other.ids.tolist()
        np.testing.assert_allclose(other.scores, plain.scores, atol=1e-6)
        assert plain.scores.max() <= 1 and other.scores.max() <= 1
        with pytest.raises(InputError, match="overflows"):
            made.search(rows * np.float32(1e30))
        with pytest.raises(InputError, match="underflows"):
            made.search(rows * np.float32(1e-30), exact=True)
        with pytest.raises(InputError, match="overflows"):
            made.verify(queries=rows * np.float32(1e30))
