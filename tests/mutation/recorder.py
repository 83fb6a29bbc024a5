"""A pytest plugin of the mutation run: it selects tests, and records their seconds and outcomes.

``MUTATION_TESTS`` names a JSON list of node ids to run, in this order. ``MUTATION_RECORD`` names
the file that receives ``{node id: [seconds, outcome]}``, set-up included.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

_found: dict[str, tuple[float, str]] = {}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if path := os.environ.get("MUTATION_TESTS"):
        rank = {test: number for number, test in enumerate(json.loads(Path(path).read_text()))}
        items[:] = sorted(
            (item for item in items if item.nodeid in rank), key=lambda item: rank[item.nodeid]
        )


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    seconds, outcome = _found.get(report.nodeid, (0.0, "passed"))
    if report.outcome != "passed" and outcome != "failed":
        outcome = report.outcome
    _found[report.nodeid] = seconds + report.duration, outcome


def pytest_sessionfinish(session: pytest.Session) -> None:
    if not hasattr(session.config, "workerinput"):
        Path(os.environ["MUTATION_RECORD"]).write_text(json.dumps(_found))
