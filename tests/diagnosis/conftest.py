"""Live collections with one problem each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from diagnosis_helpers import DIM, ROWS, Make

import qadapt as qa
from qadapt.api import Collection
from qadapt.testing import clustered


@pytest.fixture
def database(live: Callable[[str], str]) -> Iterator[qa.Database]:
    with qa.open(live("edge")) as opened:
        yield opened


@pytest.fixture(scope="session")
def rows() -> np.ndarray:
    return clustered(ROWS, DIM, queries=1).rows


@pytest.fixture
def make(database: qa.Database, rows: np.ndarray) -> Make:
    """``make("scalar", x=rows, metric="dot")``: a collection, planned."""

    def make(quantization: str | None = None, x: Any = None, **vector: Any) -> Collection:
        array = rows if x is None else x
        articles = database.create("articles", vectors={"": qa.Vector(array.shape[1], **vector)})
        articles.write(qa.Batch(range(len(array)), {"": array}))
        if quantization is not None:
            articles.plan(quantization).apply(yes=True)
        return articles

    return make
