"""Index building is deferred during the load, and resumed after any interruption."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from migration_help import DIM, rows
from slow import SLOW

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.errors import StoreTimeoutError, TransientError

Ends = Callable[[str], Database]
CHILD = Path(__file__).with_name("bulk_load_child.py")


class Switch:
    """Records the calls to a target in order."""

    def __init__(self, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[Any] = []
        store = database._store
        write = store.write

        def written(name: str, batch: qa.Batch) -> None:
            if self.calls[-1:] != ["write"]:
                self.calls.append("write")
            write(name, batch)

        monkeypatch.setattr(store, "bulk_load_settings", lambda _: {"threshold": 7})
        monkeypatch.setattr(store, "begin_bulk_load", lambda _: self.calls.append("begin"))
        monkeypatch.setattr(store, "end_bulk_load", self.end)
        monkeypatch.setattr(store, "settle", lambda *_: self.calls.append("settle"))
        monkeypatch.setattr(store, "write", written)

    def end(self, _: str, former: Mapping[str, Any]) -> None:
        self.calls.append(dict(former))


def test_index_building_is_deferred_during_the_load(
    source: Collection, ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = ends("edge")
    switch = Switch(there, monkeypatch)
    assert qa.migrate(source, (there, "docs"), trial_copy=False).state == "done"
    assert switch.calls == ["begin", "write", {"threshold": 7}, "settle"]
    assert qa.migrate(source, (there, "docs")).state == "done"
    assert switch.calls[4:] == []  # nothing is left to restore
    qa.migrate(source, (there, "docs"), restart=True)
    assert switch.calls[4:] == ["write"]  # it may be searched already


def test_an_existing_target_keeps_building_its_index(
    source: Collection, ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = ends("edge")
    there.create("docs", dim=DIM, metric="dot")
    switch = Switch(there, monkeypatch)
    qa.migrate(source, (there, "docs"), allow=["existing-target"])
    assert switch.calls == ["write"]


def test_settings_are_restored_after_a_failed_copy_is_resumed(
    source: Collection, ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = ends("edge")
    switch = Switch(there, monkeypatch)
    with monkeypatch.context() as patched:
        patched.setattr(there._store, "write", _away)
        with pytest.raises(TransientError):
            qa.migrate(source, (there, "docs"), trial_copy=False, retry_timeout=0.1)
    assert switch.calls == ["begin"]
    assert qa.migrate(source, (there, "docs"), restart=True).state == "done"
    assert switch.calls == ["begin", "begin", "write", {"threshold": 7}, "settle"]


def test_the_next_run_waits_for_an_index_that_timed_out(
    source: Collection, ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = ends("edge")
    switch = Switch(there, monkeypatch)
    with monkeypatch.context() as patched:
        patched.setattr(there._store, "settle", _late)
        with pytest.raises(StoreTimeoutError):
            qa.migrate(source, (there, "docs"), trial_copy=False)
    assert qa.migrate(source, (there, "docs")).state == "done"
    assert switch.calls == ["begin", "write", {"threshold": 7}, {"threshold": 7}, "settle"]


@pytest.mark.slow
@pytest.mark.parametrize("when", ["begun", "copying", "ended"] if SLOW else ["copying"])
def test_the_next_run_restores_settings_after_kill(tmp_path: Path, when: str) -> None:
    pytest.importorskip("qdrant_edge")
    source, target = (f"edge:{tmp_path / name}#docs" for name in "ab")
    with qa.open(f"edge:{tmp_path / 'a'}") as here:
        made = here.create("docs", dim=DIM, metric="dot")
        made.write(qa.Batch(range(500), {"": rows(500)}))
    switch = tmp_path / "switch"
    switch.write_text("on")
    words = [sys.executable, str(CHILD), source, target, str(switch)]
    killed = subprocess.run([*words, when], capture_output=True, timeout=100, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert switch.read_text() == ("on" if when == "ended" else "off")
    done = subprocess.run([*words, "never"], capture_output=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert switch.read_text() == "on"
    assert qa.check(source, target).passed


def _away(*_: Any) -> None:
    raise TransientError("connection lost")


def _late(*_: Any) -> None:
    raise StoreTimeoutError("not built in time")
