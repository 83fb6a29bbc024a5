"""Temporary copies are always removed; those of a killed process by the next call."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from slow import some

import qadapt as qa
from qadapt.api import Collection
from qadapt.errors import StoreError
from qadapt.evaluation import candidates as module
from qadapt.evaluation import scratch_copies
from qadapt.evaluation.scratch_copies import DISK_FACTOR, DISK_SPARE, PREFIX, scratch_copy
from qadapt.local.scratch import remove_leftovers, unowned_collections
from qadapt.stores.base import silent
from qadapt.testing import clustered

ROWS, DIM = 400, 16


@pytest.fixture
def database(live: Callable[[str], str]) -> Iterator[qa.Database]:
    with qa.open(live("edge")) as opened:
        yield opened


@pytest.fixture
def articles(database: qa.Database) -> Collection:
    made = database.create("articles", dim=DIM)
    made.write(qa.Batch(range(ROWS), {"": clustered(ROWS, DIM).rows}))
    return made


def names(articles: Collection) -> list[str]:
    return articles._store.collections()


def notes_of_owners(state_folder: Path) -> list[Path]:
    return list((state_folder / "copies").iterdir())


def test_a_copy_exists_in_the_block_and_is_removed_after_it(
    articles: Collection, state_folder: Path
) -> None:
    store, rows = articles._store, articles.sample(50)
    with scratch_copy(store, {"": qa.Vector(DIM)}, [rows], silent) as name:
        assert name.startswith(PREFIX)
        assert sorted(names(articles)) == sorted(["articles", name])
        assert store.count(name) == 50
        assert len(notes_of_owners(state_folder)) == 2  # the owner, and its lock
    assert names(articles) == ["articles"]
    assert notes_of_owners(state_folder) == []


@pytest.mark.slow
@pytest.mark.parametrize("error", some([KeyboardInterrupt, SystemExit, MemoryError], 1))
@pytest.mark.parametrize("moment", ["_Builder._settle", "CandidateRunner._measured"])
def test_a_copy_is_removed_after_any_failure(
    articles: Collection,
    state_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: type[BaseException],
    moment: str,
) -> None:
    seen: list[str] = []

    def broken(self: object, *_: object) -> None:
        seen.extend(name for name in names(articles) if name.startswith(PREFIX))
        raise error

    monkeypatch.setattr(f"{module.__name__}.{moment}", broken)
    with pytest.raises(error):
        articles.evaluate("binary", queries=10, concurrency=())
    assert seen
    assert names(articles) == ["articles"]
    assert notes_of_owners(state_folder) == []


def test_a_partially_written_copy_is_removed(
    articles: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(articles._store, "write", broken)
    with pytest.raises(KeyboardInterrupt):
        articles.evaluate("binary", queries=10, concurrency=())
    assert names(articles) == ["articles"]


def test_a_copy_of_a_running_process_is_not_removed(articles: Collection) -> None:
    store, rows = articles._store, articles.sample(20)
    with scratch_copy(store, {"": qa.Vector(DIM)}, [rows], silent) as name:
        assert remove_leftovers(store) == []
        assert name in names(articles)
        assert unowned_collections(store) == []


def test_a_copy_of_another_state_folder_is_reported_and_not_removed(
    database: qa.Database, articles: Collection
) -> None:
    database.create(PREFIX + "ffffffffffff", dim=DIM)
    found = articles.evaluate(queries=10, concurrency=())
    assert any(PREFIX + "ffffffffffff" in note for note in found.notes)
    assert PREFIX + "ffffffffffff" in names(articles)


def test_a_copy_that_cannot_be_removed_is_reported_and_retried(
    articles: Collection, state_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, rows = articles._store, articles.sample(20)
    with scratch_copy(store, {"": qa.Vector(DIM)}, [rows], silent) as name:
        left = [
            path.read_bytes() for path in notes_of_owners(state_folder) if path.suffix == ".json"
        ]
    # The state after a kill: the collection and its note exist, and no process holds the lock.
    store.create(name, {"": qa.Vector(DIM)}, {})
    token = name.removeprefix(PREFIX)
    (state_folder / "copies" / f"{token}.json").write_bytes(left[0])
    whole = store.drop

    def refused(_: str) -> None:
        raise StoreError("the store is read-only")

    monkeypatch.setattr(store, "drop", refused)
    told = articles.evaluate(queries=10, concurrency=())
    assert any("could not be removed: the store is read-only" in note for note in told.notes)
    monkeypatch.setattr(store, "drop", whole)
    told = articles.evaluate(queries=10, concurrency=())
    assert any(name in note for note in told.notes)
    assert names(articles) == ["articles"]
    assert notes_of_owners(state_folder) == []


_KILLED = """
    import sys, time
    import qadapt as qa
    from qadapt.evaluation import candidates

    def stay(self, *_):
        print("built", flush=True)
        time.sleep(60)

    candidates.CandidateRunner._measured = stay
    with qa.open(sys.argv[1]) as db:
        db["articles"].evaluate("binary", queries=10, concurrency=())
"""


@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGINT])
def test_copies_of_a_killed_process_are_removed_by_the_next_call(
    live: Callable[[str], str], state_folder: Path, kill: signal.Signals
) -> None:
    url = live("edge")
    with qa.open(url) as db:
        made = db.create("articles", dim=DIM)
        made.write(qa.Batch(range(ROWS), {"": clustered(ROWS, DIM).rows}))
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(_KILLED), url],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "QADAPT_STATE_DIR": str(state_folder)},
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "built\n"
        process.send_signal(kill)
        process.wait(30)
    end = time.monotonic() + 20
    while True:  # the engine's lock is released shortly after the process ends
        try:
            with qa.open(url) as db:
                left = [name for name in db._store.collections() if name.startswith(PREFIX)]
                assert len(left) == (1 if kill == signal.SIGKILL else 0)
                found = db["articles"].evaluate(queries=10, concurrency=())
                assert db._store.collections() == ["articles"]
            break
        except qa.QadaptError:
            if time.monotonic() > end:
                raise
            time.sleep(0.5)
    assert [name in " ".join(found.notes) for name in left] == [True] * len(left)
    assert notes_of_owners(state_folder) == []


@pytest.mark.parametrize("verb", ["evaluate", "advise"])
def test_low_disk_space_is_reported_before_anything_is_copied_or_computed(
    articles: Collection, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    folder = articles._store.address.path
    free = DISK_SPARE + 100 * DISK_FACTOR * 4 * DIM + 7  # the space of 100 rows
    usage = shutil.disk_usage(folder)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=free))
    stages: list[str] = []
    arguments = ("binary",) if verb == "evaluate" else (0.9,)
    with pytest.raises(StoreError, match="not enough disk space for a copy of 400 rows") as caught:
        getattr(articles, verb)(*arguments, progress=lambda event: stages.append(event.stage))
    assert str(folder) in caught.value.message
    assert caught.value.hint is not None
    assert caught.value.hint.endswith("--copy-rows 100 (copy_rows=100)")
    assert not any(stage.startswith(("copying", "simulating")) for stage in stages)
    assert names(articles) == ["articles"]
    if verb == "evaluate":
        articles.evaluate("binary", copy_rows=100, queries=20, concurrency=())


def test_the_disk_of_a_server_or_of_memory_is_not_checked() -> None:
    with qa.open("qdrant::memory:") as database:
        scratch_copies.check_disk(database._store, 10**12, DIM)
