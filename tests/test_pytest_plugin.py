"""The fixture ``qadapt_recall`` in runs of pytest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qadapt as qa

REPO = Path(__file__).parents[1]
Live = Callable[[str], str]

TESTS = """
def test_recall(qadapt_recall):
    found = qadapt_recall({url!r}, "recall@10>=0.1")
    assert 0.1 <= found.recall.value < 1

def test_gate_of_the_test(qadapt_recall):
    qadapt_recall({url!r}, "recall@5>=0.9999", active=False)
"""


@pytest.fixture
def notes(live: Live) -> str:
    """A collection with sign bits that are not rescored: recall@10 is above 0.1 and below 1."""
    url = live("edge")
    rows = np.random.default_rng(0).standard_normal((2_000, 64)).astype(np.float32)
    with qa.open(url) as database:
        collection = database.create("notes", dim=64)
        collection.write(qa.Batch(range(len(rows)), {"": rows}))
        collection.plan("binary:rescore=off").apply(yes=True)
    return f"{url}#notes"


RUNS = """
import json, sys, pytest
for options in json.loads(sys.argv[1]):
    pytest.main(["-p", "qadapt.pytest_plugin", "-p", "no:cacheprovider", "-q", "-rf", *options])
    print(json.dumps(options), flush=True)
"""


def outcomes(folder: Path, *runs: list[str]) -> list[str]:
    """What each of these runs of pytest prints. They share a process, which imports once."""
    # Other plugins are not loaded: they take longer than a run.
    environment = {
        **os.environ, "PYTHONPATH": str(REPO), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", RUNS, json.dumps(runs)], cwd=folder, env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True,
    )  # fmt: skip
    rest, found = done.stdout, []
    for options in runs:
        output, _, rest = rest.partition(f"{json.dumps(options)}\n")
        found.append(output)
    return found


def test_a_test_fails_below_its_gate_and_below_that_of_the_command_line(
    notes: str, tmp_path: Path
) -> None:
    folder = tmp_path / "suite"
    folder.mkdir()
    (folder / "test_it.py").write_text(TESTS.format(url=notes))
    (folder / "pytest.ini").write_text("[pytest]\n")
    own, strict, easy, wrong = outcomes(
        folder,
        [],
        ["--qadapt-gate", "recall@10>=0.9999"],
        ["--qadapt-gate", "recall@10>=0.01"],
        ["--qadapt-gate", "recall"],
    )
    assert "1 failed, 1 passed" in own and "below the gate recall@5>=0.9999" in own
    assert "2 failed" in strict
    assert "notes: recall@10 is 0." in strict and "below the gate recall@10>=0.9999" in strict
    assert "2 passed" in easy
    assert "recall@10>" in wrong


def test_an_inactive_quantization_fails_the_test(
    live: Live, qadapt_recall_of: Callable[..., Any]
) -> None:
    with qa.open(live("edge")) as database:
        collection = database.create("notes", dim=8, quantization="binary")
        collection.write(qa.Batch(range(300), {"": np.random.default_rng(1).random((300, 8))}))
        assert collection.info().vectors[""].status.state != "active"
        with pytest.raises(pytest.fail.Exception, match=r"notes: .*binary.* on the engine"):
            qadapt_recall_of(collection, "recall@10>=0.1")
        assert qadapt_recall_of(collection, "recall@10>=0.1", active=False).recall.value > 0.1


@pytest.fixture
def qadapt_recall_of(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """The fixture's function, without the plugin in this run."""
    from qadapt import pytest_plugin

    class Request:
        class config:  # noqa: N801
            @staticmethod
            def getoption(_: str) -> None:
                return None

    made: Callable[..., Any] = pytest_plugin.qadapt_recall.__wrapped__(Request)
    return made
