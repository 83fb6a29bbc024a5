"""Prepared searches of several threads, and changes that wait for them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qadapt as qa
from qadapt.stores.qdrant.edge.connection import Shard

PATIENCE = 30.0


@pytest.fixture
def shard(live: Callable[[str], str]) -> Any:
    with qa.open(live("edge")) as database:
        articles = database.create("articles", dim=4)
        articles.write(qa.Batch([1, 2, 3], {"": np.eye(3, 4)}))
        articles.search([1.0, 0, 0, 0], 1)
        store: Any = database._store
        yield store.shard("articles")


def test_searches_run_at_the_same_time(shard: Shard) -> None:
    both = threading.Barrier(2, timeout=PATIENCE)
    observed, ended = shard.observation, []

    def work() -> None:
        ended.append(shard.search(observed, lambda _, request: both.wait() >= 0, None))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ended == [True, True]
    assert shard._searching == set()


def test_a_change_waits_for_running_searches_and_stops_new_ones(shard: Shard) -> None:
    started, finish, changed = threading.Event(), threading.Event(), threading.Event()
    observed, events = shard.observation, []

    def running(_: Any, __: Any) -> bool:
        started.set()
        assert finish.wait(PATIENCE)
        events.append("search")
        return True

    def change() -> None:
        with shard.change("change"):
            events.append("change")
        changed.set()

    search = threading.Thread(target=shard.search, args=(observed, running, None))
    search.start()
    assert started.wait(PATIENCE)
    writer = threading.Thread(target=change)
    writer.start()
    while shard.observation is not None:  # the change has begun
        assert not changed.wait(0.01)
    assert shard.search(observed, running, None) is None
    assert not changed.wait(0.1)
    finish.set()
    assert changed.wait(PATIENCE)
    for thread in (search, writer):
        thread.join()
    assert events == ["search", "change"]


def test_a_failed_search_is_not_waited_for(shard: Shard) -> None:
    def fails(_: Any, __: Any) -> None:
        raise ValueError("broken")

    with pytest.raises(qa.errors.StoreError, match="broken"):
        shard.search(shard.observation, fails, None)
    assert shard._searching == set()
    with shard.change("change"):
        pass


def test_a_forked_process_does_not_wait_for_searches_of_its_parent(tmp_path: Path) -> None:
    shard = Shard(tmp_path)
    shard._searching.add(threading.get_ident() + 1)
    shard.leave_to_parent()
    shard.close()
    assert shard._searching == set()


def test_the_shard_that_was_used_last_is_closed_last(
    live: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from qadapt.stores.qdrant.edge import connection

    monkeypatch.setattr(connection, "MOST_OPEN", 2)
    query = np.array([1, 0, 0, 0], np.float32)
    with qa.open(live("edge")) as database:
        for name in ("a", "b"):
            database.create(name, dim=4).write(qa.Batch([1], {"": np.eye(1, 4)}))
        first, second = database["a"], database["b"]
        for each in (first, second, first, second, first):
            each.search(query, 1)
        database.create("c", dim=4).write(qa.Batch([1], {"": np.eye(1, 4)}))
        store: Any = database._store
        shards = [store.shard(name) for name in "abc"]
        assert [each._open is not None for each in shards] == [True, False, True]
        assert second.search(query, 1).ids.tolist() == [[1]]
