"""Progress of a whole call: each event has the share that is done and the time left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import qadapt as qa
from qadapt.api import Collection
from qadapt.evaluation import latency, overall_progress
from qadapt.evaluation.overall_progress import Meter, Steps
from qadapt.stores.base import Progress
from qadapt.testing import clustered

ROWS, DIM = 400, 16


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QADAPT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(latency, "MOST", 10)
    monkeypatch.setattr(latency, "CLIENT_SECONDS", 0.0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(overall_progress.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def articles(live: Callable[[str], str]) -> Iterator[Collection]:
    with qa.open(live("edge")) as db:
        made = db.create("articles", dim=DIM)
        made.write(qa.Batch(range(ROWS), {"": clustered(ROWS, DIM).rows}))
        yield made


@pytest.fixture
def tenants(live: Callable[[str], str]) -> Iterator[Collection]:
    """The rows of five tenants."""
    with qa.open(live("edge")) as db:
        made = db.create("tenants", dim=DIM)
        payloads = [{"tenant": f"t{row % 5}"} for row in range(ROWS)]
        made.write(qa.Batch(range(ROWS), {"": clustered(ROWS, DIM).rows}, payloads))
        yield made


@pytest.mark.parametrize(
    ("verb", "arguments", "last"),
    [
        ("verify", (), 0.99),
        ("simulate", ("scalar", "binary", "none"), 0.99),
        ("evaluate", ("scalar", "scalar:rescore=4"), 0.5),
        ("advise", (0.9,), 0.5),
    ],
)
def test_each_event_has_a_growing_share_and_the_time_left(
    articles: Collection, verb: str, arguments: tuple[Any, ...], last: float
) -> None:
    seen: list[Progress] = []
    options: dict[str, Any] = {"codes": ("scalar", "binary")} if verb == "advise" else {}
    getattr(articles, verb)(*arguments, queries=40, progress=seen.append, **options)
    shares = [event.share for event in seen]
    assert seen[0].stage == "reading queries"
    assert shares[0] is not None and shares[0] < 0.1
    assert all(event.left is not None and event.left >= 0 for event in seen)
    assert seen[0].left is not None and seen[0].left > 0
    assert shares == sorted(shares, key=lambda share: share or 0)
    assert shares[-1] is not None and last <= shares[-1] <= 1


def test_the_time_left_follows_the_pace(clock: list[float]) -> None:
    seen: list[Progress] = []
    meter = Meter(seen.append, {"first": 10.0, "second": 30.0}).start("first")
    assert (seen[-1].share, seen[-1].left) == (0, 40)
    clock[0] += 20  # twice as long as expected
    meter(Progress("rows", 100, 100))
    assert seen[-1].share == 0.25
    assert seen[-1].left == pytest.approx(30 * 23 / 13)
    meter.begin("second")
    meter(Progress("rows", 0, 100))
    assert seen[-1].share == 0.25
    meter(Progress("rows", 50, 100))
    assert seen[-1].share == 0.625


def test_a_part_with_several_stages_advances_with_time(clock: list[float]) -> None:
    seen: list[Progress] = []
    meter = Meter(seen.append, {"settings": 20.0}).start("settings")
    steps = Steps(meter, {"scalar": 10.0, "binary": 10.0})
    steps.begin("scalar")
    steps(Progress("copying", 100, 100))  # the first of several stages
    assert seen[-1].share == 0
    clock[0] += 5
    steps(Progress("searching", 1, 100))
    assert seen[-1].share == 0.25
    clock[0] += 100
    steps(Progress("searching", 2, 100))
    assert seen[-1].share == pytest.approx(0.475)
    steps.begin("binary")
    steps(Progress("searching"))
    assert seen[-1].share == 0.5


@pytest.mark.parametrize(("verb", "arguments"), [("verify", ()), ("evaluate", ("scalar",))])
def test_each_value_of_a_payload_field_adds_to_the_share(
    tenants: Collection, verb: str, arguments: tuple[Any, ...]
) -> None:
    seen: list[Progress] = []
    getattr(tenants, verb)(*arguments, queries=20, by="tenant", progress=seen.append)
    begun = [event.share for event in seen if event.stage == "computing ground truth"]
    distinct = sorted({share for share in begun if share is not None})
    assert len(distinct) >= 4
    assert all(event.share is not None and event.share <= 1 for event in seen)
