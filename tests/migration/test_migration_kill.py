"""kill -9 at any moment: no row is lost or duplicated, and each worker repeats one batch at most.

    QADAPT_SOAK=200 pytest tests/migration/test_migration_kill.py       # make soak

Without QADAPT_SOAK there are only a few kills. Each worker reads and writes at the same time: one
batch may be read and not written yet, and one written and not acknowledged yet.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kill_help import WORKERS, log_lines, logged_rows, run_and_kill, start_child
from live.milvus import MilvusServer
from migration_help import DIM, everything, rows
from slow import SLOW

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.errors import TransientError
from qadapt.migration.endpoint import open_endpoint
from qadapt.stores.base import Progress, ReadRequest

Ends = Callable[[str], Database]
KILLS = int(os.environ.get("QADAPT_SOAK", "4" if SLOW else "2"))
ROWS = 4_000


@pytest.mark.slow
@pytest.mark.timeout(240 + 30 * KILLS)
@pytest.mark.parametrize("engine", ["edge", "milvus"])
def test_killed_at_random_moments(tmp_path: Path, ends: Ends, name: str, engine: str) -> None:
    pytest.importorskip("qdrant_edge")
    source = f"edge:{tmp_path / 'a'}#docs"
    with qa.open(f"edge:{tmp_path / 'a'}") as here:
        made = here.create("docs", dim=DIM, metric="dot")
        made.write(qa.Batch(range(ROWS), {"": rows(ROWS)}, [{"n": at} for at in range(ROWS)]))
        wanted = everything(made)
    there = f"edge:{tmp_path / 'b'}" if engine == "edge" else str(ends(engine)._store.address)
    draw = random.Random(int(os.environ.get("QADAPT_SEED", "7")))
    killed = 0
    wave = 0
    wished = KILLS if engine == "edge" else max(2, KILLS // 10)
    while killed < wished:
        # A run that came through is followed by one to another name.
        target, log = f"{there}#{name}_{wave}", tmp_path / f"log-{wave}"
        kills = 0
        while run_and_kill(source, target, log, draw):
            kills += 1
            if killed + kills >= wished:
                last = start_child(source, target, log)
                _, reported = last.communicate()
                assert last.returncode == 0, reported.decode()
                break
        killed += kills
        _judge(target, log, kills, wanted)
        wave += 1


def _judge(target: str, log: Path, kills: int, wanted: dict[Any, Any]) -> None:
    with open_endpoint(target) as end:
        end.ensure_loaded()
        assert everything(Collection(end.store, end.name)) == wanted
        assert end.store.count(end.name) == ROWS
        end.store.drop(end.name)
    largest = max(len(ids) for word, ids in log_lines(log) if word == "write")
    page = max(len(ids) for word, ids in log_lines(log) if word == "read")
    assert logged_rows(log, "write") <= ROWS + kills * WORKERS * largest
    assert logged_rows(log, "read") <= ROWS + kills * WORKERS * 2 * page


# -- unreachable servers --------------------------------------------------------------------------


class _Away:
    """Writes that fail for a while, as during a restart of a server."""

    def __init__(self, store: Any, failures: int, after: bool) -> None:
        self.left, self.after = failures, after
        self.write = store.write

    def __call__(self, name: str, batch: qa.Batch) -> None:
        if self.left and batch.ids[0] != 0:
            self.left -= 1
            if self.after:
                self.write(name, batch)  # the rows are written, and the response is lost
            raise TransientError("connection lost")
        self.write(name, batch)


@pytest.mark.parametrize("after", [False, True])
def test_writes_are_retried_while_a_server_is_unreachable(
    source: Collection, ends: Ends, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    there = ends("edge")
    monkeypatch.setattr(there._store, "write", _Away(there._store, 2, after))
    done = qa.migrate(source, (there, "docs"), batch_bytes=4096, trial_copy=False)
    assert done.state == "done"
    assert everything(there["docs"]) == everything(source)


def test_the_copy_stops_after_the_retry_timeout_and_is_resumed(
    source: Collection, ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = ends("edge")
    with monkeypatch.context() as patched:
        patched.setattr(there._store, "write", _Away(there._store, 1000, True))
        with pytest.raises(TransientError, match="connection lost"):
            qa.migrate(
                source,
                (there, "docs"),
                batch_bytes=4096,
                trial_copy=False,
                retry_timeout=0.5,
                workers=1,
            )
    done = qa.migrate(source, (there, "docs"))
    assert done.resumed
    assert done.metrics.rows_before > 0
    assert everything(there["docs"]) == everything(source)


def test_reading_continues_after_the_last_row(
    source: Collection, ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = source._store.read
    broken = {"left": 3}

    def away(name: str, request: ReadRequest) -> Any:
        for at, page in enumerate(read(name, request)):
            if at and broken["left"] and request.vectors:
                broken["left"] -= 1
                raise TransientError("connection lost")
            yield page

    monkeypatch.setattr(source._store, "read", away)
    there = ends("edge")
    done = qa.migrate(source, (there, "docs"), batch_bytes=4096, trial_copy=False)
    assert broken["left"] == 0
    assert (done.state, done.metrics.rows) == ("done", 500)


# -- Ctrl-C --------------------------------------------------------------------------------------


def test_ctrl_c_stops_between_batches_and_prints_how_to_continue(tmp_path: Path) -> None:
    pytest.importorskip("qdrant_edge")
    with qa.open(f"edge:{tmp_path / 'a'}") as here:
        made = here.create("docs", dim=64, metric="dot")
        made.write(qa.Batch(range(5_000), {"": np.ones((5_000, 64))}))
    words = [sys.executable, "-m", "qadapt.cli", "migrate", f"edge:{tmp_path / 'a'}#docs",
             f"edge:{tmp_path / 'b'}", "--batch", "0.02", "--no-trial-copy", "--check", "off",
             "--json"]  # fmt: skip
    child = subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stderr is not None
    assert child.stdout is not None
    for line in child.stderr:
        if '"copying"' in line and json.loads(line)["done"] > 0:
            break
    child.send_signal(signal.SIGINT)
    out, _ = child.communicate(timeout=60)
    assert child.returncode == 130
    hint = json.loads(out)["error"]["hint"]
    assert "run the command again" in hint
    assert "qadapt migrate" in hint
    again = subprocess.run(words, capture_output=True, text=True, timeout=100, check=False)
    assert again.returncode == 0, again.stderr
    metrics = json.loads(again.stdout)["metrics"]
    assert metrics["rows_before"] > 0
    assert metrics["rows_before"] + metrics["rows"] == 5_000


@pytest.mark.timeout(300)
def test_a_restart_of_weaviate_during_the_copy(
    source: Collection, weaviate_server: Callable[..., Any]
) -> None:
    """kill -9 of a real Weaviate server between two batches, and a start with the same folder."""
    server = weaviate_server()
    killed = threading.Event()

    def on(progress: Progress) -> None:
        if progress.stage == "copying" and progress.done > 50 and not killed.is_set():
            killed.set()
            server.kill()
            server.start()

    with qa.open(server.url) as there:
        # Slow writes, so that the kill happens during the copy.
        write = there._store.write

        def slow(name: str, batch: qa.Batch) -> None:
            time.sleep(0.2)
            write(name, batch)

        there._store.write = slow  # type: ignore[method-assign]
        done = qa.migrate(
            source, (there, "Docs"), batch_bytes=2048, trial_copy=False, retry_timeout=120,
            progress=on, check="off",
        )  # fmt: skip
        assert killed.is_set()
        assert done.metrics.rows == 500
        assert there["Docs"].count() == 500
        back = qa.migrate((there, "Docs"), (Database(source._store), "home"), check="off")
        assert back.plan.ids.restored == 500
        home = Database(source._store)["home"]
        assert everything(home) == everything(source)


@pytest.mark.timeout(400)
def test_a_restart_of_milvus_during_the_copy(
    source: Collection, milvus_server: MilvusServer
) -> None:
    """kill -9 of a real Milvus server between two batches, and a start with the same folder, which
    takes up to a minute (docs/engines/milvus.md#the-server-from-pypi)."""
    killed = threading.Event()

    def on(progress: Progress) -> None:
        if progress.stage == "copying" and progress.done > 50 and not killed.is_set():
            killed.set()
            milvus_server.kill()
            milvus_server.start()

    with qa.open(milvus_server.url) as there:
        done = qa.migrate(
            source, (there, "Docs"), batch_bytes=2048, trial_copy=False, retry_timeout=180,
            progress=on, check="off",
        )  # fmt: skip
        assert killed.is_set()
        assert done.metrics.rows == 500
        # It loads its collections some time after it reports to be healthy; the check waits
        # for that.
        assert qa.check(source, (there, "Docs")).passed
        assert everything(there["Docs"]) == everything(source)
