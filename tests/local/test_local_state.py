"""Saved settings: atomic, one writer at a time, no secrets."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import qadapt as qa
from qadapt.errors import BusyError, IntegrityError, StorageError
from qadapt.local import state
from qadapt.local.state import Settings, VectorSettings
from qadapt.model.address import Address

HERE = Address.parse("edge:/data")


def settings(factor: float = 4) -> Settings:
    return Settings({"": VectorSettings(qa.Rescore(factor), qa.binary(query_bits=8))})


def only_file(folder: Path) -> Path:
    (path,) = (folder / "settings").iterdir()
    return path


def test_there_are_no_settings_at_first() -> None:
    assert state.read_settings(HERE, "articles") == Settings()
    assert Settings().of("title") == VectorSettings()


def test_saved_settings_are_read() -> None:
    state.write_settings(HERE, "articles", settings())
    assert state.read_settings(HERE, "articles") == settings()
    assert state.read_settings(HERE, "books") == Settings()
    assert state.read_settings(Address.parse("edge:/other"), "articles") == Settings()


def test_spellings_of_an_address_share_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    state.write_settings(Address.parse("edge:./data"), "articles", settings())
    absolute = Address.parse(f"edge:{tmp_path / 'data'}")
    assert state.read_settings(absolute, "articles") == settings()


def test_removing_the_last_setting_removes_the_file(state_folder: Path) -> None:
    state.write_settings(HERE, "articles", settings())
    assert only_file(state_folder).exists()
    state.write_settings(HERE, "articles", settings().with_vector("", VectorSettings()))
    assert list((state_folder / "settings").iterdir()) == []


def test_vectors_have_separate_settings() -> None:
    both = settings().with_vector("title", VectorSettings(rescore=qa.Rescore(2)))
    assert both.of("").client == qa.binary(query_bits=8)
    assert both.of("title").rescore == qa.Rescore(2)
    assert both.with_vector("", VectorSettings()).of("title").rescore == qa.Rescore(2)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        '{"settings": []}',
        '{"settings": {"vectors": {"": {"rescore": {"oversampling": 0.5}}}}}',
        '{"settings": {"vectors": {"": {"unheard_of": 1}}}}',
        b"\xff\xfe",
    ],
)
def test_a_damaged_file_is_reported_with_a_hint(state_folder: Path, content: str | bytes) -> None:
    state.write_settings(HERE, "articles", settings())
    path = only_file(state_folder)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(IntegrityError, match="damaged") as caught:
        state.read_settings(HERE, "articles")
    assert str(path) in str(caught.value)
    assert caught.value.hint


def test_a_failing_write_leaves_the_old_file(
    state_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state.write_settings(HERE, "articles", settings())

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space") as caught:
        state.write_settings(HERE, "articles", settings(8))
    monkeypatch.undo()
    assert "free disk space" in str(caught.value.hint)
    assert json.loads(only_file(state_folder).read_text(encoding="utf-8"))


KILLED = """
import os, signal, sys
import qadapt as qa
from qadapt.local import state
from qadapt.model.address import Address

left = int(sys.argv[1])

def audit(event, values):
    global left
    if event in ("open", "os.rename", "os.remove", "os.truncate") and "settings" in str(values[0]):
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

each = state.VectorSettings(qa.Rescore(8), qa.binary())
many = state.Settings({f"v{number}": each for number in range(300)})
sys.addaudithook(audit)
state.write_settings(Address.parse("edge:/data"), "articles", many)
"""


def test_a_writer_killed_at_any_moment_leaves_the_old_or_the_new_file() -> None:
    """A process kills itself before each file that it opens, moves or removes."""
    old = settings()
    state.write_settings(HERE, "articles", old)
    for moment in range(1, 20):
        done = subprocess.run([sys.executable, "-c", KILLED, str(moment)], check=False)
        found = state.read_settings(HERE, "articles")
        if done.returncode == 0:
            assert len(found.vectors) == 300
            assert set(found.vectors.values()) == {VectorSettings(qa.Rescore(8), qa.binary())}
            break
        assert done.returncode == -signal.SIGKILL
        assert found == old or len(found.vectors) == 300
    assert 3 <= moment < 19, "all moments were reached"


@pytest.mark.parametrize(
    "text",
    [
        "qdrant+http://SECRET@host:6333",
        "qdrant+http://host:6333?api_key=SECRET",
        "milvus+https://user:SECRET@host:6333?grpc=1",
    ],
)
def test_no_key_is_ever_written(state_folder: Path, text: str) -> None:
    address = Address.parse(text)
    state.write_settings(address, "articles", settings())
    written = only_file(state_folder).read_text(encoding="utf-8")
    assert "SECRET" not in written
    assert "host:6333" in written


def test_a_new_state_folder_is_made_by_the_first_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QADAPT_STATE_DIR", str(tmp_path / "a" / "b"))
    assert state.state_dir() == tmp_path / "a" / "b"
    assert not state.state_dir().exists()  # reading does not create it
    state.write_settings(HERE, "articles", settings())
    assert stat.S_IMODE(state.state_dir().stat().st_mode) == 0o700


def test_without_the_variable_the_users_state_folder_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("QADAPT_STATE_DIR")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    assert state.state_dir().is_relative_to(tmp_path)
    assert "qadapt" in state.state_dir().name


def test_forget_drops_state_of_one_collection_only() -> None:
    for name in ("articles", "books"):
        state.write_settings(HERE, name, settings())
        state.index_dir(HERE, name, "").mkdir(parents=True)
    state.forget(HERE, "articles")
    assert state.read_settings(HERE, "articles") == Settings()
    assert not state.index_dir(HERE, "articles", "").exists()
    assert state.read_settings(HERE, "books") == settings()
    assert state.index_dir(HERE, "books", "").exists()


# -- the lock ------------------------------------------------------------------------------------

HOLD = (
    "import sys\n"
    "from qadapt.local import state\n"
    "from qadapt.model.address import Address\n"
    "with state.exclusive(Address.parse('edge:/data'), 'articles'):\n"
    "    print('held', flush=True)\n"
    "    sys.stdin.read()\n"
)


def holder() -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_one_change_at_a_time_across_processes() -> None:
    with holder() as other:
        with pytest.raises(BusyError, match="articles"), state.exclusive(HERE, "articles"):
            pass
        with state.exclusive(HERE, "books"):
            pass  # another collection is free
        assert other.stdin is not None
        other.stdin.close()
        assert other.wait() == 0
    with state.exclusive(HERE, "articles"):
        pass


def test_a_killed_process_leaves_no_lock() -> None:
    with holder() as other:
        other.kill()
        other.wait()
    with state.exclusive(HERE, "articles"):
        pass


def test_one_change_at_a_time_in_one_process() -> None:
    with (
        state.exclusive(HERE, "articles"),
        pytest.raises(BusyError),
        state.exclusive(HERE, "articles"),
    ):
        pass
    with pytest.raises(KeyError), state.exclusive(HERE, "articles"):
        raise KeyError
    with state.exclusive(HERE, "articles"):
        pass
