"""A killed process leaves no wrong codes that appear valid."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

import qadapt as qa
from qadapt.api import Collection

pytest.importorskip("qdrant_client")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX")

ROWS, DIM = 300, 16

PROGRAM = """
import os, signal, sys
import numpy as np
import qadapt as qa
from qadapt.code_index import CodeIndex
from qdrant_client import QdrantClient

collection = qa.wrap(QdrantClient(path=sys.argv[1]))["a"]
whole = CodeIndex.save

def killed(self):
    if sys.argv[3] == "after":
        whole(self)
    os.kill(os.getpid(), signal.SIGKILL)

CodeIndex.save = killed
if sys.argv[2] == "build":
    collection.plan("binary:rescore=4", accept="client").apply(yes=True)
else:
    collection.write(qa.Batch([7], {"": np.load(sys.argv[4])}))
"""


def rows(seed: int = 0, count: int = ROWS) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, DIM)).astype(np.float32)


def apply(collection: Collection) -> None:
    collection.plan("binary:rescore=4", accept="client").apply(yes=True)


@pytest.mark.parametrize(
    ("doing", "at"),
    [
        pytest.param("build", "before", marks=pytest.mark.long),
        pytest.param("write", "before", marks=pytest.mark.long),
        ("write", "after"),
    ],
)
def test_killed_in_the_save_of_codes(tmp_path: Path, doing: str, at: str) -> None:
    from qdrant_client import QdrantClient

    path, new = tmp_path / "local", tmp_path / "new.npy"
    np.save(new, rows(9, 1))
    with closing(QdrantClient(path=str(path))) as client:
        made = qa.wrap(client).create("a", dim=DIM)
        made.write(qa.Batch(range(ROWS), {"": rows()}))
        if doing == "write":
            apply(made)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path), doing, at, str(new)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    with closing(QdrantClient(path=str(path))) as client:
        made = qa.wrap(client)["a"]
        query = rows(9, 1)[0] if doing == "write" else rows()[7]
        hits = made.search(query, k=1)
        assert hits.ids[0, 0] == 7
        assert hits.how.searcher.startswith("store")
        assert made.info().vectors[""].status.state is not qa.State.ACTIVE
        apply(made)
        assert made.info().vectors[""].status.state is qa.State.ACTIVE
        hits = made.search(query, k=1)
        assert (hits.ids[0, 0], hits.how.searcher) == (7, "qadapt")
