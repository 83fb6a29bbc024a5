"""Fixtures that run the command line in this process or a subprocess, and a small live
collection."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from embeddings import Embeddings

import qadapt as qa
from qadapt.cli import main

REPO = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Ran:
    """Result of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, parsed as one JSON document."""
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
    """Environment of a subprocess, without color settings of this terminal."""
    kept = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")}
    return {**kept, "PYTHONPATH": str(REPO), "TERM": "xterm-256color"}


@pytest.fixture
def process(environment: Mapping[str, str]) -> Cli:
    """``process("inspect", url)``: run it in a subprocess."""

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


def fill(url: str, embeddings: Embeddings, *names: str, rows: int = 400) -> str:
    """Create collections of real vectors with payloads; returns the address."""
    payloads = [{"topic": "abc"[row % 3], "year": 1980 + row % 40} for row in range(rows)]
    batch = qa.Batch(list(range(rows)), {"": embeddings.docs[:rows]}, payloads)
    with qa.open(url) as db:
        for name in names:
            db.create(name, dim=embeddings.dim).write(batch)
    return url


@pytest.fixture
def filled(live: Callable[[str], str], embeddings: Embeddings) -> Filled:
    """``filled("articles", rows=400)``: the address of a live store with real vectors."""
    return functools.partial(fill, live("edge"), embeddings)


@pytest.fixture(scope="session")
def shared_articles(
    embeddings: Embeddings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """400 real vectors in ``articles``, for tests that change nothing."""
    url = f"edge:{tmp_path_factory.mktemp('shared') / 'edge'}"
    yield fill(url, embeddings, "articles")
    with qa.open(url) as db:
        assert db.collections() == ["articles"], "a test of the shared store made a collection"
        assert db["articles"].count() == 400, "a test of the shared store wrote rows"


@pytest.fixture
def articles(filled: Filled) -> str:
    """A store with 400 real vectors in ``articles``."""
    return filled("articles")
