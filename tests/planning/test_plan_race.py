"""Two processes and one collection: one changes it, the other is refused at once with the process
id."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import qadapt as qa
from qadapt.errors import BusyError, PlanStaleError, UnsupportedError
from qadapt.locking import Holder, Lock, LockHeldError
from qadapt.stores.qdrant.edge import optimize

# Prints its result as one line of JSON; waits for a line of input before it starts.
APPLY = """
import json, sys
import qadapt as qa, qadapt.planning.apply, qadapt.stores.qdrant.edge.store, qdrant_edge
address, wanted, accept = sys.argv[1:]
print("ready", flush=True)
sys.stdin.readline()
try:
    with qa.open(address) as db:
        change = db["articles"].plan(wanted, accept=accept).apply(yes=True)
    print(json.dumps([change.state, ""]), flush=True)
except qa.QadaptError as error:
    print(json.dumps([type(error).__name__, str(error)]), flush=True)
"""


def _start(address: str, wanted: str, accept: str = "differs") -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", APPLY, address, wanted, accept],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


def _go(child: subprocess.Popen[str]) -> None:
    assert child.stdin is not None
    child.stdin.write("\n")
    child.stdin.flush()


def _told(child: subprocess.Popen[str]) -> tuple[str, str]:
    told, _ = child.communicate(timeout=60)
    state, words = json.loads(told)
    return state, words


@pytest.fixture
def spellings(live: Callable[[str], str], tmp_path: Path) -> tuple[str, str]:
    """Two addresses of one folder that holds a collection."""
    live("edge")
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    addresses = f"edge:{tmp_path / 'real' / 'data'}", f"edge:{tmp_path / 'link' / 'data'}/"
    with qa.open(addresses[0]) as db:
        rows = np.random.default_rng(0).normal(size=(400, 16)).astype(np.float32)
        db.create("articles", dim=16).write(qa.Batch(range(400), {"": rows}))
    return addresses


def test_one_of_two_concurrent_processes_applies(spellings: tuple[str, str]) -> None:
    children = [_start(*each) for each in zip(spellings, ("binary", "scalar"), strict=True)]
    for child in children:
        _go(child)
    told = [_told(child) for child in children]
    states = sorted(state for state, _ in told)
    if states == ["applied", "applied"]:  # the machine let one run to its end before the other
        assert [each.state for each in qa.history()] == ["applied", "applied"]
        return
    assert states in (["BusyError", "applied"], ["PlanStaleError", "applied"])
    winner = next(at for at, (state, _) in enumerate(told) if state == "applied")
    if states[0] == "BusyError":  # otherwise it had planned before the other one applied
        (refused,) = [words for state, words in told if state == "BusyError"]
        assert f"process {children[winner].pid}, since 20" in refused
        assert f"kill {children[winner].pid}" in refused
    with qa.open(spellings[0]) as db:
        vector = db["articles"].info().vectors[""]
        assert vector.quantization.kind == ("binary", "scalar")[winner]
        assert vector.status.state == "active"
    assert [each.state for each in qa.history()] == ["applied"]


@pytest.mark.parametrize(
    ("address", "wanted", "accept"),
    [
        ("sqlite-vec:{}/notes.db", ("binary", "scalar"), "differs"),
        *(
            pytest.param(*case, marks=pytest.mark.long)  # each process imports a large client
            for case in (
                ("lancedb:{}", ("scalar", "rotational"), "differs"),
                ("qdrant:{}", ("binary", "scalar"), "client"),
                ("milvus:{}/notes.db", ("scalar", "scalar:rescore=4"), "differs"),
            )
        ),
    ],
    ids=["sqlite-vec", "lancedb", "local mode", "Milvus Lite"],
)
def test_one_of_two_processes_applies_on_other_databases(
    address: str, wanted: tuple[str, str], accept: str, tmp_path: Path
) -> None:
    """Each process applies its setting and leaves it active, or is refused and changes nothing."""
    address = address.format(tmp_path)
    with qa.open(address) as db:
        rows = np.random.default_rng(0).normal(size=(400, 16)).astype(np.float32)
        db.create("articles", dim=16).write(qa.Batch(range(400), {"": rows}))
    children = [_start(address, setting, accept) for setting in wanted]
    for child in children:
        _go(child)
    told = [_told(child) for child in children]
    states = [state for state, _ in told]
    assert "applied" in states and set(states) <= {"applied", "BusyError", "PlanStaleError"}, told
    assert all(state == "applied" or "\n  " in words for state, words in told), "a next step"
    done = {setting for setting, state in zip(wanted, states, strict=True) if state == "applied"}
    with qa.open(address) as db:
        vector = db["articles"].info().vectors[""]
    assert str(vector.quantization.kind) in {setting.split(":")[0] for setting in done}
    assert vector.status.state == "active"
    assert {each.state for each in qa.history()} == {"applied"}


def test_a_rebuild_keeps_its_lock(
    spellings: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine's own lock is free whenever a rebuild or a configuration begins."""
    told: list[tuple[str, str]] = []
    child = _start(spellings[1], "scalar")
    begin = optimize.rebuild

    def in_the_gap(*given: object) -> None:
        _go(child)
        told.append(_told(child))
        begin(*given)  # type: ignore[arg-type]

    monkeypatch.setattr("qadapt.stores.qdrant.edge.changes.rebuild", in_the_gap)
    with qa.open(spellings[0]) as db:
        change = db["articles"].plan("binary").apply(yes=True)
        assert (change.state, str(change.status.state)) == ("applied", "active")
    ((state, words),) = told
    assert state == "BusyError"
    assert f"process {os.getpid()}" in words


