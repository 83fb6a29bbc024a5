"""Batches and writes that cannot mean anything are errors, and change nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.errors import InputError, SpecError

ROWS = np.arange(20, dtype=np.float32).reshape(5, 4) + 1


@pytest.fixture(params=["edge", "local"])
def database(request: Any, tmp_path: Any) -> Any:
    scheme = {"edge": "edge", "local": "qdrant"}[request.param]
    with qa.open(f"{scheme}:{tmp_path / 'data'}") as opened:
        yield opened


@pytest.fixture
def articles(database: Database) -> Collection:
    return database.create("articles", dim=4)


@pytest.mark.parametrize("vectors", [None, {}])
@pytest.mark.parametrize("payloads", [None, [{"a": 1}] * 5])
def test_rows_without_vectors_are_not_written(
    articles: Collection, vectors: Any, payloads: Any
) -> None:
    with pytest.raises(InputError, match="5 rows, but no vectors; nothing was written") as caught:
        articles.write(qa.Batch(range(5), vectors, payloads))
    assert "qa.Batch(ids" in str(caught.value.hint)
    assert articles.count() == 0


@pytest.mark.parametrize("vectors", [None, {}, {"": []}, {"": ROWS[:0]}])
def test_a_batch_without_rows_writes_nothing(articles: Collection, vectors: Any) -> None:
    articles.write(qa.Batch([], vectors))
    assert articles.count() == 0


@pytest.mark.parametrize("given", [None, {"ids": [1]}, ROWS, [1, 2]])
def test_only_batches_are_written(articles: Collection, given: Any) -> None:
    with pytest.raises(InputError, match=r"write takes a qa\.Batch"):
        articles.write(given)


def test_a_single_name_is_not_a_list_of_names(articles: Collection) -> None:
    articles.write(qa.Batch(range(5), {"": ROWS}))
    for name in ("", "text"):
        with pytest.raises(InputError, match="list of names"):
            list(articles.read(vectors=name))
        with pytest.raises(InputError, match="list of names"):
            articles.fetch([1], vectors=name)


def test_masked_values_are_refused() -> None:
    with pytest.raises(InputError, match="masked values"):
        qa.Batch(range(5), {"": np.ma.masked_array(ROWS, mask=ROWS > 3)})
    whole = qa.Batch(range(5), {"": np.ma.masked_array(ROWS, mask=False)})
    assert np.array_equal(whole.vectors[""], ROWS)


def test_an_unknown_vector_is_named_once(articles: Collection) -> None:
    with pytest.raises(SpecError, match="unknown vector 'zz'"):
        articles.write(qa.Batch(range(5), {"zz": ROWS}))


def test_no_named_vectors_is_an_error(database: Database) -> None:
    with pytest.raises(SpecError, match="names no vector"):
        database.create("empty", vectors={})


@pytest.mark.parametrize("alias", ["", None, "\0"])
def test_an_alias_needs_a_name(database: Database, articles: Collection, alias: Any) -> None:
    with pytest.raises(InputError, match="not a valid alias name"):
        database.switch_alias(alias, "articles")
    with pytest.raises(InputError, match="not a valid alias name"):
        database.drop_alias(alias)


@pytest.mark.parametrize("given", [[], None, 4])
def test_a_setting_must_be_text_or_a_quantization(articles: Collection, given: Any) -> None:
    articles.write(qa.Batch(range(5), {"": ROWS}))
    with pytest.raises(SpecError, match="a setting must be"):
        articles.evaluate(given)
