"""kill -9 at any moment leaves the former state or the new one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
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
@pytest.mark.slow
def test_a_killed_writer_leaves_a_folder_that_opens(tmp_path: Path, codes: Any) -> None:
    folder = tmp_path / "index"
    vectors = np.random.default_rng(0).standard_normal((200, 64)).astype(np.float32)
    ranges = Calibration.from_ranges([[-1.0] * 64, [1.0] * 64])
    with CodeIndex.create(folder, 64, codes=codes, calibration=ranges) as index:
        index.add(["round 0", *range(199)], vectors)
    done = 0
    moments = np.random.default_rng(7).uniform(0, 0.06, 8 if SLOW else 4)
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


# Changes an index in a forked process for each line ``[folder, steps, change]``, and prints its
# exit code.
_CHANGES = """
import json, os, sys, traceback
import numpy as np
from pathlib import Path
from qadapt.code_index import CodeIndex, segment_file

def changed(folder, steps, change):
    index = CodeIndex.open(folder)
    index.add(["new"], np.ones((1, 64)))
    if change != "append":
        index.delete([0])
    if change == "merge":
        index.delete(range(60))
    left = steps
    def counted(real):
        def call(*args, **options):
            nonlocal left
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

for line in sys.stdin:
    child = os.fork()
    if not child:
        try:
            changed(*json.loads(line))
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture
def changes() -> Iterator[Callable[..., int]]:
    """``changes(folder, steps, change)``: the exit code of the process that changed the index."""
    with subprocess.Popen(
        [sys.executable, "-c", _CHANGES],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
    ) as server:
        assert server.stdin is not None and server.stdout is not None
        given, codes = server.stdin, server.stdout

        def change(folder: Path, steps: int, what: str) -> int:
            given.write(json.dumps([str(folder), steps, what]) + "\n")
            given.flush()
            return int(codes.readline())

        yield change
        given.close()


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX: fork, SIGKILL")
@pytest.mark.parametrize(
    ("change", "codes"),
    [
        ("append", "rotational"),
        ("mark", "binary"),
        ("merge", "rotational"),
        ("compact", "binary"),
        pytest.param("append", "binary", marks=pytest.mark.long),
        pytest.param("merge", "binary", marks=pytest.mark.long),
        pytest.param("merge", "scalar", marks=pytest.mark.long),
        pytest.param("compact", "rotational", marks=pytest.mark.long),
    ],
)
def test_kill_before_each_step_of_a_save(
    tmp_path: Path, changes: Callable[..., int], change: str, codes: Any
) -> None:
    """Deterministic: the process ends before its n-th write, fsync, rename or removal."""
    vectors = np.random.default_rng(0).standard_normal((200, 64)).astype(np.float32)
    gone = {"append": 0, "mark": 1, "merge": 60, "compact": 1}[change]
    former, new = list(range(200)), [*range(gone, 200), "new"]
    seen = set()
    for steps in range(40):
        folder = tmp_path / str(steps)
        with CodeIndex.create(folder, 64, codes=codes) as index:
            index.add(former, vectors)
        code = changes(folder, steps, change)
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
