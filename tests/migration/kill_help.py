"""Migrations in subprocesses that are killed at random moments."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

CHILD = Path(__file__).with_name("kill_child.py")
WORKERS = 2


def log_lines(log: Path) -> list[list[Any]]:
    """The complete lines of a log: what was done, and the ids."""
    whole = log.read_text().split("\n")[:-1] if log.exists() else []
    return [json.loads(line) for line in whole]


def start_child(source: str, target: str, log: Path) -> subprocess.Popen[bytes]:
    """Start a migration in a subprocess."""
    words = [sys.executable, str(CHILD), source, target, str(log)]
    return subprocess.Popen(words, stderr=subprocess.PIPE)


def logged_rows(log: Path, what: str) -> int:
    """The number of rows that were read or written."""
    return sum(len(ids) for word, ids in log_lines(log) if word == what)


def run_and_kill(source: str, target: str, log: Path, draw: random.Random) -> bool:
    """Kill a run at a random moment; False if it ended before."""
    before = len(log_lines(log))
    child = start_child(source, target, log)
    moment = draw.randrange(1, 30)  # number of log lines before the kill
    end = time.monotonic() + 60
    while child.poll() is None and time.monotonic() < end:
        if len(log_lines(log)) - before >= moment:
            time.sleep(draw.uniform(0, 0.02))
            break
        time.sleep(0.002)
    child.send_signal(signal.SIGKILL)
    code = child.wait()
    assert child.stderr is not None
    reported = child.stderr.read().decode()
    child.stderr.close()
    assert code in (0, -signal.SIGKILL), reported
    return code != 0
