"""Which tests run a line: measured once with coverage.py, and again for test files that change."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import coverage

# Folders in tests/ whose tests run code of the five areas.
FOLDERS = (
    "code_index codecs conformance costing diagnosis engines local migration planning simulation "
    "stores"
)
Functions = ast.FunctionDef | ast.AsyncFunctionDef


def pytest_command(workers: int = 1) -> list[str]:
    plugins = ["-p", "recorder", "-p", "no:cacheprovider"]
    parallel = ["-n", str(workers)] if workers > 1 else ["-p", "no:xdist"]
    return [sys.executable, "-m", "pytest", "-q", *plugins, *parallel]


def environment(copy: Path, root: Path, record: Path) -> dict[str, str]:
    """The environment of tests that import the package from ``copy``."""
    return {
        "QADAPT_TEST_CACHE": str(root / ".cache"),
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(copy), str(copy / "tests" / "mutation")]),
        "MUTATION_RECORD": str(record),
        "CI": "true",  # hypothesis takes the same examples each time
    }


class Covering:
    """The tests that run each statement, with their seconds; only tests that passed."""

    def __init__(self, copy: Path, root: Path, workers: int) -> None:
        self.copy, self.root, self.workers = copy, root, workers
        self.cache = root / ".cache" / "mutants"
        self.cache.mkdir(parents=True, exist_ok=True)
        self.seconds = self._measure()
        self.data = coverage.CoverageData(str(self.cache / "coverage"))
        self.data.read()

    def tests(self, path: str, line: int) -> list[str]:
        """The tests that run the statement at a line, fastest first.

        A statement outside of functions runs at import, so all tests of the module are taken.
        """
        lines = _contexts(self.data, path)
        inside = _statement(self.copy / path, line)
        wanted = lines if inside is None else inside
        found = {
            test for number in wanted for test in lines.get(number, ()) if test in self.seconds
        }
        return sorted(found, key=lambda test: (self.seconds[test], test))

    def _measure(self) -> dict[str, float]:
        state_file = self.cache / "state.json"
        state = json.loads(state_file.read_text()) if state_file.exists() else {}
        code = _digest(sorted((self.copy / "qadapt").rglob("*.py")))
        files = {
            str(path.relative_to(self.copy)): _digest([path])
            for folder in FOLDERS.split()
            for path in sorted((self.copy / "tests" / folder).rglob("test_*.py"))
        }
        if state.get("code") != code:
            state = {"code": code, "files": {}, "seconds": {}}
            (self.cache / "coverage").unlink(missing_ok=True)
        changed = [path for path in files if state["files"].get(path) != files[path]]
        seconds = {
            test: taken
            for test, taken in state["seconds"].items()
            if (path := test.partition("::")[0]) in files and path not in changed
        }
        if changed:
            seconds |= self._run(changed)
        state_file.write_text(json.dumps({"code": code, "files": files, "seconds": seconds}))
        return seconds

    def _run(self, files: list[str]) -> dict[str, float]:
        print(f"measuring coverage of {len(files)} test files", flush=True)
        settings, record = self.cache / "coveragerc", self.cache / "tests.json"
        data_file = self.cache / "coverage"
        settings.write_text(
            "[run]\nsource = qadapt\nrelative_files = true\ncore = ctrace\n"
            f"data_file = {data_file}\n"
        )
        subprocess.run(
            [
                *pytest_command(self.workers),
                *("-m", "not server", "--timeout", "300", "--cov", f"--cov-config={settings}"),
                *("--cov-append", "--cov-context=test", "--cov-report=", *files),
            ],
            cwd=self.copy,
            env=environment(self.copy, self.root, record),
            check=False,  # failed tests are not used
        )
        found = json.loads(record.read_text())
        return {test: seconds for test, (seconds, outcome) in found.items() if outcome == "passed"}


def _digest(paths: Iterable[Path]) -> str:
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in paths)).hexdigest()


def _contexts(data: coverage.CoverageData, path: str) -> dict[int, set[str]]:
    """The tests of each line, without the phase that pytest-cov appends to their names."""
    return {
        line: {context.rpartition("|")[0] for context in contexts}
        for line, contexts in data.contexts_by_lineno(path).items()
    }


def _statement(path: Path, line: int) -> range | None:
    """The lines whose tests run the statement at a line; None outside of functions.

    Of a compound statement these are the lines of its head. The head of a function has defaults,
    which matter to the tests of its body.
    """
    found: range | None = None
    for node, inside in _statements(path):
        last = node.end_lineno or 0
        if not node.lineno <= line <= last:
            continue
        body = node.body[0] if hasattr(node, "body") else None
        head = max(node.lineno, body.lineno - 1) if body else last
        if isinstance(node, Functions) and line <= head and body:
            found = range(body.lineno, last + 1)
        elif inside:
            found = range(node.lineno, head + 1) if line <= head else range(line, line + 1)
    return found


@cache
def _statements(path: Path) -> list[tuple[ast.stmt, bool]]:
    """All statements, outer ones first, and whether each is inside of a function."""
    found: list[tuple[ast.stmt, bool]] = []

    def collect(node: ast.AST, inside: bool) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.stmt):
                found.append((child, inside))
            collect(child, inside or isinstance(child, Functions))

    collect(ast.parse(path.read_text()), False)
    return found
