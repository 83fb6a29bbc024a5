"""A state folder that is read-only, full, of another user, or a file: commands that only read still
work if they can, and all others name the folder and what to do."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import qadapt as qa
from qadapt.local.state import STATE_VARIABLE

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")

DIM, ROWS = 16, 60
# Runs each command of a JSON list in this process, and prints codes and outputs.
RUN = """
import contextlib, io, json, sys
from qadapt.cli import main
done = []
for words in json.loads(sys.argv[1]):
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
        code = main(words)
    done.append([code, text.getvalue()])
print(json.dumps(done))
"""
_DROP_CAPABILITY, _CAPABILITIES = 24, 41  # prctl(2), capabilities(7)


def _without_capabilities() -> None:
    """Let modes of files apply to root, too."""
    system = ctypes.CDLL(None)
    for number in range(_CAPABILITIES if os.geteuid() == 0 else 0):
        system.prctl(_DROP_CAPABILITY, number, 0, 0, 0)


def run(*commands: list[str], limit: int | None = None) -> list[tuple[int, str]]:
    """Exit code and output of each command.

    Args:
        limit: largest file in bytes that the commands may write.
    """

    def prepare() -> None:
        _without_capabilities()
        if limit is not None:
            import resource
            import signal

            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RUN, json.dumps(commands)],
        capture_output=True, text=True, check=False, preexec_fn=prepare,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [tuple(each) for each in json.loads(done.stdout)]


class World:
    """A database with a collection of remembered settings, and the commands for it."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"
        self.url = f"sqlite-vec:{folder / 'a.db'}"
        self.folder = folder
        rows = np.random.default_rng(0).normal(size=(ROWS, DIM))
        with qa.open(self.url) as db:
            for name in ("notes", "plain"):
                db.create(name, dim=DIM).write(qa.Batch(range(ROWS), {"": rows}))
            db["notes"].plan("binary:rescore=4").apply(yes=True)
        np.save(folder / "q.npy", rows[:3].astype("f4"))
        qa.export_file(f"{self.url}#plain", folder / "rows.parquet")

    @property
    def reading(self) -> list[list[str]]:
        """Commands that change nothing."""
        url, output = self.url, self.folder / "output.parquet"
        return [
            ["history"],
            ["inspect", url],
            ["plan", url, "plain", "binary:rescore=4"],
            ["search", url, "notes", "--queries", str(self.folder / "q.npy")],
            ["verify", url, "notes"],
            ["doctor", url, "notes"],
            ["cost", url, "notes"],
            ["simulate", url, "plain", "binary"],
            ["eval", url, "notes", "--concurrency", "0"],
            ["check", f"{url}#notes", f"{url}#plain"],
            ["export", f"{url}#notes", str(output)],
            ["client-params", url, "notes"],
            ["watch", url, "notes", "--once"],
        ]

    @property
    def changing(self) -> list[list[str]]:
        """Commands that write to the state folder."""
        url = self.url
        return [
            ["apply", url, "plain", "binary:rescore=4", "--yes"],
            ["apply", url, "notes", "none", "--yes"],
            ["eval", url, "plain", "binary", "--concurrency", "0"],
            ["import", str(self.folder / "rows.parquet"), f"{url}#new"],
            ["migrate", f"{url}#plain", f"{url}#copy"],
        ]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path / "state"))
    monkeypatch.setenv("QADAPT_CACHE_DIR", str(tmp_path / "cache"))
    return World(tmp_path)


def _read_only(state: Path) -> None:
    for path in [state, *state.rglob("*")]:
        path.chmod(0o500 if path.is_dir() else 0o400)


def _missing_in_read_only(state: Path) -> None:
    state.rename(state.with_name("old"))
    state.mkdir(mode=0o500)


def _file(state: Path) -> None:
    state.rename(state.with_name("old"))
    state.write_text("notes")


def _of_another(state: Path) -> None:
    state.chmod(0)  # to this user the same as a folder of another


@pytest.mark.parametrize("spoil", [_read_only, _missing_in_read_only])
def test_commands_that_only_read_work_without_writing(
    world: World, spoil: Callable[[Path], None]
) -> None:
    spoil(world.state)
    for words, (code, printed) in zip(world.reading, run(*world.reading), strict=True):
        assert code == 0, (words, printed)


@pytest.mark.parametrize("spoil", [_read_only, _missing_in_read_only, _file, _of_another])
def test_other_commands_name_the_folder_and_what_to_do(
    world: World, spoil: Callable[[Path], None]
) -> None:
    spoil(world.state)
    commands = world.changing
    if spoil in (_file, _of_another):
        commands += world.reading[1:4]
    for words, (code, printed) in zip(commands, run(*commands), strict=True):
        assert code == 1, (words, printed)
        assert str(world.state) in printed, (words, printed)
        assert STATE_VARIABLE in printed, (words, printed)
        assert "a bug in qadapt" not in printed, (words, printed)
    with qa.open(world.url) as db:
        assert sorted(db.collections()) == ["notes", "plain"]


def test_a_full_disk_is_named(world: World) -> None:
    """No file can be written: the same calls fail as on a full disk."""
    for words, (code, printed) in zip(world.changing, run(*world.changing, limit=0), strict=True):
        assert code == 1, (words, printed)
        assert "a bug in qadapt" not in printed, (words, printed)
        assert "hint:" in printed, (words, printed)


@pytest.mark.parametrize(
    ("scheme", "advice"),
    [
        ("chroma", "give this user write permission"),
        ("clickhouse", "give this user write permission"),
        ("edge", "check the permissions of the folder"),
        ("sqlite-vec", "open the file with write permission"),
        ("lancedb", ""),  # reads without writing
    ],
)
def test_a_database_in_a_read_only_folder(
    scheme: str, advice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path / "state"))
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).normal(size=(ROWS, DIM)).astype("f4"))
    folder = tmp_path / "data"
    folder.mkdir()
    url = f"{scheme}:{folder}" + ("/a.db" if scheme == "sqlite-vec" else "")
    ((code, printed),) = run(["import", str(tmp_path / "rows.npy"), f"{url}#docs"])
    assert code == 0, printed
    _read_only(folder)
    ((code, printed),) = run(["inspect", url])
    assert code == (1 if advice else 0), printed
    assert advice in printed.replace("\n  ", " ")
    assert "a bug in qadapt" not in printed
