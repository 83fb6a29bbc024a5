"""The command line as a user runs it: its own process, a terminal, Ctrl-C."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

import qadapt as qa

Cli = Callable[..., Any]
COMMAND = [sys.executable, "-m", "qadapt.cli"]
POSIX = pytest.mark.skipif(os.name != "posix", reason="needs POSIX: a pseudo terminal and signals")


class Terminal:
    """A command in a pseudo terminal of 80 columns."""

    def __init__(self, words: list[str], environment: Mapping[str, str]) -> None:
        import fcntl
        import pty
        import struct
        import termios

        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 80, 0, 0))
        self.child = subprocess.Popen(
            [*COMMAND, *words], env=environment, stdin=theirs, stdout=theirs, stderr=theirs
        )
        os.close(theirs)
        self.seen = ""

    def until(self, text: str, seconds: float = 30) -> str:
        """Read until ``text`` was seen, or to the end when it is empty."""
        end = time.monotonic() + seconds
        while (not text or text not in self.seen) and time.monotonic() < end:
            ready, _, _ = select.select([self._ours], [], [], 0.1)
            if not ready:
                continue
            try:
                chunk = os.read(self._ours, 65536)
            except OSError:  # end of the terminal on Linux
                chunk = b""
            if not chunk:
                break
            self.seen += chunk.decode("utf-8", "replace")
        assert text in self.seen, self.seen
        return self.seen

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def end(self) -> int:
        """Read to the end; the exit code."""
        self.until("")
        code = self.child.wait(30)
        os.close(self._ours)
        return code


Open = Callable[..., Terminal]


@pytest.fixture
def terminal(environment: Mapping[str, str]) -> Any:
    """``terminal("apply", ...)``: run it in a terminal."""
    opened: list[Terminal] = []

    def start(*words: object, **more: str) -> Terminal:
        opened.append(Terminal([str(word) for word in words], {**environment, **more}))
        return opened[-1]

    yield start
    for each in opened:
        with contextlib.suppress(ProcessLookupError):
            each.child.kill()
        each.child.wait()


def test_help_imports_nothing_heavy(environment: Mapping[str, str]) -> None:
    code = (
        "import sys; from qadapt.cli import main; main(['-h']); "
        "sys.exit(', '.join({'pydantic', 'rich', 'qadapt.api'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_piped_output_has_no_ansi_and_is_not_wrapped(process: Cli, articles: str) -> None:
    ran = process("inspect", articles, COLUMNS="40")
    assert ran.code == 0
    assert "\x1b" not in ran.out + ran.err
    header, row = ran.out.splitlines()[2:4]
    assert header.split() == [
        "Collection", "Rows", "Dim", "Metric", "Codes", "Vectors", "Verified", "Configured",
    ]  # fmt: skip
    assert header.index("Configured") == row.index("none")


@POSIX
def test_colors_are_used_on_terminals_unless_disabled(terminal: Open, articles: str) -> None:
    coloured = terminal("inspect", articles)
    assert coloured.end() == 0
    assert "\x1b[" in coloured.seen
    asked = terminal("inspect", articles, NO_COLOR="1")
    assert asked.end() == 0
    assert "\x1b[" not in asked.seen
    for each in (coloured, asked):
        lines = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", each.seen).splitlines()
        assert max(map(len, lines)) <= 80


@POSIX
def test_costs_fit_a_terminal_of_80_columns(terminal: Open, articles: str) -> None:
    ran = terminal("cost", articles, "articles", "--price", "3.8", "--no-color")
    assert ran.end() == 0
    assert "\x1b[" not in ran.seen
    lines = ran.seen.splitlines()
    assert max(map(len, lines)) <= 80
    # One line per setting: no word is broken, and the native configuration is listed below.
    rows = [" ".join(line.split()) for line in lines]
    for row in ("qdrant rotational:bits=8", "weaviate product:ratio=16", "milvus binary "):
        assert any(line.startswith(row) for line in rows), ran.seen
    assert "how each database implements it" in ran.seen and "RaBitQ, the nearest" in ran.seen


@POSIX
def test_apply_asks_on_a_terminal(terminal: Open, articles: str) -> None:
    refused = terminal("apply", articles, "articles", "binary", "--no-color")
    refused.until("Apply this? [y/N] ")
    refused.type("\n")
    assert refused.end() == 4
    assert "nothing was changed" in refused.seen
    agreed = terminal("apply", articles, "articles", "binary", "--no-color")
    agreed.until("Apply this? [y/N] ")
    agreed.type("y\n")
    assert agreed.end() == 0
    assert "✓ applied" in agreed.seen
    with qa.open(articles) as db:
        assert db["articles"].info().vectors[""].quantization.kind is qa.Kind.BINARY


@POSIX
@pytest.mark.long
def test_the_end_of_the_input_refuses(terminal: Open, articles: str) -> None:
    refused = terminal("apply", articles, "articles", "binary", "--no-color")
    refused.until("Apply this? [y/N] ")
    refused.type("\x04")
    assert refused.end() == 4
    assert "nothing was changed" in refused.seen


@POSIX
def test_ctrl_c_at_the_question_changes_nothing(terminal: Open, articles: str) -> None:
    asked = terminal("apply", articles, "articles", "binary", "--no-color")
    asked.until("Apply this? [y/N] ")
    # Python ignores a signal just before it waits for input. A second one during exit would kill
    # it, so the test waits longer on a busy machine.
    for _ in range(10):
        asked.child.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            asked.child.wait(5)
            break
    assert asked.end() == 130
    assert qa.history() == []


@POSIX
@pytest.mark.parametrize("then", ["apply", pytest.param("undo", marks=pytest.mark.long)])
def test_ctrl_c_while_applying_is_safe(
    then: str, articles: str, environment: Mapping[str, str], process: Cli, cli: Cli
) -> None:
    words = ["apply", articles, "articles", "binary", "--yes"]
    child = subprocess.Popen(
        [*COMMAND, *words, "--json"],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stderr is not None and child.stdout is not None
    seen = []
    while not seen or seen[-1] not in ("rebuilding\n", ""):
        seen.append(child.stderr.readline())
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=20)
    assert child.returncode == 130, (seen, out, err)
    error = json.loads(out)["error"]
    assert error["type"] == "Interrupted"
    assert f"qadapt {' '.join(words)}" in error["hint"]
    assert "Traceback" not in err
    assert cli("history", "--json").json["changes"][0]["state"] == "interrupted"

    again = process(*words, "--json") if then == "apply" else process("undo", "--json")
    assert again.code == 0, again.err
    ended = "applied" if then == "apply" else "undone"
    assert again.json["state"] == ended
    (change,) = cli("history", "--json").json["changes"]
    assert change["state"] == ended


def test_errors_of_a_process_are_json(process: Cli) -> None:
    ran = process("--json", "inspct")
    assert (ran.code, ran.err) == (2, "")
    assert ran.json["error"]["type"] == "UsageError"


@pytest.mark.parametrize("closed", ["output", "both"])
def test_a_closed_pipe_ends_a_command_quietly(process: Cli, articles: str, closed: str) -> None:
    """What `| head` and `2>&1 | head` do: nothing can be written any more."""
    commands = [["--help"], ["schema", "--json"], ["inspect", articles]]
    for words in commands if closed == "output" else commands[-1:]:
        reading, writing = os.pipe()
        os.close(reading)
        child = subprocess.Popen(
            [*COMMAND, *words],
            stdout=writing, stderr=writing if closed == "both" else subprocess.PIPE, text=True,
        )  # fmt: skip
        os.close(writing)
        _, err = child.communicate(timeout=60)
        assert child.returncode == 1, words
        assert not {"Traceback", "BrokenPipe", "Exception", "error:"} & set((err or "").split())
