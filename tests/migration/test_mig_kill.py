"""kill -9 at any moment: nothing lost, nothing doubled, at most one batch per worker again.

    QADAPT_SOAK=200 pytest tests/migration/test_mig_kill.py       # make soak

A few kills where nobody asks for more. Of a lane, the reader and the writer are one worker each:
a batch may be read that is not written yet, and one be written that is not acknowledged yet.
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
from live.milvus import MilvusServer
from mig_help import DIM, everything, rows

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.errors import TransientError
from qadapt.migration.endpoint import opened
from qadapt.stores.base import Progress

Ends = Callable[[str], Database]
CHILD = Path(__file__).with_name("kill_child.py")
KILLS = int(os.environ.get("QADAPT_SOAK", "4"))
ROWS = 4_000
LANES = 2


def _lines(log: Path) -> list[list[Any]]:
    whole = log.read_text().split("\n")[:-1] if log.exists() else []
    return [json.loads(line) for line in whole]


def _run(source: str, target: str, log: Path) -> subprocess.Popen[bytes]:
    words = [sys.executable, str(CHILD), source, target, str(log)]
    return subprocess.Popen(words, stderr=subprocess.PIPE)


def _count(log: Path, what: str) -> int:
    return sum(len(ids) for word, ids in _lines(log) if word == what)


def _killed(source: str, target: str, log: Path, draw: random.Random) -> bool:
    """One run that is killed at a random moment; False when it was done before."""
    before = len(_lines(log))
    child = _run(source, target, log)
    moment = draw.randrange(1, 30)  # lines of the log that it may write
    end = time.monotonic() + 60
    while child.poll() is None and time.monotonic() < end:
        if len(_lines(log)) - before >= moment:
            time.sleep(draw.uniform(0, 0.02))
            break
        time.sleep(0.002)
    child.send_signal(signal.SIGKILL)
    code = child.wait()
    assert child.stderr is not None
    told = child.stderr.read().decode()
    child.stderr.close()
    assert code in (0, -signal.SIGKILL), told
    return code != 0


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
        while _killed(source, target, log, draw):
            kills += 1
            if killed + kills >= wished:
                last = _run(source, target, log)
                _, told = last.communicate()
                assert last.returncode == 0, told.decode()
                break
        killed += kills
        _judge(target, log, kills, wanted)
        wave += 1


def _judge(target: str, log: Path, kills: int, wanted: dict[Any, Any]) -> None:
    with opened(target) as end:
        end.must_be_there()
        assert everything(Collection(end.store, end.name)) == wanted
        assert end.store.count(end.name) == ROWS
        end.store.drop(end.name)
    largest = max(len(ids) for word, ids in _lines(log) if word == "write")
    page = max(len(ids) for word, ids in _lines(log) if word == "read")
    assert _count(log, "write") <= ROWS + kills * LANES * largest
    assert _count(log, "read") <= ROWS + kills * LANES * 2 * page


# -- the server goes away ------------------------------------------------------------------------


class _Away:
    """A store whose writes fail for a while, as those of a server that is restarted do."""

    def __init__(self, store: Any, failures: int, after: bool) -> None:
        self.left, self.after = failures, after
        self.write = store.write

    def __call__(self, name: str, batch: qa.Batch) -> None:
        if self.left and batch.ids[0] != 0:
            self.left -= 1
            if self.after:
                self.write(name, batch)  # it was written, and the answer got lost
            raise TransientError("the server went away")
        self.write(name, batch)


@pytest.mark.parametrize("after", [False, True])
def test_a_server_that_comes_back_is_waited_for(
    source: Collection, ends: Ends, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    there = ends("edge")
    monkeypatch.setattr(there._store, "write", _Away(there._store, 2, after))
    done = qa.migrate(source, (there, "docs"), batch_bytes=4096, probe=False)
    assert done.state == "done"
    assert everything(there["docs"]) == everything(source)


def test_a_server_that_stays_away_ends_it_and_the_same_call_goes_on(
    source: Collection, ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = ends("edge")
    with monkeypatch.context() as patched:
        patched.setattr(there._store, "write", _Away(there._store, 1000, True))
        with pytest.raises(TransientError, match="went away"):
            qa.migrate(
                source, (there, "docs"), batch_bytes=4096, probe=False, patience=0.5, workers=1
            )
    done = qa.migrate(source, (there, "docs"))
    assert done.resumed
    assert done.metrics.already > 0
    assert everything(there["docs"]) == everything(source)


def test_reading_goes_on_behind_the_last_row(
    source: Collection, ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = source._store.read
    broken = {"left": 3}

    def away(*args: Any, **options: Any) -> Any:
        for at, page in enumerate(read(*args, **options)):
            if at and broken["left"] and options.get("vectors"):
                broken["left"] -= 1
                raise TransientError("the server went away")
            yield page

    monkeypatch.setattr(source._store, "read", away)
    there = ends("edge")
    done = qa.migrate(source, (there, "docs"), batch_bytes=4096, probe=False)
    assert broken["left"] == 0
    assert (done.state, done.metrics.rows) == ("done", 500)


# -- Ctrl-C --------------------------------------------------------------------------------------


def test_ctrl_c_stops_between_batches_and_says_what_to_type(tmp_path: Path) -> None:
    pytest.importorskip("qdrant_edge")
    with qa.open(f"edge:{tmp_path / 'a'}") as here:
        made = here.create("docs", dim=64, metric="dot")
        made.write(qa.Batch(range(20_000), {"": np.ones((20_000, 64))}))
    words = [sys.executable, "-m", "qadapt.cli", "migrate", f"edge:{tmp_path / 'a'}#docs",
             f"edge:{tmp_path / 'b'}", "--batch", "0.02", "--no-probe", "--check", "off",
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
    assert metrics["already"] > 0
    assert metrics["already"] + metrics["rows"] == 20_000


@pytest.mark.timeout(300)
def test_a_server_that_is_killed_and_started_again_is_waited_for(
    source: Collection, weaviate_server: Callable[..., Any]
) -> None:
    """kill -9 of a real Weaviate between two batches, and a start on the same folder."""
    server = weaviate_server()
    killed = threading.Event()

    def on(progress: Progress) -> None:
        if progress.stage == "copying" and progress.done > 50 and not killed.is_set():
            killed.set()
            server.kill()
            server.start()

    with qa.open(server.url) as there:
        # As in a slow network, so that the kill meets the copy on its way.
        write = there._store.write

        def slow(name: str, batch: qa.Batch) -> None:
            time.sleep(0.2)
            write(name, batch)

        there._store.write = slow  # type: ignore[method-assign]
        done = qa.migrate(
            source, (there, "Docs"), batch_bytes=2048, probe=False, patience=120, progress=on,
            check="off",
        )  # fmt: skip
        assert killed.is_set()
        assert done.metrics.rows == 500
        assert there["Docs"].count() == 500
        back = qa.migrate((there, "Docs"), (Database(source._store), "home"), check="off")
        assert back.plan.ids.home == 500
        home = Database(source._store)["home"]
        assert everything(home) == everything(source)


@pytest.mark.timeout(400)
def test_a_milvus_that_is_killed_and_started_again_is_waited_for(
    source: Collection, milvus_server: MilvusServer
) -> None:
    """kill -9 of a real Milvus between two batches, and a start on the same folder, which takes
    it up to a minute (docs/engines/milvus.md#the-server-from-pypi)."""
    killed = threading.Event()

    def on(progress: Progress) -> None:
        if progress.stage == "copying" and progress.done > 50 and not killed.is_set():
            killed.set()
            milvus_server.kill()
            milvus_server.start()

    with qa.open(milvus_server.url) as there:
        done = qa.migrate(
            source, (there, "Docs"), batch_bytes=2048, probe=False, patience=180, progress=on,
            check="off",
        )  # fmt: skip
        assert killed.is_set()
        assert done.metrics.rows == 500
        # It loads what was loaded before by itself, some time after it is healthy; check
        # waits for that.
        assert qa.check(source, (there, "Docs")).passed
        assert everything(there["Docs"]) == everything(source)
