"""Skips for a missing file or package are failures; see ``skips``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from skips import is_allowed


@pytest.mark.parametrize(
    ("reason", "platform", "allowed"),
    [
        ("Skipped: no live engine 'weaviate': there is no Go", "linux", True),
        ("Skipped: no live engine 'edge': not installed", "linux", False),
        ("Skipped: no live engine 'edge': not installed", "win32", True),
        ("Skipped: no Chromium on PATH", "linux", True),
        ("Skipped: needs the environment of `make test-ray`", "linux", True),
        ("Skipped: could not import 'qdrant_edge': No module named 'qdrant_edge'", "linux", False),
        ("Skipped: could not import 'qdrant_edge': No module named 'qdrant_edge'", "win32", True),
        ("Skipped: could not import 'testcontainers': No module named", "win32", False),
        ("Skipped: no embeddings.npz in data/", "linux", False),
        ("Skipped: unconditional skip", "linux", False),
    ],
)
def test_reasons(reason: str, platform: str, allowed: bool) -> None:
    assert is_allowed(reason, platform) is allowed


MODULE = """
import pytest

def test_of_a_file():
    pytest.skip("no data.npz here")

@pytest.mark.skip(reason="no time")
def test_of_a_mark():
    pass

@pytest.mark.skipif(True, reason="needs POSIX: signals")
def test_of_a_platform():
    pass

@pytest.mark.xfail(reason="not yet", strict=True)
def test_that_is_expected_to_fail():
    assert False
"""


def test_a_run_fails_where_a_test_skips_for_a_file(tmp_path: Path) -> None:
    (tmp_path / "test_skipping.py").write_text(MODULE, encoding="utf-8")
    (tmp_path / "test_missing.py").write_text(
        "import pytest\npytest.importorskip('no_such_package')\n", encoding="utf-8"
    )
    command = [sys.executable, "-m", "pytest", "-p", "skips", "-p", "no:cacheprovider", "-rA"]
    command += ["--rootdir", str(tmp_path), "--continue-on-collection-errors", "."]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(__file__).parent), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout
    assert "FAILED test_skipping.py::test_of_a_file" in done.stdout
    assert "ERROR test_skipping.py::test_of_a_mark" in done.stdout
    assert "ERROR test_missing.py" in done.stdout
    assert "1 skipped, 1 xfailed" in done.stdout
