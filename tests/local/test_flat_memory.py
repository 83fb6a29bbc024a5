"""Memory of commands does not grow with collections or rows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from slow import SLOW

import qadapt as qa

RUN = """
import contextlib, io, pathlib, sys
from qadapt.cli import main
with contextlib.redirect_stdout(io.StringIO()):
    code = main(sys.argv[1:])
# ru_maxrss would include the process that started this one.
(peak,) = [x for x in pathlib.Path("/proc/self/status").read_text().split("\\n") if "VmHWM" in x]
print(code, int(peak.split()[1]) // 1024)
"""
DIM = 8


def peak(*words: str) -> int:
    """Peak resident memory of a command, in MiB."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, *words], capture_output=True, text=True, check=True
    )
    code, peak = done.stdout.split()
    assert code == "0", done.stderr
    return int(peak)


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="needs Linux"),
]


@pytest.mark.long
def test_inspect_of_many_collections(tmp_path: Path) -> None:
    """An open edge collection takes about 30 MiB, and at most 8 stay open."""
    address = f"edge:{tmp_path}"
    rows = np.random.default_rng(0).normal(size=(20, DIM))
    peaks = []
    made = 0
    for count in (9, 400 if SLOW else 16):
        with qa.open(address) as db:
            for number in range(made, count):
                db.create(f"c{number}", dim=DIM).write(qa.Batch(range(20), {"": rows}))
        made = count
        peaks.append(peak("inspect", address))
    assert peaks[1] - peaks[0] < 80


@pytest.mark.parametrize(
    "words",
    [("inspect",), pytest.param(("plan", "binary"), marks=pytest.mark.long)],
    ids=lambda words: words[0],
)
def test_commands_on_many_rows(words: tuple[str, ...], tmp_path: Path) -> None:
    verb, *more = words
    peaks = []
    for count in (100_000, 1_000_000) if SLOW else (10_000, 100_000):
        address = f"sqlite-vec:{tmp_path / str(count)}.db"
        rows = np.random.default_rng(0).normal(size=(10_000, DIM))
        with qa.open(address) as db:
            notes = db.create("notes", dim=DIM)
            for start in range(0, count, len(rows)):
                notes.write(qa.Batch(range(start, start + len(rows)), {"": rows}))
        peaks.append(peak(verb, address, "notes", *more))
    assert peaks[1] - peaks[0] < 16
