"""Progress without a terminal: lines with the percentage and the remaining time."""

from __future__ import annotations

import json
from typing import Any

import pytest

from qadapt.cli import progress as module
from qadapt.cli.events import Events
from qadapt.cli.output import Output
from qadapt.cli.progress import Reporter
from qadapt.stores.base import Progress


class Lines:
    """An output that is no terminal."""

    json = quiet = live = False
    verbose = 0

    def __init__(self) -> None:
        self.notes: list[str] = []

    def mask(self, text: str) -> str:
        return text

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_the_first_line_has_the_percentage_and_the_time_left(clock: list[float]) -> None:
    out: Any = Lines()
    with Reporter(out) as on:
        on(Progress("reading queries", share=0.0, left=75.0))
        for done in range(1, 100):
            clock[0] += 0.1
            on(Progress("computing ground truth", done, 100, share=done / 200, left=50.0))
    assert out.notes[0] == "reading queries (0 % of all, 1 min 15 s left)"
    assert out.notes[1] == "computing ground truth (0 % of all, 50.0 s left)"
    assert out.notes[2].endswith("/100 rows, 26 % of all, 50.0 s left")
    assert len(out.notes) == 3  # in 10 seconds


def test_a_stage_of_unknown_share_has_its_own_percentage(clock: list[float]) -> None:
    out: Any = Lines()
    with Reporter(out) as on:
        on(Progress("copying rows", 0, 100))
        clock[0] += 10
        on(Progress("copying rows", 25, 100))
        clock[0] += 10
        on(Progress("copying rows", 50))
    assert out.notes == [
        "copying rows",
        "  copying rows: 25/100 rows, 25 %, 30.0 s left",
        "  copying rows: 50 rows",
    ]


def test_a_stage_without_a_percentage_shows_how_long_it_has_run(clock: list[float]) -> None:
    out: Any = Lines()
    with Reporter(out) as on:
        on(Progress("rebuilding", 0, 1, "segments"))
        for _ in range(2):
            clock[0] += 10
            on(Progress("rebuilding", 0, 1, "segments"))
    assert out.notes[1:] == [
        "  rebuilding: 0/1 segments, running for 10.0 s",
        "  rebuilding: 0/1 segments, running for 20.0 s",
    ]


def test_json_events_have_the_share_and_the_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    on = Events(Output(json=True, words=()))
    on(Progress("simulating", 1, 4, "settings", share=0.123456, left=7.89))
    event = json.loads(capsys.readouterr().err)
    assert (event["share"], event["left"]) == (0.1235, 7.9)
