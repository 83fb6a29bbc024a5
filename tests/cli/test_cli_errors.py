"""Exit codes, error blocks, JSON of errors, secrets, helps."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from slow import some

import qadapt
from qadapt import errors
from qadapt.planning import journal

COMMANDS = [
    "stores", "matrix", "inspect", "schema", "plan", "apply", "undo", "history", "verify",
    "search", "eval", "simulate", "advise", "cost", "doctor", "report", "migrate", "check",
    "export", "import", "alias", "demo",
]  # fmt: skip

Cli = Callable[..., Any]


# -- help and version --------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_has_examples_and_the_common_options(cli: Cli, command: str, flag: str) -> None:
    ran = cli(command, flag)
    assert (ran.code, ran.err) == (0, "")
    assert "Examples:" in ran.out
    assert f"    qadapt {command}" in ran.out
    for option in ("--json", "--quiet", "--verbose", "--timeout", "--no-color", "--log-json"):
        assert option in ran.out
    assert max(len(line) for line in ran.out.splitlines()) <= 90


def test_the_list_of_commands_is_not_truncated(cli: Cli) -> None:
    ran = cli("-h")
    assert ran.code == 0
    for command in COMMANDS:
        assert f"  {command} " in ran.out
    assert "..." not in ran.out.partition("Commands:")[2]


def test_without_a_command_help_is_shown(cli: Cli) -> None:
    ran = cli()
    assert ran.code == 2
    assert "Commands:" in ran.out


def test_version(cli: Cli) -> None:
    assert cli("--version").out == f"qadapt {qadapt.__version__}\n"
    assert cli("--version", "--json").json == {"qadapt": qadapt.__version__}


# -- usage errors ------------------------------------------------------------------------------


WRONG = [
    (["aply"], "'apply'"),
    (["plan", "--jsn"], "--json"),
    (["inspect"], "inspect --help"),
    (["schema", "Plann"], "did you mean 'Plan'?"),
    (["matrix", "egde"], "did you mean 'edge'?"),
    (["plan", "edge:x", "articles", "binry"], "did you mean 'binary'?"),
    (["plan", "edge:x", "articles", "binary:query_bit=8"], "did you mean 'query_bits'?"),
    (["plan", "edge:x", "articles", "binary", "--accept", "exat"], "did you mean 'exact'?"),
    (["plan", "edge:x"], "COLLECTION and QUANTIZATION missing"),
    (["plan", "-f", "no.yaml"], "no.yaml"),
    (["plan", "edge:x", "-f", "no.yaml"], "read from the spec file"),
    (["plan", "http://localhost:6333", "a", "binary"], "qdrant+http"),
    (["apply", "no-such-plan.json"], "no plan file"),
    (["apply", "edge:x"], "COLLECTION and QUANTIZATION missing"),
    (["apply", "edge:x", "a", "binary", "--guard", "recall>1"], "recall@10>=0.95"),
    (["verify", "edge:x", "a", "--gate", "0.9"], "recall@10>=0.95"),
    (["verify", "edge:x", "a", "--gate", "recall@10>=0.9", "--k", "5"], "--k"),
    (["search", "edge:x", "a", "--queries", "no.npy"], "no.npy"),
    (["search", "edge:x", "a", "--queries", "q.npy", "--rescore", "many"], "rescore"),
    (["search", "edge:x", "a", "--queries", "q.npy", "--filter", "{"], "--filter"),
    (["search", "edge:x", "a", "--queries", "q.npy", "--filter", "[1]"], "--filter"),
    (["search", "edge:x", "a"], "--queries"),
    (["search", "edge:x", "a", "--queries", "q.npy", "--k", "ten"], "--k"),
    (["history", "--timeout", "0"], "--timeout"),
    (["history", "--timeout", "soon"], "--timeout"),
]


@pytest.mark.parametrize(("words", "told"), WRONG, ids=[" ".join(words) for words, _ in WRONG])
def test_usage_errors_exit_2_with_a_hint(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: list[str], told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = cli(*words)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: ")
    assert told in ran.err
    assert "Traceback" not in ran.err
    as_json = cli(*words, "--json")
    assert (as_json.code, as_json.err) == (2, "")
    error = as_json.json["error"]
    assert set(error) == {"type", "message", "hint"}
    assert told in f"{error['message']} {error['hint']}"


# -- one code for each class of failure --------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.StoreError("refused"), 1),
        (errors.UnreachableError("no answer"), 1),
        (errors.NotFoundError("no collection"), 1),
        (errors.MissingExtraError("qdrant_client", "qdrant", purpose="the store"), 1),
        (errors.ApplyError("a step failed"), 1),
        (errors.SpecError("unknown word"), 2),
        (errors.DimensionError(3, 4), 2),
        (errors.GuardMissedError("under the guard"), 3),
        (errors.PlanStaleError("changed since"), 4),
        (errors.ConsentRequiredError("needs consent"), 4),
        (KeyboardInterrupt(), 130),
        (RuntimeError("boom"), 1),
    ],
)
def test_exit_codes(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    def history() -> None:
        raise error

    monkeypatch.setattr(journal, "scan", history)
    ran = cli("history")
    assert (ran.code, ran.out) == (code, "")
    assert ran.err.startswith("error: ")
    assert "Traceback" not in ran.err
    told = cli("history", "--json")
    assert (told.code, told.err) == (code, "")
    assert set(told.json["error"]) == {"type", "message", "hint"}


def test_an_internal_error_is_reported_as_a_bug_with_a_traceback_in_verbose_mode(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def history() -> None:
        raise RuntimeError("boom at http://me:s3cret@host")

    monkeypatch.setattr(journal, "scan", history)
    short = cli("history")
    assert "RuntimeError: boom" in short.err
    assert "this is a bug in qadapt" in short.err
    assert len(short.err.splitlines()) == 2
    long = cli("history", "-v")
    assert "Traceback" in long.err
    assert "s3cret" not in short.err + long.err


def test_an_interruption_prints_the_next_command(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def history() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(journal, "scan", history)
    ran = cli("history", "-q")
    assert ran.code == 130
    assert "run the command again: qadapt history -q" in ran.err
    assert cli("history", "--json").json["error"]["type"] == "Interrupted"


def test_the_time_limit_interrupts_code_that_catches_exceptions(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[int] = []

    def history() -> None:
        while True:
            try:
                time.sleep(60)
                slept.append(60)
            except Exception:  # noqa: BLE001, S112 - a retry that swallows all there is
                continue

    monkeypatch.setattr(journal, "scan", history)
    ran = cli("history", "--timeout", "0.2", "--json")
    assert not slept, "the first wait was broken off"
    assert ran.code == 1
    assert ran.json["error"]["type"] == "StoreTimeoutError"
    assert "--timeout" in ran.json["error"]["hint"]


# -- secrets -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_no_output_shows_a_key(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)  # between attempts at a server
    key = secrets.token_hex(12)
    spec = tmp_path / "spec.yaml"
    urls = [
        f"qdrant+http://{key}@localhost:1",
        f"qdrant+http://me:{key}@localhost:1/x y",
        f"qdrant+http://localhost:1?api_key={key}",
        f"edge:{tmp_path}/db?api_key={key}",
        f"http://{key}@localhost:6333",
        f"nosuchstore+http://{key}@localhost:1",
    ]
    for url in some(urls, 2):
        spec.write_text(
            json.dumps({"store": url, "collections": {"a": {"quantization": "binary"}}})
        )
        for words in (
            ["inspect", url, "a"],
            ["plan", url, "a", "binary"],
            ["plan", "-f", spec],
            ["apply", url, "a", "binary"],
            ["apply", url],
            ["verify", url, "a"],
            ["search", url, "a", "--queries", spec],
            ["inspect", url, "a", "surplus"],
        ):
            for more in ([], ["--json"], ["-vv"]) if words[0] == "inspect" else ([],):
                ran = cli(*words, *more)
                assert ran.code != 0
                assert key not in ran.out + ran.err, words


def test_repeated_commands_contain_no_key(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    key = secrets.token_hex(12)

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(qadapt, "open", interrupted, raising=False)
    ran = cli("apply", f"qdrant+http://{key}@localhost:6333", "a", "binary")
    assert ran.code == 130
    assert "qadapt apply 'qdrant+http://***@localhost:6333' a binary" in ran.err
    assert key not in ran.err
