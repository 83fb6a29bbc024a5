"""The log of commands: lines of JSON on standard error, without secrets."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

Cli = Callable[..., Any]


def lines(text: str) -> list[dict[str, Any]]:
    """The records; a line that is no JSON object is an error."""
    found = [json.loads(line) for line in text.splitlines()]
    for each in found:
        assert {"time", "level", "logger", "message"} <= set(each)
        assert each["time"].endswith("+00:00")
    return found


def test_commands_log_their_start_progress_and_end(cli: Cli, articles: str) -> None:
    for words, last in (
        (("plan", articles, "articles", "binary"), 0),
        (("apply", articles, "articles", "binary:rescore=4", "--yes"), 0),
        (("verify", articles, "articles", "--gate", "recall@10>=0.99999"), 3),
        (("undo",), 0),
        (("history",), 0),
        (("cost", "--rows", "10", "--dim", "8", "--setting", "binary"), 0),
    ):
        ran = cli(*words, "--log-json")
        assert ran.code == last, ran.err
        first, *between, end = lines(ran.err)
        assert (first["message"], first["command"]) == ("command started", words[0])
        assert (end["message"], end["exit_code"]) == ("command finished", last)
        assert end["seconds"] >= 0
        if articles in words:
            assert end["target" if words[0] == "apply" else "url"] == articles
            assert end["collection"] == "articles"
        if words[0] == "apply":
            assert any(each["message"].startswith("step 1 of ") for each in between)
        assert ran.out  # the result is still text on standard output


def test_the_environment_variable_is_the_same_as_the_option(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QADAPT_LOG", "json")
    assert [each["message"] for each in lines(cli("stores", "--json").err)] == [
        "command started",
        "command finished",
    ]
    assert cli("stores", "--quiet").err == ""
    monkeypatch.setenv("QADAPT_LOG", "yaml")
    ran = cli("stores")
    assert ran.code == 2 and "QADAPT_LOG must be json; got 'yaml'" in ran.err


def test_progress_of_rows_has_fields(cli: Cli, articles: str, tmp_path: Any) -> None:
    ran = cli("export", f"{articles}#articles", tmp_path / "rows.parquet", "--log-json")
    assert ran.code == 0, ran.err
    progress = [each for each in lines(ran.err) if each["message"] == "progress"]
    assert progress and {"stage", "done", "total", "unit"} <= set(progress[-1])


def test_errors_are_records_without_secrets(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "s3cret-0123456789"
    monkeypatch.setenv("QADAPT_API_KEY", secret)
    for words, kind, code in (
        (("inspect", f"qdrant+http://me:{secret}@localhost:1?key=x", "a"), "AddressError", 2),
        (("inspect", "qdrant+http://localhost:1", "a", "--timeout", "1"), "StoreTimeoutError", 1),
        (("plan", "edge:./none", "articles", "binry"), "SpecError", 2),
        (("inspect",), "UsageError", 2),
    ):
        ran = cli(*words, "--log-json", "-v")
        assert ran.code == code, ran.err
        assert secret not in ran.err + ran.out
        (error,) = [each for each in lines(ran.err) if each["level"] == "error"]
        assert error["type"] == kind and error["message"]


def test_text_lines_are_written_once(cli: Cli) -> None:
    """The handler of the command line and that of the command are one."""
    ran = cli("stores", "-v")
    ended = [line for line in ran.err.splitlines() if "command finished" in line]
    assert len(ended) == 1
    assert "command=stores exit_code=0 seconds=" in ended[0]
    assert not logging.getLogger("qadapt").handlers
