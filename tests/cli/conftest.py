"""The command line in this process and in one of its own, and a small live collection."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import qadapt as qa
from qadapt.cli import main

REPO = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, which is one JSON document and nothing else."""
        return json.loads(self.out)


Cli = Callable[..., Ran]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """``cli("inspect", url)``: run it in this process."""

    def run(*words: object) -> Ran:
        capsys.readouterr()
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return run


@pytest.fixture
def environment(state_folder: Path) -> dict[str, str]:
    """The environment of a process of its own; without colour words of this terminal."""
    kept = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")}
    return {**kept, "PYTHONPATH": str(REPO), "TERM": "xterm-256color"}


@pytest.fixture
def process(environment: Mapping[str, str]) -> Cli:
    """``process("inspect", url)``: run it as a user does, in a process of its own."""

    def run(*words: object, **more: str) -> Ran:
        done = subprocess.run(
            [sys.executable, "-m", "qadapt.cli", *map(str, words)],
            env={**environment, **more},
            capture_output=True,
            text=True,
            timeout=60,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    return run


Filled = Callable[..., str]


@pytest.fixture
def filled(live: Callable[[str], str], embeddings: Any) -> Filled:
    """``filled("articles", rows=400)``: the address of a live store with real vectors."""
    url = live("edge")

    def fill(*names: str, rows: int = 400) -> str:
        payloads = [{"topic": "abc"[row % 3], "year": 1980 + row % 40} for row in range(rows)]
        batch = qa.Batch(list(range(rows)), {"": embeddings.docs[:rows]}, payloads)
        with qa.open(url) as db:
            for name in names:
                db.create(name, dim=embeddings.docs.shape[1]).write(batch)
        return url

    return fill


@pytest.fixture
def articles(filled: Filled) -> str:
    """A store with 400 real vectors in ``articles``."""
    return filled("articles")
