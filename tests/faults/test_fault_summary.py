"""The line at the end of a run names the containers of fault tests."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import starting
from live.plugin import MUST_SEE, SEEN, pytest_terminal_summary


class Stand:
    """A container as far as the line goes; that real ones start is for the other tests here."""

    def __init__(self, engine: str, disk: str | None, **environment: str) -> None:
        self.version = "2.3.5"
        self.way = f"in a container of qadapt-test/{engine}:v2.3.5"

    def start(self) -> Stand:
        return self


def test_containers_of_faults_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "Container", Stand)
    config: Any = SimpleNamespace(stash=pytest.Stash())
    config.stash[SEEN], config.stash[MUST_SEE] = set(), set()
    starting.started_for(config, "milvus")
    starting.started_for(config, "milvus", "64m")
    lines: list[str] = []
    pytest_terminal_summary(SimpleNamespace(write_line=lines.append), config)
    assert lines == [
        "live engines: milvus 2.3.5 (faults, in a container of qadapt-test/milvus:v2.3.5)"
    ]
