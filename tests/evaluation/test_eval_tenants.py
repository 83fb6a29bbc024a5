"""Recall of each tenant: partitions of the databases, and payload fields that separate tenants."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable

import numpy as np
import pytest

import qadapt as qa
from qadapt.evaluation.documents import Verification
from qadapt.model import CollectionSchema
from qadapt.testing import clustered

SIZES = {"red": 300, "blue": 60}
DIM = 16


def totals(found: Verification) -> dict[str, int]:
    return {each.filter: each.total_rows for each in found.truths}


def test_tenants_of_weaviate(live: Callable[[str], str]) -> None:
    name = f"Tenants{uuid.uuid4().hex[:8]}"
    with qa.open(live("weaviate")) as database:
        store = database._store
        names = CollectionSchema(partitions=tuple(SIZES), is_partitioned=True)
        store.create(name, {"": qa.Vector(DIM)}, {}, names)
        made = database[name]
        try:
            for seed, (tenant, size) in enumerate(SIZES.items()):
                rows = clustered(size, DIM, seed=seed).rows
                ids = [str(uuid.UUID(int=1000 * seed + at)) for at in range(size)]
                store.write(f"{name}@{tenant}", qa.Batch(ids, {"": rows}))
            found = made.verify(k=10, queries=40, by="@")
            assert totals(found) == {"@red": 300, "@blue": 60}
            assert all(each.recall is not None for each in found.results)
            assert found.proof.level != "none"
            only = made.verify(k=10, queries=40, by="@", by_limit=1)
            assert totals(only) == {"@red": 300}
            live_only = made.evaluate(k=10, queries=40, by="@", concurrency=())
            assert {each.filter for each in live_only.results} == {"@red", "@blue"}
            assert "the 1 most frequent of 2 values of partition" in " ".join(only.notes)
        finally:
            database.drop(name)


def test_partitions_of_milvus(live: Callable[[str], str]) -> None:
    name = "tenants"
    with qa.open(live("milvus-lite")) as database:
        made = database.create(name, dim=DIM)
        database._store.create_partitions(name, list(SIZES))
        for seed, (tenant, size) in enumerate(SIZES.items()):
            rows = clustered(size, DIM, seed=seed).rows
            ids = range(1000 * seed, 1000 * seed + size)
            database._store.write(f"{name}@{tenant}", qa.Batch(ids, {"": rows}))
        found = made.verify(k=10, queries=40, by="@")
        assert totals(found) == {"@red": 300, "@blue": 60}
        assert found.recall.value > 0.9


@pytest.mark.parametrize("engine", ["milvus", "milvus-lite", "weaviate"])
def test_tenants_by_a_payload_field(live: Callable[[str], str], engine: str) -> None:
    name = f"Tenants{uuid.uuid4().hex[:8]}"
    rows = clustered(sum(SIZES.values()), DIM).rows
    tenants = [name for name, size in SIZES.items() for _ in range(size)]
    with qa.open(live(engine)) as database:
        made = database.create(name, dim=DIM)
        try:
            payloads = [{"tenant": each} for each in tenants]
            uuids = [f"00000000-0000-0000-0000-{at:012d}" for at in range(len(rows))]
            ids = uuids if engine == "weaviate" else list(range(len(rows)))
            made.write(qa.Batch(ids, {"": rows}, payloads))
            found = made.verify(k=10, queries=np.asarray(rows[:40]), by="tenant")
            assert totals(found) == {json.dumps({"tenant": t}): n for t, n in SIZES.items()}
            first = found.results[0]
            assert first.recall is not None and first.recall.value == found.recall.value
            assert not any("payloads of" in note for note in found.notes)
        finally:
            database.drop(name)
