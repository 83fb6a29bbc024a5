"""The measured memory of an engine is shown beside the computed size of a vector."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import qadapt as qa
from qadapt.api import Collection
from qadapt.model.address import Address
from qadapt.stores import engine_memory, local_processes
from qadapt.testing import clustered

ROWS, DIM = 300, 16
WHAT = "resident memory of this process, everything included"


@pytest.fixture
def articles(live: Callable[[str], str]) -> Iterator[Collection]:
    with qa.open(live("edge")) as db:
        yield made(db)


def made(db: Any) -> Collection:
    found: Collection = db.create("articles", dim=DIM)
    found.write(qa.Batch(range(ROWS), {"": clustered(ROWS, DIM).rows}))
    return found


def resident() -> int:
    """Bytes, read from a file that qadapt does not read."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = (each for each in status.splitlines() if each.startswith("VmRSS:"))
    return 1024 * int(line.split()[1])


def test_documents_of_an_engine_in_this_process_have_its_resident_memory(
    articles: Collection,
) -> None:
    before = resident()
    documents = (
        articles.verify(queries=20),
        articles.evaluate("scalar", queries=20, concurrency=()),
        articles.cost("scalar"),
        articles.advise(0.5, queries=20, codes=("scalar",), confirm=False),
    )
    after = resident()
    for document in documents:
        found = document.engine_memory
        assert found is not None
        assert found.what == WHAT
        assert 0.5 * before < found.bytes < 2 * after
        assert json.loads(document.to_json())["engine_memory"]["bytes"] == found.bytes
        assert str(found) in document.table().notes
        assert type(document).from_dict(document.to_dict()).engine_memory == found


def test_without_proc_nothing_is_shown(
    articles: Collection, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(engine_memory, "STATM", tmp_path / "missing")
    found = articles.cost("scalar")
    assert found.engine_memory is None
    assert not any(note.startswith("measured") for note in found.table().notes)


@pytest.mark.parametrize("engine", ["milvus", "weaviate", "pgvector"])
def test_a_server_on_this_machine_has_the_memory_of_its_processes(
    live: Callable[[str], str], engine: str
) -> None:
    with qa.open(live(engine)) as db:
        found = db._store.engine_memory()
    assert found is not None and found.bytes is not None, found
    assert 10 << 20 < found.bytes < 8 << 30
    assert "resident memory of " in found.what and "everything included" in found.what


def listening() -> tuple[subprocess.Popen[str], int]:
    """A process with a child that holds 64 MB, and the port on which it listens."""
    program = (
        "import os, socket, sys, time\n"
        "s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()\n"
        "if os.fork() == 0:\n"
        "    held = bytearray(os.urandom(1 << 20) * 64)\n"
        "    print(s.getsockname()[1], flush=True)\n"
        "time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def test_the_memory_of_a_server_contains_its_children() -> None:
    process, port = listening()
    try:
        found = engine_memory.of_server(Address.parse(f"qdrant+http://127.0.0.1:{port}"))
        children = local_processes.with_children(process.pid)[1:]
    finally:
        for pid in local_processes.with_children(process.pid):
            os.kill(pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()  # type: ignore[union-attr]
    assert len(children) == 1
    assert found.bytes is not None and 64 << 20 < found.bytes < 256 << 20
    assert f"(process {process.pid} and 1 children)" in found.what


def test_the_reason_is_shown_if_the_memory_is_not_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    far = engine_memory.of_server(Address.parse("qdrant+http://10.0.0.1:6333"))
    assert str(far) == (
        "memory of the server is not known: the server runs on another machine and does not "
        "report it"
    )
    unused = engine_memory.of_server(Address.parse("qdrant+http://localhost:1"))
    assert "no visible process of this machine listens on port 1" in str(unused)
    monkeypatch.setattr(local_processes, "listener", lambda port: os.getpid())
    monkeypatch.setattr(local_processes, "name_of", lambda pid: "docker-proxy")
    forwarded = engine_memory.of_server(Address.parse("qdrant+http://[::1]:6333"))
    assert forwarded.bytes is None and "docker-proxy passes port 6333 on" in str(forwarded)


def test_local_mode_of_the_qdrant_client_is_in_this_process() -> None:
    with qa.open("qdrant::memory:") as db:
        found = db._store.engine_memory()
    assert found is not None
    assert found.what == WHAT
