"""Whole runs of pytest with real servers: one server per run, without leftovers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from live import Unavailable, ladder
from live.milvus import MilvusServer
from live.plugin import missing
from live.test_live_keeper import listens, there, within
from live.weaviate import WeaviateServer

_TESTS = """
import json, os, pathlib, time
import pytest

@pytest.mark.parametrize("number", range(4))
def test_server(live, number):
    url = live("{engine}")
    told = pathlib.Path(__file__).with_name(f"told-{{number}}.json")
    told.with_suffix(".new").write_text(json.dumps([url, os.getpid()]))
    told.with_suffix(".new").replace(told)
    time.sleep({seconds})
"""


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts pytest on four tests that ask for an engine; its temporary files are in tmp_path."""

    def start(engine: str, *words: str, seconds: float = 1) -> subprocess.Popen[str]:
        tests = tmp_path / "test_scratch.py"
        tests.write_text(_TESTS.format(engine=engine, seconds=seconds))
        environment = {
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parents[1]),
            "QADAPT_TEST_CONTAINERS": "0",
            "TMPDIR": str(tmp_path),
        }
        environment.pop(ladder.variable(engine), None)
        for name in list(environment):
            if name.startswith("PYTEST"):
                del environment[name]
        command = [sys.executable, "-m", "pytest", "-p", "live.plugin", "-p", "no:cacheprovider"]
        return subprocess.Popen(
            [*command, "--rootdir", str(tmp_path), *words, str(tests)],
            env=environment,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return start


@pytest.fixture
def startable(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Skips the test where no server can be started here."""

    def check(engine: str) -> None:
        try:
            {"weaviate": WeaviateServer, "milvus": MilvusServer}[engine]().stop()
        except Unavailable as reason:
            missing(request.config, engine, str(reason))

    return check


def told(folder: Path) -> list[tuple[str, int]]:
    """Addresses and processes that the four tests recorded so far."""
    return [tuple(json.loads(path.read_text())) for path in folder.glob("told-*.json")]


def processes(folder: Path) -> list[int]:
    """Those that run in or below a folder, other than pytest itself."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                at = (entry / "cwd").resolve()
            except OSError:
                continue
            if folder in at.parents:
                found.append(int(entry.name))
    return found


def port(url: str) -> int:
    """Of an address."""
    return int(url.partition("?")[0].rpartition(":")[2])


def servers(folder: Path) -> list[Path]:
    """Folders of servers that are still there."""
    return [path for path in folder.iterdir() if path.name.startswith("qadapt-")]


def test_workers_share_one_server_without_leftovers(
    run: Any, startable: Callable[[str], None], tmp_path: Path
) -> None:
    startable("weaviate")
    output, _ = run("weaviate", "-n", "2").communicate()
    assert "4 passed" in output, output
    urls, workers = zip(*told(tmp_path), strict=True)
    assert len(set(workers)) == 2
    assert len(set(urls)) == 1
    assert "live engines: weaviate " in output
    assert "(server of the tests)" in output
    assert not processes(tmp_path)
    assert within(10, lambda: not listens(port(urls[0])))
    assert not servers(tmp_path)


@pytest.mark.parametrize(("engine", "workers"), [("milvus", "0"), ("weaviate", "2")])
def test_a_run_that_is_killed_leaves_nothing(
    run: Any, startable: Callable[[str], None], tmp_path: Path, engine: str, workers: str
) -> None:
    startable(engine)
    with run(engine, "-n", workers, seconds=600) as pytest_run:
        assert within(90, lambda: bool(told(tmp_path)) or pytest_run.poll() is not None)
        (url, worker), *_ = told(tmp_path)
        started = processes(tmp_path)
        assert started
        assert listens(port(url))
        pytest_run.send_signal(signal.SIGKILL)
    assert within(30, lambda: not any(there(pid) for pid in [*started, worker]))
    assert within(10, lambda: not listens(port(url)))
    assert within(10, lambda: not servers(tmp_path))