def test_a_refused_change_names_the_lock_holder(spellings: tuple[str, str]) -> None:
    with qa.open(spellings[0]) as db:
        plan = db["articles"].plan("binary")
        refused: list[str] = []

        def meanwhile(_: object) -> None:
            with pytest.raises(BusyError) as caught:
                plan.apply(yes=True)
            refused.append(str(caught.value))

        db["articles"].plan("scalar").apply(yes=True, progress=meanwhile)
    assert f"'articles' is being changed by this process ({os.getpid()}), since" in refused[0]


def test_a_plan_that_a_change_of_another_process_prevents_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weaviate cannot replace a quantizer in place, and the error named no other process."""
    address = f"sqlite-vec:{tmp_path}/notes.db"
    with qa.open(address) as db:
        articles = db.create("articles", dim=16)
        articles.write(qa.Batch(range(400), {"": np.eye(400, 16) + 1}))
        child = _start(address, "binary")
        _go(child)
        assert _told(child) == ("applied", "")

        def cannot(*_: object) -> None:
            raise UnsupportedError("cannot change binary to scalar in place", hint="copy it")

        monkeypatch.setattr(type(db._store), "plan_change", cannot)
        with pytest.raises(PlanStaleError, match="just changed 'articles' to binary") as caught:
            articles.plan("scalar")
        (change,) = qa.history()
        assert f"qadapt undo {change.id}" in str(caught.value) and "copy it" in str(caught.value)
        assert "cannot change binary to scalar" in str(caught.value)
        monkeypatch.setattr("qadapt.planning.conflicts.RECENT", 0.0)  # long ago
        with pytest.raises(UnsupportedError):
            articles.plan("scalar")


# -- the lock itself -----------------------------------------------------------------------------


def test_a_dead_holder_is_not_named(tmp_path: Path) -> None:
    """A killed process is not reported as the lock holder."""
    lock, other = Lock(tmp_path / "a.lock"), Lock(tmp_path / "a.lock")
    lock.acquire()
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    holder = tmp_path / "a.lock.holder"
    told = json.loads(holder.read_text(encoding="utf-8"))
    for wrong in ({**told, "pid": gone.pid}, {**told, "pid": True}, [], {"pid": -1}):
        holder.write_text(json.dumps(wrong), encoding="utf-8")
        with pytest.raises(LockHeldError) as caught:
            other.acquire()
        assert caught.value.holder == Holder()
        assert str(caught.value.holder) == "another process"
    lock.release()
    assert not holder.exists()
    other.acquire()
    assert other.held
    other.release()
    other.release()
