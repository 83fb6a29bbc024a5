"""Killed, interrupted, locked and out of time: no rows were lost and the next run finishes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from edge_helpers import Texts, carry_out, fill, plan, same_rows, start, state

from qadapt.errors import BusyError, StoreError, StoreTimeoutError
from qadapt.model import Batch, State, Step
from qadapt.stores.base import Progress, silent
from qadapt.stores.qdrant.edge.store import EdgeStore

# Slow enough to be killed on the way: k-means for each of the 256 dimensions.
SLOW = "product:ratio=4"

RUN = """
import json, sys
from qadapt.model.address import Address
from qadapt.stores.qdrant.edge.store import EdgeStore
store = EdgeStore.open(Address("edge", None, sys.argv[1]))
def told(progress):
    print(progress.stage, flush=True)
try:
    store.run("c", json.loads(sys.argv[2]), told, 60)
except KeyboardInterrupt:
    print("interrupted", store.count("c"), flush=True)
"""

HOLD = """
import sys
from qadapt.model.address import Address
from qadapt.stores.qdrant.edge.store import EdgeStore
store = EdgeStore.open(Address("edge", None, sys.argv[1]))
print(store.count("c"), flush=True)
sys.stdin.readline()
"""

WRITE = """
import sys
import numpy as np
from qadapt.model import Batch, Vector
from qadapt.model.address import Address
from qadapt.stores.qdrant.edge.store import EdgeStore
store = EdgeStore.open(Address("edge", None, sys.argv[1]))
store.create("c", {"": Vector(8, "dot")}, {})
rows = np.arange(4000, dtype="f4").reshape(500, 8)
store.write("c", Batch(list(range(500)), {"": rows}, [{"at": at} for at in range(500)]))
print("written", flush=True)
sys.stdin.readline()
"""


def building(store: EdgeStore) -> bool:
    """Whether the engine is building a new segment of ``c``."""
    return any((store.address.path / "c" / "temp_segments").glob("*"))


def worker_of(parent: int) -> int:
    """The process id of the rebuild that a process started; a test run has other children too."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    commands = {int(child): Path(f"/proc/{child}/cmdline").read_bytes() for child in children}
    (rebuild,) = (child for child, command in commands.items() if b"worker.py" in command)
    return rebuild


def slow(store: EdgeStore, texts: Texts) -> tuple[Batch, list[Step]]:
    """The documents as the store keeps them, and the steps of a slow rebuild."""
    fill(store, texts.batch)
    return Batch.concat(list(store.read("c"))), plan(store, SLOW)


def rebuilding(store: EdgeStore, step: Step) -> subprocess.Popen[str]:
    """A subprocess during a rebuild; the store is closed."""
    store.close()
    parent = start(RUN, str(store.address.path), json.dumps(dict(step.request)))
    assert parent.stdout is not None
    while not building(store):
        assert parent.stdout.readline()
    return parent


def finish(store: EdgeStore, batch: Batch, steps: list[Step]) -> None:
    """The next run completes the interrupted one, and no rows were lost."""
    assert state(store) is State.BUILDING
    same_rows(store, batch)
    carry_out(store, plan(store, SLOW))
    assert state(store) is State.ACTIVE
    assert not building(store), "leftovers of the killed rebuild still exist"
    same_rows(store, batch)
    carry_out(store, steps)
    assert state(store) is State.ACTIVE


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux: /proc")
def test_killed_rebuild_is_finished_by_the_next_run(store: EdgeStore, texts: Texts) -> None:
    batch, steps = slow(store, texts.first(400))

    def kill(_: Progress) -> None:
        if building(store):
            os.kill(worker_of(os.getpid()), signal.SIGKILL)

    with pytest.raises(StoreError, match="ended unexpectedly"):
        carry_out(store, steps, kill)
    finish(store, batch, steps)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux: /proc")
def test_killed_parent_ends_its_rebuild(store: EdgeStore, texts: Texts) -> None:
    batch, steps = slow(store, texts.first(400))
    parent = rebuilding(store, steps[0])
    # The stopped rebuild cannot finish: the kernel must end it.
    os.kill(worker_of(parent.pid), signal.SIGSTOP)
    parent.kill()
    parent.communicate()
    # Waits until the folder is released.
    store.run("c", {"op": "edge.optimize"}, silent, 60)
    assert state(store) is State.ACTIVE
    assert not building(store)
    same_rows(store, batch)


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX: signals")
def test_ctrl_c_interrupts_a_rebuild(store: EdgeStore, texts: Texts) -> None:
    batch, steps = slow(store, texts.first(400))
    parent = rebuilding(store, steps[0])
    parent.send_signal(signal.SIGINT)
    # The process continues with the collection open.
    assert "interrupted 400" in parent.communicate()[0]
    finish(store, batch, steps)


def test_an_error_in_the_callback_stops_the_rebuild(store: EdgeStore, texts: Texts) -> None:
    batch, steps = slow(store, texts.first(400))

    def interrupt(_: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        carry_out(store, steps, interrupt)
    assert store.count("c") == 400
    finish(store, batch, steps)


def test_rebuild_beyond_the_time_limit_is_stopped(store: EdgeStore, texts: Texts) -> None:
    batch, steps = slow(store, texts.first(400))
    with pytest.raises(StoreTimeoutError, match="no rows were lost"):
        store.run("c", steps[0].request, silent, 0)
    finish(store, batch, steps)


def test_folder_open_in_another_process_is_busy(store: EdgeStore, texts: Texts) -> None:
    fill(store, texts.batch.rows(0, 100))
    steps = plan(store, "binary")
    before = store.info("c").fingerprint
    store.close()
    other = start(HOLD, str(store.address.path))
    assert other.stdout is not None
    assert other.stdout.readline() == "100\n"
    reported: list[Progress] = []
    for call in (
        lambda: store.count("c"),
        lambda: store.drop("c"),
        lambda: store.run("c", steps[0].request, reported.append, 0.2),
    ):
        with pytest.raises(BusyError, match="another process has the collection open"):
            call()
    assert reported[0].stage.startswith("waiting for the process")
    other.communicate("\n")
    assert store.info("c").fingerprint == before
    carry_out(store, steps)
    assert state(store) is State.ACTIVE


def test_written_rows_survive_a_kill(tmp_path: Path) -> None:
    pytest.importorskip("qdrant_edge")
    from qadapt.model.address import Address

    writer = start(WRITE, str(tmp_path / "data"))
    assert writer.stdout is not None
    assert writer.stdout.readline() == "written\n"
    writer.kill()
    writer.communicate()
    store = EdgeStore.open(Address("edge", None, str(tmp_path / "data")))
    found = Batch.concat(list(store.read("c")))
    store.close()
    assert list(found.ids) == list(range(500))
    assert found.vectors[""].ravel().tolist() == list(range(4000))
    assert found.payloads == [{"at": at} for at in range(500)]
