"""Remedies for a missed recall, measured on servers and on collections with partitions."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import qadapt as qa
from qadapt.model import CollectionSchema, Vector

DIM = 64
SIZES = {"red": 1600, "blue": 40}


def rows(count: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    centers = np.random.default_rng(1).normal(size=(20, DIM))
    return (centers[random.integers(0, 20, count)] + random.normal(size=(count, DIM))).astype(
        np.float32
    )


def fill(database: Any, name: str, parts: dict[str, int] | None) -> None:
    """The same rows in each collection of that form."""
    found = CollectionSchema()
    if parts:
        found = CollectionSchema(partitions=tuple(parts), is_partitioned=True)
    database._store.create(name, {"": Vector(DIM)}, {}, found)
    for seed, (part, count) in enumerate((parts or {"": SIZES["red"]}).items()):
        ids = [str(uuid.UUID(int=1000 * 1000 * seed + at)) for at in range(count)]
        place = f"{name}@{part}" if part else name
        database[place].write(qa.Batch(ids, {"": rows(count, seed + 7)}))


@pytest.mark.server
@pytest.mark.timeout(600)
@pytest.mark.parametrize("parts", [None, SIZES], ids=["whole", "partitions"])
@pytest.mark.parametrize(
    ("engine", "codes", "gate"),
    [("milvus", "product:ratio=32", 0.95), ("weaviate", "binary", 0.985)],
)
def test_a_missed_gate_names_a_setting_that_meets_it(
    engine: str, codes: str, gate: float, parts: dict[str, int] | None, live: Callable[[str], str]
) -> None:
    url = live(engine)
    names = [f"Remedy_{'parts' if parts else 'whole'}_{each}" for each in ("source", "target")]
    with qa.open(url) as db:
        try:
            for name in names:
                fill(db, name, parts)
            db[names[1]].plan(codes).apply(yes=True)
            places = [f"{url}#{name}" for name in names]
            (missed,) = qa.check(*places, gate=f"recall@10>={gate}").recalls
            assert not missed.passed
            remedy = missed.remedy
            assert remedy is not None
            assert remedy.recall is not None, remedy.reason
            assert remedy.recall >= gate
            assert remedy.partition == ("red" if parts else "")
            assert remedy.setting in remedy.command
        finally:
            for name in names:
                if name in db.collections():
                    db.drop(name)
