"""The examples of the repository run; those of frameworks in tests/integrations."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"


def test_each_example_is_run_by_a_test() -> None:
    tests = "\n".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    names = [path.name for path in (*EXAMPLES.glob("*.py"), *EXAMPLES.glob("*.ipynb"))]
    assert len(names) >= 6
    assert [name for name in names if f'"{name}"' not in tests] == []


def test_a_collection_is_quantized_measured_and_restored(tmp_path: Path) -> None:
    pytest.importorskip("qdrant_edge")
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "shrink_collection.py"), str(tmp_path / "data")],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("RAM ") and "status: active" in done.stdout
    found = re.search(r"recall@10 (\d\.\d+), without parameters (\d\.\d+)", done.stdout)
    assert found is not None
    assert float(found[1]) >= 0.9 > float(found[2])
    assert "rescored on: originals" in done.stdout
    assert done.stdout.endswith("after undo: none\n")


def run_cells(cells: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Run the code cells as a notebook does; returns HTML and text of the last line of each."""
    names: dict[str, Any] = {}
    shown = []
    for cell in cells:
        if cell["cell_type"] != "code":
            continue
        tree = ast.parse("".join(cell["source"]))
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, "cell", "exec"), names)
        if last is not None:
            value = eval(compile(ast.Expression(last.value), "cell", "eval"), names)
            if value is not None:
                shown.append((value._repr_html_(), str(value)))
    return shown


def test_the_notebook_runs_and_has_no_outputs() -> None:
    pytest.importorskip("qdrant_edge")
    file = EXAMPLES / "quickstart.ipynb"
    assert file.stat().st_size < 10_000
    notebook = json.loads(file.read_text("utf-8"))
    assert notebook["nbformat"] == 4
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    expected = ("articles", "binary:rescore=4", "RAM ", "applied", '{"row": ')
    for (html, text), words in zip(run_cells(notebook["cells"]), expected, strict=True):
        assert "<table>" in html or "<pre>" in html
        assert words in text
