"""Stores and code indexes in a process that was forked while they were open: they work or raise an
error.

The engine's threads, sockets and locks remain in the parent, so without a check a search in the
child blocks forever. Each program here forks, with a timeout.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX: fork")

HEAD = """
import os, sys, threading
import numpy as np
import qadapt as qa
from qadapt.code_index import CodeIndex

place = sys.argv[1]
rows = np.random.default_rng(0).standard_normal((200, 8)).astype("f4")

def forked(work, end=sys.exit):  # not os._exit: what is left is freed, which must not wait
    pid = os.fork()
    if not pid:
        try:
            print("child:", work(), flush=True)
        except qa.errors.QadaptError as error:
            print("child:", type(error).__name__, error.message, "|", error.hint, flush=True)
        end(0)
    os.waitpid(pid, 0)

def filled(database):
    made = database.create("a", dim=8)
    made.write(qa.Batch(range(200), {"": rows}))
    return made

def nearest(collection):
    return collection.search(rows[7], k=1).ids.tolist()
"""


def run(body: str, place: Path) -> list[str]:
    """The lines that a program prints."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", HEAD + body, str(place)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_an_edge_collection_that_the_parent_has_open_is_refused_at_once(tmp_path: Path) -> None:
    pytest.importorskip("qdrant_edge")
    lines = run(
        """
database = qa.open("edge:" + place)
a = filled(database)
print("parent:", nearest(a))
forked(lambda: nearest(a))
forked(lambda: a.count())
held = database._store._lock
held.acquire()  # by a thread that the child does not have
forked(lambda: nearest(qa.open("edge:" + place)["a"]))
held.release()
print("parent:", nearest(a))
""",
        tmp_path,
    )
    assert lines[0] == lines[-1] == "parent: [[7]]"
    for line, doing in zip(lines[1:4], ("inspect", "count", "inspect"), strict=True):
        assert line.startswith(f"child: BusyError could not {doing} 'a': the parent process ")
        assert "spawn" in line


@pytest.mark.long
def test_closed_and_unopened_collections_work_in_the_child(tmp_path: Path) -> None:
    pytest.importorskip("qdrant_edge")
    lines = run(
        """
database = qa.open("edge:" + place)
a = filled(database)
nearest(a)

def other():
    with qa.open("edge:" + place + "/other") as opened:
        return nearest(filled(opened))

forked(other)
database._store.close()  # the database object itself must stay usable
forked(lambda: nearest(a))
""",
        tmp_path,
    )
    assert lines == ["child: [[7]]", "child: [[7]]"]


@pytest.mark.long
def test_a_child_does_not_keep_the_folder_when_the_parent_closes_it(tmp_path: Path) -> None:
    pytest.importorskip("qdrant_edge")
    lines = run(
        """
import subprocess
database = qa.open("edge:" + place)
nearest(filled(database))
there, done = os.pipe()
pid = os.fork()
if not pid:
    os.close(done)
    os.read(there, 1)  # alive until the parent is through
    os._exit(0)
database.close()
look = "import sys, qadapt as qa; print(qa.open('edge:' + sys.argv[1])['a'].count())"
print(subprocess.run([sys.executable, "-c", look, place], capture_output=True, text=True).stdout)
os.close(done)
os.waitpid(pid, 0)
""",
        tmp_path,
    )
    if sys.platform == "linux":
        assert lines[0] == "200"


def test_a_client_of_the_parent_is_refused_except_in_memory(tmp_path: Path) -> None:
    pytest.importorskip("qdrant_client")
    lines = run(
        """
from qdrant_client import QdrantClient
memory = filled(qa.wrap(QdrantClient(":memory:")))
server = qa.wrap(QdrantClient(url="http://127.0.0.1:9", check_compatibility=False))
forked(lambda: nearest(memory))
forked(lambda: server["a"])
forked(lambda: server.close())
""",
        tmp_path,
    )
    assert lines[0] == "child: [[7]]"
    assert lines[1].startswith(
        "child: StoreError qdrant+http://127.0.0.1:9 was opened in the parent process"
    )
    assert "qa.open(" in lines[1]
    assert lines[2] == "child: None"


