"""Atomic writes of files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from qadapt.durable import atomic_write, mark, remove_leftovers, sync_folder


def test_a_file_is_replaced_without_leftovers(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for text in ("old", "newer: é☃"):
        atomic_write(path, text)
        assert path.read_text(encoding="utf-8") == text
    assert list(tmp_path.iterdir()) == [path]
    sync_folder(tmp_path)


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failed_write_keeps_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "a.json"
    atomic_write(path, "old")

    def full(*_: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, step, full)
    with pytest.raises(OSError, match="no space"):
        atomic_write(path, "new")
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        atomic_write(tmp_path / "no" / "a.json", "text")


# -- cleanup -------------------------------------------------------------------------------------


def dead_mark() -> str:
    """The mark of a process that has ended."""
    code = "from qadapt.durable import mark; print(mark())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_only_leftovers_of_dead_processes_are_removed(tmp_path: Path) -> None:
    dead, other = dead_mark(), mark()
    gone = [tmp_path / f".a.{dead}", tmp_path / f".a.folder-{dead}"]
    kept = [tmp_path / f".a.{other}", tmp_path / f".b.{dead}", tmp_path / ".a.json", tmp_path / "a"]
    # Marks of another machine, and of a reused process id.
    kept.append(tmp_path / f".a.q00000000-{dead.partition('-')[2]}")
    host, unique = other.partition("-")[0], other.rpartition("-")[2]
    if sys.platform.startswith("linux"):
        gone.append(tmp_path / f".a.{host}-{os.getpid()}-1-{unique}")
    for path in (*gone, *kept):
        if path.name.startswith(".a.folder"):
            (path / "deep").mkdir(parents=True)
        else:
            path.write_text("x")
    assert sorted(remove_leftovers(tmp_path, ".a.")) == sorted(gone)
    assert sorted(tmp_path.iterdir()) == sorted(kept)
    assert remove_leftovers(tmp_path / "none", ".a.") == []


def test_a_partial_file_is_removed_by_the_next_write(tmp_path: Path) -> None:
    left = tmp_path / f".a.json.{dead_mark()}"
    left.write_text("half")
    atomic_write(tmp_path / "a.json", "whole")
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
