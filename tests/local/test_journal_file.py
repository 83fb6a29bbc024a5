"""The journal file: what is committed, who may read it, and errors of the system."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from qadapt.errors import BusyError, IntegrityError, QadaptError, StorageError, StoreError
from qadapt.local.journal_file import NAME, VALUE, JournalFile


def damaged(problem: str, newer: bool) -> IntegrityError:
    return IntegrityError(problem, hint="upgrade" if newer else "abandon")


def opened(folder: Path, **how: Any) -> JournalFile:
    return JournalFile(folder, 3, damaged, **{"create": True, **how})


@pytest.mark.parametrize("wal", [False, True])
def test_values_and_lists_are_read_by_another_process(tmp_path: Path, wal: bool) -> None:
    with opened(tmp_path, wal=wal) as file:
        file.put(VALUE, {"big": 2**64 - 1, "text": "\udcff☃", "none": None})
        file.append("event", {"a": 1}, {"a": 2})
        file.append("event", {"a": 3})
        file.put("event", {"0": {"a": 0}})
        with opened(tmp_path, create=False) as again:
            assert again.get(VALUE, "big") == 2**64 - 1
            assert again.get(VALUE, "text") == "\udcff☃"
            assert again.get(VALUE, "none", 1) is None
            assert again.get(VALUE, "other", 1) == 1
            assert again.items("event") == [{"a": 0}, {"a": 2}, {"a": 3}]
            assert again.items("nothing") == []
        file.clear()
        assert set(file.all(VALUE)) == {"format", "qadapt"}
        assert file.items("event") == []


def test_a_commit_is_durable(tmp_path: Path) -> None:
    for wal in (False, True):
        with opened(tmp_path, wal=wal) as file:
            (level,) = file._db.execute("PRAGMA synchronous").fetchone()
            assert level == 3  # EXTRA: FULL, and the folder is synced


def test_a_block_that_fails_changes_nothing(tmp_path: Path) -> None:
    with opened(tmp_path) as file:
        with pytest.raises(KeyboardInterrupt), file.changing():
            file.append("event", 1)
            file.put(VALUE, {"a": 1})
            raise KeyboardInterrupt
        assert file.items("event") == []
        file.append("event", 2)
        assert file.items("event") == [2]


def test_threads_append_in_turn(tmp_path: Path) -> None:
    def append(file: JournalFile) -> None:
        for _ in range(5):
            file.append("event", 1)

    with opened(tmp_path, wal=True) as file:
        threads = [threading.Thread(target=append, args=(file,)) for _ in range(8)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert file.items("event") == [1] * 40


def test_folder_and_file_are_for_their_owner_only(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        with opened(tmp_path / "a" / "b", wal=True) as file:
            file.put(VALUE, {"a": 1})
            found = {each.name: each.stat().st_mode & 0o777 for each in file.path.parent.iterdir()}
    finally:
        os.umask(old)
    assert set(found.values()) == {0o600}
    assert len(found) == 3, "with the write-ahead log"
    for folder in (tmp_path / "a", tmp_path / "a" / "b"):
        assert folder.stat().st_mode & 0o777 == 0o700


# -- processes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("wal", [False, True])
def test_a_forked_process_is_refused_and_harms_nothing(tmp_path: Path, wal: bool) -> None:
    with opened(tmp_path, wal=wal) as file:
        file.append("event", 1)
        child = os.fork()
        if not child:
            code = 1
            try:
                file.items("event")
            except StoreError as error:
                code = 0 if "fork" in str(error) and error.hint else 2
            file.close()
            with opened(tmp_path, create=False) as again:
                again.append("event", 2)
            os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        file.append("event", 3)
        assert file.items("event") == [1, 2, 3]


def test_a_lock_of_another_process_is_waited_for_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(tmp_path).close()
    monkeypatch.setattr("qadapt.local.journal_file._PATIENCE", 0.05)
    with closing(sqlite3.connect(tmp_path / NAME, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(BusyError, match="locked") as caught:
            opened(tmp_path)
        assert str(tmp_path) in str(caught.value)
        other.execute("ROLLBACK")
        with opened(tmp_path) as file:
            other.execute("BEGIN IMMEDIATE")
            assert file.get(VALUE, "format") == 3
            with pytest.raises(BusyError, match="locked"):
                file.put(VALUE, {"a": 1})
            other.execute("ROLLBACK")
            file.put(VALUE, {"a": 1})


APPEND = """
import sys
from pathlib import Path
from qadapt.local.journal_file import JournalFile
at = 0
while True:
    with JournalFile(Path(sys.argv[1]), 3, ValueError) as file:
        with file.changing():
            file.append("event", {"number": at, "text": "x" * 3000})
            file.append("other", at)
    at += 1
    print(at, flush=True)
