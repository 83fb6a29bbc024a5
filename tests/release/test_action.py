"""The GitHub Action: its steps are run by bash, as GitHub does, on the embedded engine."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import qadapt as qa

REPO = Path(__file__).parents[2]
ACTION: dict[str, Any] = yaml.safe_load((REPO / "action.yml").read_text("utf-8"))
# Replaces the python of actions/setup-python: its `-m venv` makes an environment whose `pip`
# records its arguments, and whose `python` and `qadapt` are those of the test.
PYTHON = """#!/bin/sh
set -e
test "$1 $2" = "-m venv"
mkdir -p "$3/bin"
printf '#!/bin/sh\\necho "$@" > {pip}\\n' > "$3/bin/pip"
printf '#!/bin/sh\\nexec {python} "$@"\\n' > "$3/bin/python"
printf '#!/bin/sh\\nexec {python} -m qadapt "$@"\\n' > "$3/bin/qadapt"
chmod +x "$3/bin/"*
"""


class Runner:
    """Runs the steps of the action; stops at the first that fails."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.output = folder / "output"
        self.output.touch()
        self.pip = folder / "pip"
        tools = folder / "tools"
        tools.mkdir()
        python = tools / "python"
        python.write_text(PYTHON.format(python=sys.executable, pip=self.pip))
        python.chmod(0o755)
        self._environment = {
            **os.environ,
            "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(REPO),
            "RUNNER_TEMP": str(folder / "runner"),
            "GITHUB_OUTPUT": str(self.output),
        }
        (folder / "runner").mkdir()

    def run(self, **given: str) -> tuple[list[str], subprocess.CompletedProcess[str]]:
        """The names of the steps that ran, and the last one."""
        defaults = {key: each.get("default") for key, each in ACTION["inputs"].items()}
        inputs = {**defaults, **given}
        assert None not in inputs.values() and set(inputs) == set(defaults)

        def filled(text: str) -> str:
            return re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda found: inputs[found[1]], text)

        ran = []
        done = None
        for step in ACTION["runs"]["steps"]:
            if "run" not in step:
                continue
            if "if" in step:
                assert step["if"] == "inputs.spec != ''"
                if not inputs["spec"]:
                    continue
            assert step["shell"] == "bash"
            # Inputs reach the shell as environment variables only, so that they are never code.
            assert "${{" not in step["run"]
            script = self.folder / "step.sh"
            script.write_text(step["run"])
            variables = {key: filled(text) for key, text in step.get("env", {}).items()}
            done = subprocess.run(
                ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)],
                env={**self._environment, **variables},
                cwd=self.folder,
                capture_output=True,
                text=True,
                check=False,
            )
            ran.append(step["name"])
            if done.returncode:
                break
        assert done is not None
        return ran, done


@pytest.fixture
def notes(live: Callable[[str], str]) -> str:
    """Sign bits that are not rescored: recall@10 is above 0.1 and below 1."""
    url = live("edge")
    rows = np.random.default_rng(0).standard_normal((1_000, 64)).astype(np.float32)
    with qa.open(url) as database:
        collection = database.create("notes", dim=64)
        collection.write(qa.Batch(range(len(rows)), {"": rows}))
        collection.plan("binary:rescore=off").apply(yes=True)
    return url


def test_the_steps_run_and_the_gate_decides(notes: str, tmp_path: Path) -> None:
    def spec(quantization: str) -> str:
        file = tmp_path / f"{quantization}.yaml"
        file.write_text(
            f"store: {notes}\ncollections:\n  notes:\n    vectors:\n"
            f"      '': {{quantization: {quantization}, rescore: \"off\"}}\n"
        )
        return file.name

    runner = Runner(tmp_path)
    given = {"url": notes, "collection": "notes", "extra": "edge"}
    install, compare, verify = [step["name"] for step in ACTION["runs"]["steps"] if "run" in step]

    ran, done = runner.run(
        **given, gate="recall@10>=0.1", queries="50", spec=spec("binary"), version="==0.2.0"
    )
    assert (ran, done.returncode) == ([install, compare, verify], 0), done.stderr
    assert runner.pip.read_text() == "install --quiet qadapt-vectors[edge]==0.2.0\n"
    (recall,) = re.findall(r"^recall=(0\.\d+)$", runner.output.read_text(), re.MULTILINE)
    assert 0.1 < float(recall) < 1

    runner.output.write_text("")
    ran, done = runner.run(**given, gate="recall@10>=0.9999", queries="50")
    assert (ran, done.returncode) == ([install, verify], 3)
    assert re.fullmatch(r"recall=0\.\d+\n", runner.output.read_text())

    ran, done = runner.run(**given, spec=spec("scalar"))
    assert (ran, done.returncode) == ([install, compare], 5), done.stderr

    runner.output.write_text("")
    ran, done = runner.run(**{**given, "collection": "missing; exit 0"})
    assert ran == [install, verify] and done.returncode == 1
    assert runner.output.read_text() == "recall=\n"


def test_each_input_is_used() -> None:
    text = (REPO / "action.yml").read_text("utf-8")
    assert [name for name in ACTION["inputs"] if f"inputs.{name}" not in text] == []
