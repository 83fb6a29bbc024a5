"""Commands that answer from local files alone do not import numpy."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import qadapt as qa
from qadapt.cli.documents import NAMES, schemas

# Runs the command line, then names the heavy packages that it imported.
CODE = """
import sys
sys.argv = ["qadapt", *sys.argv[1:]]
from qadapt.cli import main
code = main()
heavy = {"numpy", "faiss", "qdrant_edge", "qdrant_client", "pymilvus", "weaviate", "yaml"}
print("imported:", *sorted(heavy & set(sys.modules)))
sys.exit(code)
"""


def _run(*args: str, env: dict[str, str]) -> tuple[str, str]:
    """Output of a command, and the heavy packages that it imported."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, *args], capture_output=True, text=True, timeout=60, env=env
    )
    assert done.returncode == 0, done.stderr
    text, _, imported = done.stdout.rpartition("imported:")
    return text, imported.strip()


@pytest.fixture
def environment(state_folder: Path) -> dict[str, str]:

    return {**os.environ, "QADAPT_STATE_DIR": str(state_folder)}


def test_version_imports_no_numpy(environment: dict[str, str]) -> None:
    assert _run("--version", env=environment) == (f"qadapt {qa.__version__}\n", "")


def test_history_imports_no_numpy(
    environment: dict[str, str], tmp_path: Path, state_folder: Path
) -> None:
    pytest.importorskip("qdrant_edge")
    with qa.open(f"edge:{tmp_path / 'data'}") as db:
        notes = db.create("notes", dim=8)
        rows = np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32)
        notes.write(qa.Batch(range(300), {"": rows}))
        change = notes.plan("scalar", guard="recall@5>=0.1").apply(yes=True)
    for args in (("history",), ("history", "--json")):
        text, imported = _run(*args, env=environment)
        assert change.id in text
        assert imported == ""
    completed = {"COMP_WORDS": "qadapt undo ", "COMP_CWORD": "2"}
    completed["_QADAPT_COMPLETE"] = "complete_bash"
    text, imported = _run(env={**environment, **completed})
    assert change.id in text
    assert imported == ""


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("matrix ", "weaviate"),
        ("schema ", "MemoryChange"),
        ("plan edge:/x notes bin", "binary"),
        ("plan --disable ", "native-rescore"),
        ("migrate --allow ", "payload"),
    ],
)
def test_completion_imports_no_numpy(environment: dict[str, str], line: str, expected: str) -> None:
    words = {"COMP_WORDS": f"qadapt {line}", "COMP_CWORD": str(len(f"{line}x".split()))}
    text, imported = _run(env={**environment, **words, "_QADAPT_COMPLETE": "complete_bash"})
    assert expected in text.split()
    assert imported == ""


def test_completion_lists_all_documents() -> None:
    assert list(NAMES) == list(schemas())
