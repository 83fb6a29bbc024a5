"""Ctrl-C while the command line starts: one line and exit code 130, at any import."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

# Ctrl-C at the moment when a module is looked for.
INTERRUPT = """
import runpy, signal, sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == MODULE:
            sys.meta_path.remove(self)
            signal.raise_signal(signal.SIGINT)

MODULE, *words = sys.argv[1:]
sys.argv[1:] = words
sys.meta_path.insert(0, Finder())
"""
STARTS = {
    "module": "runpy.run_module('qadapt', run_name='__main__', alter_sys=True)",
    "script": "from qadapt.__main__ import run; sys.exit(run())",
}
MODULES = (
    "qadapt.cli", "qadapt.cli.interrupts", "qadapt.cli.app", "typer", "qadapt.cli.output",
    "qadapt.errors", "qadapt.api", "numpy", "numpy._core._multiarray_umath", "rich.text",
    "filelock", "qadapt.stores.registry", "qadapt.stores.sqlite_vec.store", "sqlite_vec",
)  # fmt: skip


@pytest.mark.parametrize(
    ("module", "start"),
    [*((module, "module") for module in MODULES), ("qadapt.cli", "script"), ("numpy", "script")],
)
def test_ctrl_c_at_an_import(
    module: str, start: str, environment: Mapping[str, str], tmp_path: Path
) -> None:
    words = ["inspect", f"sqlite-vec:{tmp_path}/a.db"]
    code = INTERRUPT + STARTS[start]
    done = subprocess.run(
        [sys.executable, "-c", code, module, *words],
        env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (130, ""), done.stderr
    assert [line for line in done.stderr.splitlines() if "hint" not in line] == [
        "error: interrupted"
    ]


def test_nothing_is_imported_before_ctrl_c_is_handled(environment: Mapping[str, str]) -> None:
    """In front of the command line's own code, Ctrl-C would print a traceback."""
    code = (
        "import sys; before = set(sys.modules); import qadapt.__main__; "
        "print(*before ^ set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert set(done.stdout.split()) == {"qadapt", "qadapt.version", "qadapt.__main__"}
