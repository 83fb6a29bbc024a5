"""Latency is measured at the client: nothing is subtracted."""

from __future__ import annotations

import pytest

from qadapt.evaluation import latency

MS = 8.0  # of a search


class Clock:
    """A clock that only searches move."""

    def __init__(self) -> None:
        self.now = 0.0
        self.searches = 0

    def perf_counter(self) -> float:
        return self.now

    def search(self, _: int) -> None:
        self.searches += 1
        self.now += MS / 1000


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(latency, "time", made)
    return made


def test_latency_includes_the_client(clock: Clock) -> None:
    """A client slower than the engine once gave a p50 of 0.00 ms."""
    found = latency.warm(clock.search, 4, 1, client_ms=1000.0, seconds=0.05)
    for each in (found.p50, found.p95, found.p99, found.mean):
        assert each == pytest.approx(MS)
    assert found.throughput == pytest.approx(1000 / MS)
    assert found.client_ms == 1000.0


def test_latency_does_not_depend_on_client_ms(clock: Clock) -> None:
    cold = latency.cold(clock.search, 10)
    assert cold.client_ms is None
    assert cold.p50 == pytest.approx(MS)
    assert cold.queries == clock.searches == 10


@pytest.mark.parametrize(
    ("seconds", "least", "most", "expected"),
    [
        (0.0, 20, 100, 20),  # at least this many, however slow they are
        (0.5, 20, 100, 63),  # the first one after 0.5 s is the last
        (5.0, 20, 100, 100),  # at most this many, however fast they are
    ],
)
def test_a_timing_ends(
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    seconds: float,
    least: int,
    most: int,
    expected: int,
) -> None:
    monkeypatch.setattr(latency, "FEWEST", least)
    monkeypatch.setattr(latency, "MOST", most)
    found = latency.warm(clock.search, 4, 1, client_ms=None, seconds=seconds)
    assert found.queries == clock.searches == expected