"""


def test_what_was_committed_survives_kills(tmp_path: Path) -> None:
    """Both lists of a commit are there, or none."""
    for _ in range(10):
        with opened(tmp_path) as file:
            file.clear()
        with subprocess.Popen(
            [sys.executable, "-c", APPEND, str(tmp_path)], stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            for _ in range(3):
                child.stdout.readline()
            child.send_signal(signal.SIGKILL)
            acknowledged = 3 + len(child.stdout.readlines())
        with opened(tmp_path, create=False) as file:
            found = file.items("event")
            assert [each["number"] for each in found] == list(range(len(found)))
            assert file.items("other") == list(range(len(found)))
        assert acknowledged <= len(found) <= acknowledged + 1


def _append_some(folder: Path) -> None:
    for _ in range(20):
        with opened(folder, create=False) as file:
            file.append("event", os.getpid())


def test_two_processes_append_to_one_file(tmp_path: Path) -> None:
    opened(tmp_path).close()
    context = multiprocessing.get_context("spawn")
    children = [context.Process(target=_append_some, args=(tmp_path,)) for _ in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join()
        assert child.exitcode == 0
    with opened(tmp_path, create=False) as file:
        assert len(file.items("event")) == 40


# -- the system ----------------------------------------------------------------------------------


@contextmanager
def _limited(kind: int, limit: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(kind, (soft, hard))


def test_a_full_disk_is_a_storage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path) as file:
        file._db.execute("PRAGMA max_page_count = 5")
        with pytest.raises(StorageError, match="full") as caught:
            file.put(VALUE, {"a": "x" * 100_000})
        assert "disk space" in str(caught.value.hint)
        file._db.execute("PRAGMA max_page_count = 1000")
        assert file.get(VALUE, "a") is None
        file.put(VALUE, {"a": 1})


def test_a_limit_of_file_sizes_is_a_storage_error(tmp_path: Path) -> None:
    with opened(tmp_path) as file:
        before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        try:
            with _limited(resource.RLIMIT_FSIZE, 20_000), pytest.raises(StorageError):
                file.put(VALUE, {"a": "x" * 100_000})
        finally:
            signal.signal(signal.SIGXFSZ, before)
        assert file.get(VALUE, "a") is None


def test_a_limit_of_open_files_is_no_damage(tmp_path: Path) -> None:
    opened(tmp_path).close()
    used = [os.open(os.devnull, os.O_RDONLY)]
    try:
        with (
            _limited(resource.RLIMIT_NOFILE, used[0] + 1),
            pytest.raises(StorageError, match="open files") as caught,
        ):
            opened(tmp_path, create=False)
        assert "ulimit -n" in str(caught.value.hint)
    finally:
        os.close(used[0])
    opened(tmp_path, create=False).close()


@pytest.mark.parametrize("how", ["folder", "file", "link", "missing", "empty"])
def test_a_file_that_is_none_is_damaged(tmp_path: Path, how: str) -> None:
    folder = tmp_path / "a"
    if how in ("missing", "empty", "folder"):
        folder.mkdir()
    damages: dict[str, Callable[[], Any]] = {
        "folder": (folder / NAME).mkdir,
        "file": folder.touch,
        "link": lambda: folder.symlink_to("nowhere"),
        "missing": lambda: None,
        "empty": (folder / NAME).touch,
    }
    damages[how]()
    with pytest.raises(IntegrityError):
        opened(folder, create=False)


def test_a_newer_format_is_refused_by_name(tmp_path: Path) -> None:
    with JournalFile(tmp_path, 4, damaged, create=True) as file:
        file.put(VALUE, {"qadapt": "9.9"})
    with pytest.raises(IntegrityError, match=r"written by qadapt 9\.9 in format 4") as caught:
        opened(tmp_path)
    assert caught.value.hint == "upgrade"
    with pytest.raises(IntegrityError, match=r"has the format 4; this version reads 5"):
        JournalFile(tmp_path, 5, damaged)


def test_a_read_only_folder_can_be_read() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "journal"
        with opened(folder) as file:
            file.put(VALUE, {"a": 1})
        file.path.chmod(0o444)
        folder.chmod(0o555)
        Path(name).chmod(0o755)
        child = os.fork()
        if not child:
            code = 1
            try:
                if os.geteuid() == 0:
                    os.setuid(65534)
                with opened(folder, create=False) as file:
                    assert file.get(VALUE, "a") == 1
                    with pytest.raises(StorageError, match="cannot be used"):
                        file.put(VALUE, {"a": 2})
                code = 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        folder.chmod(0o700)


def test_errors_of_the_caller_are_not_damage(tmp_path: Path) -> None:
    with opened(tmp_path) as file, pytest.raises(QadaptError, match="mine"), file.changing():
        raise QadaptError("mine")
