"""Parallel readers of one exported snapshot: rows that change during a copy are read once, as they
were when it began."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import psycopg
import pytest

import qadapt as qa
from qadapt.api import Collection
from qadapt.errors import StoreError
from qadapt.migration.ray_executor import _task
from qadapt.migration.worker import CopyWorker
from qadapt.stores.base import ReadRequest
from qadapt.testing.data import Sample


def contents(store: Any, name: str, ranges: int) -> dict[int, Any]:
    """Group and first value of all rows, read by a thread per range."""
    found: dict[int, Any] = {}
    lock = threading.Lock()

    def read(part: Any) -> None:
        for batch in store.read(name, ReadRequest(scan_range=part, page=200)):
            with lock:
                for key, vector, payload in zip(
                    batch.ids, batch.vectors[""], batch.payloads, strict=True
                ):
                    assert key not in found
                    found[key] = (payload["group"], float(vector[0]))

    threads = [
        threading.Thread(target=read, args=(part,)) for part in store.scan_ranges(name, ranges)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def change(raw: Any, name: str) -> None:
    """Update, delete, insert and move rows."""
    raw.execute(f"UPDATE {name} SET payload = '{{\"group\": 77}}' WHERE id < 500")
    raw.execute(f"DELETE FROM {name} WHERE id BETWEEN 500 AND 999")
    raw.execute(f"UPDATE {name} SET id = id + 100000 WHERE id BETWEEN 1000 AND 1499")
    raw.execute(
        f"INSERT INTO {name} (id, embedding, payload) SELECT -id - 1, embedding, payload "
        f"FROM {name} WHERE id BETWEEN 1500 AND 1999"
    )


def test_readers_see_the_rows_of_the_exported_snapshot(
    articles: Collection, url: str, raw: Any, sample: Sample
) -> None:
    with qa.open(url) as db:
        store = db[articles.name]._store
        before = contents(store, articles.name, 3)
        with store.consistent_reads(articles.name):
            pages = store.read(articles.name, ReadRequest(page=100))
            first = next(pages)
            change(raw, articles.name)
            assert contents(store, articles.name, 3) == before
            ids = [*first.ids, *(key for page in pages for key in page.ids)]
            assert ids == sorted(before)
            assert store.count(articles.name) == 3000  # 500 deleted, 500 added
        after = contents(store, articles.name, 3)
        assert sum(group == 77 for group, _ in after.values()) == 500
        assert set(after) != set(before)
    held = raw.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'qadapt' "
        "AND state = 'idle in transaction'"
    ).fetchone()
    assert held == (0,)


def test_a_copy_with_four_workers_has_the_rows_of_its_begin(
    articles: Collection, url: str, raw: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    name = articles.name
    before = {key: group for key, (group, _) in contents(articles._store, name, 1).items()}
    original, changed = CopyWorker._copy_batch, threading.Event()

    def write(self: CopyWorker, *args: Any) -> Any:
        if not changed.is_set():  # after the first page was read
            changed.set()
            change(raw, name)
        return original(self, *args)

    monkeypatch.setattr(CopyWorker, "_copy_batch", write)
    target = f"edge:{tmp_path}#copy"
    qa.migrate(f"{url}#{name}", target, workers=4, check="off")
    assert changed.is_set()
    with qa.open(f"edge:{tmp_path}") as db:
        found = {
            key: payload["group"]
            for batch in db["copy"].read()
            for key, payload in zip(batch.ids, batch.payloads or (), strict=True)
        }
    assert found == before
    later = qa.migrate(f"{url}#{name}", target, resume=True, catch_up=True)
    assert later.check is not None
    assert later.check.passed


def test_a_snapshot_that_is_gone_is_an_error_with_a_hint(articles: Collection, raw: Any) -> None:
    store: Any = articles._store
    with store.consistent_reads(articles.name):
        raw.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'qadapt' AND state = 'idle in transaction'"
        )
        with pytest.raises(StoreError, match="snapshot") as found:
            list(store.read(articles.name))
        assert "run it again" in str(found.value.hint)
    assert sum(len(batch) for batch in store.read(articles.name)) == 3000


def test_another_process_reads_the_same_snapshot(articles: Collection, url: str, raw: Any) -> None:
    """As a task of Ray, which gets the name of the snapshot."""
    store: Any = articles._store
    with store.consistent_reads(articles.name) as snapshot, qa.open(url) as db:
        change(raw, articles.name)
        other: Any = db._store
        with other.consistent_reads(articles.name, snapshot):
            found = contents(other, articles.name, 2)
        assert set(found) == set(range(3000))
        assert set(contents(other, articles.name, 2)) != set(found)


def test_a_connection_of_the_user_is_not_used_for_the_snapshot(
    articles: Collection, url: str, raw: Any
) -> None:
    with psycopg.connect(url, autocommit=True) as client:
        store: Any = qa.wrap(client)._store
        with store.consistent_reads(articles.name):
            change(raw, articles.name)
            assert set(contents(store, articles.name, 2)) == set(range(3000))
            assert client.info.transaction_status == 0
        with client.transaction():  # rows that only this transaction sees
            client.execute(f"DELETE FROM {articles.name} WHERE id < 2990 OR id > 3000")
            with store.consistent_reads(articles.name):
                assert set(contents(store, articles.name, 1)) == set(range(2990, 3000))


def test_a_task_of_a_cluster_copies_the_rows_of_the_snapshot(
    articles: Collection, url: str, raw: Any, name: str
) -> None:
    """The function that Ray runs on another machine."""
    store: Any = articles._store
    target = f"{name}_copy"
    plan = qa.plan_migration(f"{url}#{name}", f"{url}#{target}")
    with qa.open(url) as db, store.consistent_reads(name) as snapshot:
        copied = db.create(target, dim=48, metric="cosine")
        change(raw, name)
        addresses = [store.address, store.address]
        acknowledged = list(_task(plan.to_json(), addresses, 10.0, {}, None, snapshot))
        assert sum(each.rows for each in acknowledged) == copied.count() == 3000
        assert set(contents(copied._store, target, 1)) == set(range(3000))
        db.drop(target)
