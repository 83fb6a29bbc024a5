"""Tests that need a server are found without an explicit marker."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

MODULE = """
import pytest

@pytest.fixture
def opened(live):
    return lambda engine: live(engine)

@pytest.fixture
def database(live):
    return live("weaviate")

@pytest.fixture
def server(live):
    return live("milvus")

@pytest.fixture
def lite(live):
    return live("milvus-lite")

@pytest.fixture(params=["server", "lite"])
def either(request):
    return request.getfixturevalue(request.param)

def test_by_the_name_of_a_fixture(either): pass
def test_by_a_fixture_that_starts_one(weaviate_server): pass
def test_by_name(live): live("milvus")
def test_by_a_loop(live): [live(each) for each in ("edge", "weaviate")]
def test_by_a_fixture_that_names_one(database): pass
def test_by_a_requested_fixture(opened): opened("qdrant")

@pytest.mark.parametrize("engine", ["edge", "milvus"])
def test_by_parameter(live, engine): live(engine)

@pytest.mark.parametrize(("engines", "n"), [(("edge", "weaviate"), 1), (("edge", "edge"), 2)])
def test_by_a_tuple(opened, engines, n): pass

@pytest.mark.parametrize("engine", ["milvus"])
def test_by_name_only(engine): pass
def test_embedded(live): live("edge")

@pytest.mark.parametrize("server", ["edge"])
def test_by_a_parameter_in_place_of_a_fixture(live, server): live(server)
"""
EMBEDDED = {
    "test_by_parameter[edge]",
    "test_by_a_tuple[engines1-2]",
    "test_by_the_name_of_a_fixture[lite]",
    "test_by_name_only[milvus]",
    "test_embedded",
    "test_by_a_parameter_in_place_of_a_fixture[edge]",
}
SERVERS = {
    "test_by_a_fixture_that_starts_one",
    "test_by_name",
    "test_by_a_loop",
    "test_by_a_fixture_that_names_one",
    "test_by_a_requested_fixture",
    "test_by_the_name_of_a_fixture[server]",
    "test_by_parameter[milvus]",
    "test_by_a_tuple[engines0-1]",
}


def pytest_on(folder: Path, module: str, *words: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_scratch.py").write_text(module, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "live.plugin", "-p", "no:cacheprovider"]
    return subprocess.run(
        [*command, "-q", "--rootdir", str(folder), *words, "test_scratch.py"],
        cwd=folder,
        env={"PYTHONPATH": str(Path(__file__).parents[1]), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(("words", "expected"), [("server", SERVERS), ("not server", EMBEDDED)])
def test_each_test_is_in_one_of_two_runs(tmp_path: Path, words: str, expected: set[str]) -> None:
    done = pytest_on(tmp_path, MODULE, "--collect-only", "-m", words)
    found = {line.partition("::")[2] for line in done.stdout.splitlines() if "::" in line}
    assert found == expected, done.stdout


def test_an_unmarked_server_test_fails(tmp_path: Path) -> None:
    hidden = "def test_hidden(live):\n    name = 'mil'\n    live(name + 'vus')\n"
    done = pytest_on(tmp_path, hidden, "-m", "not server")
    assert done.returncode == 1
    assert "pytest.mark.server" in done.stdout


@pytest.mark.long
def test_must_see_fails_without_the_engine(tmp_path: Path) -> None:
    module = "def test_embedded(live):\n    live('edge')\n"
    assert pytest_on(tmp_path, module, "--must-see=edge").returncode == 0
    done = pytest_on(tmp_path, module, "--must-see=edge,weaviate")
    assert done.returncode == 1
    assert "no test used: weaviate" in done.stdout
