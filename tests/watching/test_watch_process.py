"""``qadapt watch`` as a process: its memory over many checks, and a server that goes away."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from live.chroma import ChromaServer

import qadapt as qa

ROWS, DIM = 10_000, 256
ROUNDS = 16
MB = 1_000_000


@contextmanager
def watching(*words: str) -> Iterator[subprocess.Popen[str]]:
    """A process that checks without a pause; it must end with Ctrl-C."""
    process = subprocess.Popen(
        [sys.executable, "-m", "qadapt", "watch", *words, "--json", "--every", "0.05s",
         "--rate", "100000"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 130, errors
    finally:
        process.kill()
        process.communicate()


def next_check(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.stderr.read() if process.stderr else ""
    found: dict[str, Any] = json.loads(line)
    return found


def resident(process: subprocess.Popen[str], name: str) -> int:
    """A value of /proc/PID/status in bytes: VmRSS, or VmHWM for its maximum."""
    text = Path(f"/proc/{process.pid}/status").read_text("ascii")
    (line,) = [line for line in text.splitlines() if line.startswith(f"{name}:")]
    return int(line.split()[1]) * 1024


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux: /proc")
def test_memory_stays_below_300_mb(live: Callable[[str], str]) -> None:
    """Resident memory of the whole process, with the files that the engine maps."""
    url = live("edge")
    with qa.open(url) as database:
        collection = database.create("notes", dim=DIM)
        rng = np.random.default_rng(0)
        for start in range(0, ROWS, 2_000):
            rows = rng.standard_normal((2_000, DIM), dtype=np.float32)
            collection.write(qa.Batch(range(start, start + 2_000), {"": rows}))
        collection.plan("binary:rescore=8").apply(yes=True)
    # Exact results are computed again about every second check.
    with watching(url, "notes", "--queries", "10", "--renew", "1s") as process:
        sizes = []
        for _ in range(ROUNDS):
            check = next_check(process)
            assert check["up"] and check["active"] and check["recall"] > 0
            sizes.append(resident(process, "VmRSS"))
        most = resident(process, "VmHWM")
    assert most < 300 * MB, sizes
    # The first checks import modules and fill caches.
    assert max(sizes[ROUNDS // 2 :]) < max(sizes[: ROUNDS // 2]) + 20 * MB, sizes


def test_a_server_that_goes_away_and_comes_back(chroma_server: ChromaServer) -> None:
    with qa.open(chroma_server.url) as database:
        rows = np.random.default_rng(0).standard_normal((200, 16)).astype(np.float32)
        database.create("notes", dim=16).write(qa.Batch(range(200), {"": rows}))
    words = (f"{chroma_server.url}?timeout=5", "notes", "--queries", "5")
    with watching(*words) as process:
        check = next_check(process)
        assert (check["up"], check["good"], check["rows"]) == (True, True, 200)
        chroma_server.kill()
        while check["up"]:
            check = next_check(process)
        assert check["error"] and not check["good"] and check["recall"] is None
        chroma_server.start()
        while not check["up"]:
            check = next_check(process)
        assert (check["good"], check["rows"], check["recall"]) == (True, 200, 1.0)
