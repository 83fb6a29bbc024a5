"""Errors of the public interface name the database, the collection and the operation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import qadapt as qa
from qadapt.errors import DimensionError, NotFoundError, QadaptError, SpecError


@pytest.fixture
def database(tmp_path: Path) -> qa.Database:
    pytest.importorskip("qdrant_edge")
    with qa.open(f"edge:{tmp_path}") as db:
        db.create("articles", dim=4, metric="dot")
        db["articles"].write(qa.Batch(ids=[1], vectors={"": np.ones((1, 4), np.float32)}))
        yield db


def fields(error: QadaptError) -> tuple[str | None, str | None, str | None]:
    return error.store, error.collection, error.operation


def test_of_a_search(database: qa.Database) -> None:
    with pytest.raises(DimensionError) as caught:
        database["articles"].search(np.ones((1, 3)), k=1)
    assert fields(caught.value) == ("edge", "articles", "search")


def test_of_a_read_that_fails_while_it_is_iterated(database: qa.Database) -> None:
    pages = database["articles"].read(filter={"any": 3})
    with pytest.raises(SpecError) as caught:
        list(pages)
    assert fields(caught.value) == ("edge", "articles", "read")


def test_of_a_measurement(database: qa.Database) -> None:
    with pytest.raises(QadaptError) as caught:
        database["articles"].evaluate("binry")
    assert fields(caught.value) == ("edge", "articles", "evaluate")


def test_of_a_collection_that_does_not_exist(database: qa.Database) -> None:
    with pytest.raises(NotFoundError) as caught:
        database["nothere"]
    assert fields(caught.value) == ("edge", "nothere", "getitem")
    with pytest.raises(NotFoundError) as caught:
        database.drop("nothere")
    assert fields(caught.value) == ("edge", "nothere", "drop")


def test_results_are_unchanged(database: qa.Database) -> None:
    articles = database["articles"]
    assert articles.count() == 1
    assert [batch.ids for batch in articles.read()] == [[1]]
    assert articles.search.__doc__ and articles.search.__name__ == "search"