def test_a_milvus_lite_file_of_the_parent_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("milvus_lite")
    lines = run(
        """
with qa.open("milvus:" + place + "/m.db") as database:
    a = filled(database)
    forked(lambda: nearest(a))
    forked(lambda: qa.open("milvus:" + place + "/m.db"))
    print("parent:", nearest(a))
""",
        tmp_path,
    )
    assert lines[0].startswith("child: StoreError milvus:")
    assert lines[1].startswith("child: StoreError milvus:")
    assert "spawn" in lines[1]
    assert lines[2] == "parent: [[7]]"


@pytest.mark.parametrize(
    ("store", "package", "refused"),
    [("chroma", "chromadb", True), ("clickhouse", "chdb", True), ("lancedb", "lancedb", False)],
)
def test_a_search_that_the_parent_prepared_does_not_wait(
    store: str, package: str, refused: bool, tmp_path: Path
) -> None:
    """The engine's threads are in the parent: Chroma's search waited for them in the child."""
    pytest.importorskip(package)
    # The exit handlers of chDB and LanceDB wait in a child, so it leaves without them.
    lines = run(
        f"""
address = "{store}:" + place + "/data"
database = qa.open(address)
made = database.create("notes", dim=8)
made.write(qa.Batch(range(200), {{"": rows}}))
nearest(made)
forked(lambda: nearest(made), os._exit)
forked(lambda: nearest(qa.open(address)["notes"]), os._exit)
print("parent:", nearest(made), flush=True)
""",
        tmp_path,
    )
    assert lines[0].startswith(f"child: StoreError {store}:")
    assert "was opened in the parent process" in lines[0]
    if refused:
        assert "spawn" in lines[0] and "qa.open" not in lines[0]
        assert lines[1].startswith("child: StoreError") and "spawn" in lines[1]
    else:
        assert lines[1] == "child: [[7]]"
    assert lines[2] == "parent: [[7]]"


CLIENTS = {
    "chroma": """
import chromadb
from chromadb.config import Settings
client = chromadb.PersistentClient(place, settings=Settings(anonymized_telemetry=False))
""",
    "clickhouse": "import chdb; client = chdb.connect(place)",
    "lancedb": "import lancedb; client = lancedb.connect(place)",
}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux: threads in /proc")
@pytest.mark.parametrize(
    ("store", "package", "refused"),
    [("chroma", "chromadb", True), ("clickhouse", "chdb", True), ("lancedb", "lancedb", False)],
)
def test_an_engine_that_the_parent_used_without_qadapt_is_refused(
    store: str, package: str, refused: bool, tmp_path: Path
) -> None:
    pytest.importorskip(package)
    lines = run(
        f"""
{CLIENTS[store]}
forked(lambda: qa.wrap(client).collections(), os._exit)
forked(lambda: qa.open("{store}:" + place).collections(), os._exit)
print("parent:", qa.wrap(client).collections(), flush=True)
""",
        tmp_path,
    )
    if refused:
        for line in lines[:2]:
            assert line.startswith("child: StoreError")
            assert f"the parent process has loaded {package}" in line and "spawn" in line
    else:
        assert lines[:2] == ["child: []", "child: []"]
    assert lines[2] == "parent: []"


def test_a_code_index_is_searched_in_the_child_and_written_in_the_parent(tmp_path: Path) -> None:
    lines = run(
        """
index = CodeIndex.create(place + "/index", 8)
index.add(range(200), rows)
index.save()
index.add([200], rows[:1])  # not saved when the fork comes
find = lambda: index.search(rows[7], k=1).ids.tolist()
forked(find)
forked(lambda: index.add([1000], rows[:1]))
forked(lambda: index.close())

def busy():
    with CodeIndex.open(place + "/index") as other:
        return len(other)

forked(busy)
index.save()
index.close()
forked(busy)
""",
        tmp_path,
    )
    assert lines[0] == "child: [[7]]"
    assert lines[1].startswith("child: BusyError")
    assert "forked" in lines[1]
    assert lines[2] == "child: None"
    assert lines[3].startswith("child: BusyError")
    assert lines[4] == "child: 201"
