"""Examples of the README run unchanged (with fewer rows)."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def test_the_python_example_runs(tmp_path: Path) -> None:
    pytest.importorskip("qdrant_edge")
    block = re.search(r"In Python:\n\n(.*?)\n(?=\S)", README, re.DOTALL)
    assert block is not None
    code = textwrap.dedent(block[1])
    assert "20_000" in code
    done = subprocess.run(
        [sys.executable, "-c", code.replace("20_000", "2_000")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "active 1.0 " in done.stdout
    assert "rescore_from='collection'" in done.stdout


def test_every_named_command_exists() -> None:
    from typer.main import get_command

    from qadapt.cli.app import app

    named = set(re.findall(r"(?:^    |`)qadapt +([\w-]+)", README, re.MULTILINE))
    assert {"plan", "apply", "undo"} <= named
    assert named <= set(get_command(app).commands)  # type: ignore[attr-defined]


def test_every_linked_file_exists() -> None:
    folder = Path(__file__).parent.parent
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (folder / link).exists()] == []


def test_every_module_of_the_architecture_exists() -> None:
    folder = Path(__file__).parent.parent
    text = (folder / "docs" / "architecture.md").read_text(encoding="utf-8")
    layers = re.search(r"\| layer \| modules .*?\n\n", text, re.DOTALL)
    assert layers is not None
    named = [name for name in re.findall(r"`([\w/<>]+(?:/|\.py))`", layers[0]) if "<" not in name]
    assert {"api/", "migration/", "errors.py"} <= set(named)
    assert [name for name in named if not (folder / "qadapt" / name).exists()] == []


def test_every_extra_has_its_reason() -> None:
    tomllib = pytest.importorskip("tomllib", reason="needs Python 3.11")
    folder = Path(__file__).parent.parent
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    text = (folder / "docs" / "architecture.md").read_text(encoding="utf-8")
    told = text.partition("Extras bring")[2]
    extras = set(project["optional-dependencies"]) - {"all", "dev", "engines", "integrations"}
    assert [name for name in extras if f"`{name}`" not in told] == []
