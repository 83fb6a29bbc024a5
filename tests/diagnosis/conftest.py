"""Live collections with one problem each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from diagnosis_helpers import DIM, ROWS, Make

import qadapt as qa
from qadapt.api import Collection
from qadapt.diagnosis import context as diagnosis_context
from qadapt.testing import clustered


class Clock:
    """A clock that only a test moves, so that a loaded machine does not look like a slow disk."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock that searches are timed by."""
    made = Clock()
    monkeypatch.setattr(diagnosis_context, "time", made)
    return made


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
