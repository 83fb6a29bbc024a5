"""Every command on a collection with no rows or one: a result, or a qadapt error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.errors import InputError, QadaptError

DIM = 8
WAYS = ["edge", "edge, codes by qadapt", "local"]


@pytest.fixture(params=WAYS)
def database(request: pytest.FixtureRequest, live: Callable[[str], str]) -> Iterator[Database]:
    if request.param == "local":
        yield qa.wrap(pytest.importorskip("qdrant_client").QdrantClient(":memory:"))
        return
    disabled = [] if request.param == "edge" else ["native-quantization"]
    with qa.open(live("edge"), disabled=disabled) as opened:
        yield opened


def rows(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, DIM)).astype(np.float32)


VERBS: dict[str, Callable[[Collection], Any]] = {
    "info": lambda c: c.info(),
    "search": lambda c: c.search(np.ones(DIM), k=3),
    "plan": lambda c: c.plan("binary", accept="client"),
    "doctor": lambda c: c.doctor(),
    "cost": lambda c: c.cost("binary"),
    "verify": lambda c: c.verify(k=3),
    "eval": lambda c: c.evaluate("scalar", k=3, concurrency=()),
    "simulate": lambda c: c.simulate("scalar", k=3),
    "advise": lambda c: c.advise(0.9, confirm=False),
}
MEASURES = ("verify", "eval", "simulate", "advise")


@pytest.mark.parametrize("count", [0, 1])
@pytest.mark.parametrize("text", [None, "binary:rescore=4"])
def test_each_command(database: Database, count: int, text: str | None) -> None:
    collection = database.create("a", dim=DIM)
    if count:
        collection.write(qa.Batch(range(count), {"": rows(count)}))
    if text is not None:
        change = collection.plan(text, accept="client").apply(yes=True)
        assert change.state == "applied"
        assert not collection.plan(text, accept="client").changes
        if not count:
            assert change.status.state == "unknown"
            reason = change.status.reason
            assert "no rows" in reason or "nothing to verify" in reason
    for verb, work in VERBS.items():
        try:
            work(collection)
        except QadaptError as error:
            assert (verb in MEASURES, isinstance(error, InputError)) == (True, True), verb
            assert count or "is empty" in error.message
        else:
            assert count or verb not in MEASURES
    collection.write(qa.Batch(range(100, 300), {"": rows(200, 1)}))
    hits = collection.search(rows(200, 1)[:20], k=1)
    assert hits.ids[:, 0].tolist() == list(range(100, 120))
    if text is not None:
        assert collection.info().vectors[""].status.state == "active"


def test_an_import_updates_the_codes(live: Callable[[str], str], tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", rows(50, 2))
    place = live("edge")
    with qa.open(place, disabled=["native-quantization"]) as database:
        collection = database.create("a", dim=DIM)
        collection.write(qa.Batch(range(1_000, 1_300), {"": rows(300)}))
        collection.plan("binary:rescore=4", accept="client").apply(yes=True)
        qa.import_file(tmp_path / "rows.npy", collection, add=True)
        assert collection.count() == 350
        assert collection.info().vectors[""].status.state == "active"
        assert collection.search(rows(50, 2)[7], k=1).how.searcher == "qadapt"
