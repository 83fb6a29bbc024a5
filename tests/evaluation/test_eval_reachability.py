"""Unreachable rows, on stores that lose some."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import qadapt as qa
from qadapt.evaluation import reachability
from qadapt.evaluation.reachability import measure_reachability, unreachable_among
from qadapt.model import Vector
from qadapt.stores.base import silent


@pytest.fixture
def database(live: Callable[[str], str]) -> Iterator[qa.Database]:
    with qa.open(live("edge")) as opened:
        yield opened


def rows(count: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((count, 16)).astype(np.float32)


def of(collection: Any) -> Any:
    return measure_reachability(collection._store, collection.info(), "", silent)


@pytest.mark.parametrize("metric", ["cosine", "dot", "euclidean"])
def test_all_rows_are_reachable(database: qa.Database, metric: str) -> None:
    collection = database.create("articles", dim=16, metric=metric)
    collection.write(qa.Batch(range(300), {"": rows(300) * np.linspace(1, 9, 300)[:, None]}))
    found = of(collection)
    assert (found.sampled, found.unreachable, found.words) == (300, (), "")


def test_equal_rows_are_not_reported_as_unreachable(database: qa.Database) -> None:
    collection = database.create("articles", dim=16)
    collection.write(qa.Batch(range(60), {"": np.repeat(rows(3), 20, axis=0)}))
    assert of(collection).unreachable == ()


def test_unreachable_rows_are_reported(
    database: qa.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = database.create("articles", dim=16)
    collection.write(qa.Batch(range(300), {"": rows(300)}))
    native = reachability.search

    def forgetful(*arguments: Any) -> Any:
        ids = native(*arguments).ids.astype(object)
        ids[ids >= 290] = None
        return SimpleNamespace(ids=ids)

    monkeypatch.setattr(reachability, "search", forgetful)
    found = of(collection)
    assert sorted(found.unreachable) == list(range(290, 300))
    assert "10 of 300" in found.words
    assert "delete these rows and write them again" in found.words
    report = collection.verify(queries=20)
    assert report.reachability.unreachable == found.unreachable
    assert found.words in report.notes


def test_hits_of_all_missing_rows_are_fetched_together() -> None:
    """One request for the rows of a block, not one for each: a coarse index misses many of them."""
    rows = np.eye(8, dtype=np.float32)
    requests: list[list[int]] = []

    def fetch(ids: Sequence[Any]) -> tuple[Sequence[Any], Any]:
        requests.append(list(ids))
        there = [key for key in ids if key != 7]  # deleted since
        return there, rows[there]

    found = [[1, 2], [2, 3], [3, 7], [3, 4]]
    lost = unreachable_among(found, [0, 1, 2, 3], rows[:4], Vector(8), fetch, 2)
    assert lost == [0, 1, 2], "row 3 is among its hits"
    assert requests == [[1, 2, 3, 7]]
