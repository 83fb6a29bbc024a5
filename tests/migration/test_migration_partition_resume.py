"""Interrupted migrations of partitions, and collections with many or large partitions."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kill_help import WORKERS, log_lines, logged_rows, run_and_kill, start_child
from partition_help import PLACES, SIZES, contents, fill, renamed, store_of

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.errors import StoreError

# A server may be busy with other tests.
pytestmark = pytest.mark.timeout(300)
Ends = Callable[[str], Database]


# -- resume --------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["weaviate", "milvus"])
def test_an_interrupted_migration_of_partitions_is_resumed(
    ends: Ends, tenants: Collection, name: str, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No row is lost, duplicated or in another partition, at any point of interruption."""
    database = ends(engine)
    target, kind = (database, f"{name}_b"), type(store_of(database))
    write, written = kind.write, 0

    def failing(self: Any, collection: str, batch: qa.Batch) -> None:
        nonlocal written
        if collection.startswith(f"{name}_b@"):
            written += 1
            if written == 3:
                write(self, collection, batch)  # written, and not acknowledged
                raise StoreError("connection lost")
        write(self, collection, batch)

    with monkeypatch.context() as patch:
        patch.setattr(kind, "write", failing)
        patch.setattr("qadapt.migration.writer.BatchSizer.rows", property(lambda _: 16))
        with pytest.raises(StoreError, match="connection lost"):
            qa.migrate(tenants, target, workers=1)
    done = qa.migrate(tenants, target, resume=True)
    assert (done.resumed, done.state) == (True, "done")
    assert done.metrics.rows_before > 0
    assert done.metrics.rows_before + done.metrics.rows == 120
    found = contents(database, f"{name}_b")
    found.pop("_default", None)
    places = PLACES if engine == "milvus" else {part: part for part in SIZES}
    assert found == renamed(contents(ends("weaviate"), name), places)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("engine", ["weaviate", "milvus"])
def test_killed_at_random_moments(ends: Ends, name: str, tmp_path: Path, engine: str) -> None:
    """kill -9 while tenants with the same ids are copied."""
    here, database = ends("weaviate"), ends(engine)
    fill(here, name, dict.fromkeys(SIZES, 1200))
    source = f"{store_of(here).address}#{name}"
    target = f"{store_of(database).address}#{name}_b"
    log, draw = tmp_path / "log", random.Random(int(os.environ.get("QADAPT_SEED", "7")))
    kills = sum(run_and_kill(source, target, log, draw) for _ in range(3))
    last = start_child(source, target, log)
    _, stderr = last.communicate()
    assert last.returncode == 0, stderr.decode()
    found = contents(database, f"{name}_b")
    found.pop("_default", None)
    places = PLACES if engine == "milvus" else {part: part for part in SIZES}
    assert found == renamed(contents(here, name), places)
    written = logged_rows(log, "write")
    largest = max(len(ids) for word, ids in log_lines(log) if word == "write")
    assert kills > 0
    assert 3600 <= written <= 3600 + kills * WORKERS * largest


def test_many_tenants_use_few_workers_and_requests(
    ends: Ends, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """200 tenants are not counted one by one during the copy."""
    database = ends("weaviate")
    store: Any = store_of(database)
    sizes = {f"t{at:03}": 3 for at in range(200)}
    fill(database, name, sizes)
    asked: list[str] = []
    ask = type(store.connection).ask_many

    def counting(self: Any, method: str, requests: Any, **how: Any) -> Any:
        requests = list(requests)
        asked.extend([method] * len(requests))
        return ask(self, method, requests, **how)

    monkeypatch.setattr(type(store.connection), "ask_many", counting)
    plan = qa.plan_migration(database[name], (database, f"{name}_b"))
    assert (plan.scan_ranges, plan.workers) == (200, 2)
    asked.clear()
    done = qa.migrate(database[name], (database, f"{name}_b"), plan=plan, check="off")
    assert (done.metrics.rows, len(store.collection_schema(f"{name}_b").partitions)) == (600, 200)
    assert asked.count("Aggregate") <= 4 * 200  # for both ends, none for a batch
    found = qa.check(database[name], (database, f"{name}_b"))
    assert (found.passed, found.compared) == (True, 600)


def test_a_large_tenant_is_read_in_several_scan_ranges(ends: Ends, name: str) -> None:
    database = ends("weaviate")
    fill(database, name, {"large": 6_100, "small": 10})
    plan = qa.plan_migration(database[name], (database, f"{name}_b"), trial_copy=False)
    assert plan.scan_ranges == 3
    done = qa.migrate(database[name], (database, f"{name}_b"), plan=plan, check="off")
    assert done.metrics.rows == 6_110
    assert contents(database, f"{name}_b") == contents(database, name)
