"""kill -9 at any moment leaves the former state or the new one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from slow import SLOW, some

from qadapt.code_index import CodeIndex
from qadapt.codecs import Calibration

# Each round replaces some rows, adds and deletes others and saves, so that the number of rows,
# the ids and every code tell which round the folder is from.
_WRITER = """
import sys
import numpy as np
from qadapt.code_index import CodeIndex

folder, first = sys.argv[1], int(sys.argv[2])
index = CodeIndex.open(folder)
for number in range(first, first + 10_000):
    vectors = np.random.default_rng(number).standard_normal((200, 64)).astype(np.float32)
    index.upsert([f"round {number}", *range(199)], vectors)
    if number % 3 == 0:
        index.delete([f"round {number - 1}"])
    index.save()
    print(number, flush=True)
"""


def round_of(index: CodeIndex) -> int:
    """The last saved round, checked against its contents."""
    assert index.ids[-199:] == list(range(199))
    number = int(str(index.ids[-200]).split()[1])
    vectors = np.random.default_rng(number).standard_normal((200, 64)).astype(np.float32)
    hits = index.search(vectors[1:], 1, rescore=8)
    assert hits.ids[:, 0].tolist() == list(range(199))
    assert (hits.scores > 0.97).all()
    return number


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX: SIGKILL")
@pytest.mark.parametrize("codes", some(["binary", "rotational"], 1))
def test_a_killed_writer_leaves_a_folder_that_opens(tmp_path: Path, codes: Any) -> None:
    folder = tmp_path / "index"
    vectors = np.random.default_rng(0).standard_normal((200, 64)).astype(np.float32)
    ranges = Calibration.from_ranges([[-1.0] * 64, [1.0] * 64])
    with CodeIndex.create(folder, 64, codes=codes, calibration=ranges) as index:
        index.add(["round 0", *range(199)], vectors)
    done = 0
    moments = np.random.default_rng(7).uniform(0, 0.06, 8)
    for moment in moments:
        writer = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(folder), str(done + 1)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        )
        assert writer.stdout is not None
        told = int(writer.stdout.readline())  # one save is through
        time.sleep(float(moment))
        os.kill(writer.pid, signal.SIGKILL)
        rest = writer.stdout.read().split()
        writer.wait()
        writer.stdout.close()
        told = int(rest[-1]) if rest else told
        with CodeIndex.open(folder, read_only=True) as reader:
            assert round_of(reader) in (told, told + 1), "a completed save is never lost"
        with CodeIndex.open(folder) as index:  # the dead process holds no lock
            done = round_of(index)
            saved = index._header.names
            assert {path.name for path in folder.iterdir()} == saved | {"index.json", "lock"}


OTHERS = [("append", "binary"), ("merge", "binary"), ("merge", "scalar"), ("compact", "rotational")]
_CHANGE = """
import os, sys
import numpy as np
from pathlib import Path
from qadapt.code_index import CodeIndex, segment_file

folder, steps, change = sys.argv[1], int(sys.argv[2]), sys.argv[3]
index = CodeIndex.open(folder)
index.add(["new"], np.ones((1, 64)))
if change != "append":
    index.delete([0])
if change == "merge":
    index.delete(range(60))
left = steps
def counted(real):
    def call(*args, **options):
        global left
        if left == 0:
            os.kill(os.getpid(), 9)
        left -= 1
        return real(*args, **options)
    return call
os.fsync, os.replace, Path.unlink = map(counted, (os.fsync, os.replace, Path.unlink))
Writer = segment_file.SegmentWriter
Writer.write = counted(Writer.write)
index.compact() if change == "compact" else index.save()
index.close()  # waits for the merge
"""


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX: fork, SIGKILL")
@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "codes"),
    [
        ("append", "rotational"),
        ("mark", "binary"),
        ("merge", "rotational"),
        ("compact", "binary"),
        *((change, codes) for change, codes in OTHERS if SLOW),
    ],
)
def test_kill_before_each_step_of_a_save(tmp_path: Path, change: str, codes: Any) -> None:
    """Deterministic: the process ends before its n-th write, fsync, rename or removal."""
    vectors = np.random.default_rng(0).standard_normal((200, 64)).astype(np.float32)
    gone = {"append": 0, "mark": 1, "merge": 60, "compact": 1}[change]
    former, new = list(range(200)), [*range(gone, 200), "new"]
    seen = set()
    for steps in range(40):
        folder = tmp_path / str(steps)
        with CodeIndex.create(folder, 64, codes=codes) as index:
            index.add(former, vectors)
        code = subprocess.run(
            [sys.executable, "-c", _CHANGE, str(folder), str(steps), change],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
            check=False,
        ).returncode
        with CodeIndex.open(folder, verify="full") as index:
            assert index.ids in (former, new)
            seen.add("new" in index)
            hits = index.search(vectors[gone:], 1, rescore=8)
            assert (hits.ids[:, 0] == range(gone, 200)).mean() > 0.98
        if code == 0:
            assert index_ids(folder) == new
            break
        assert code == -signal.SIGKILL
    else:
        pytest.fail("no save completed")
    assert len(seen) == 2 and steps > 7


def index_ids(folder: Path) -> list[int | str]:
    with CodeIndex.open(folder, read_only=True) as index:
        return index.ids
