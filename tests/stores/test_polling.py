"""Waiting for an engine, and snapshots with an age: with a simulated clock."""

from __future__ import annotations

import pytest

from qadapt.errors import StoreTimeoutError
from qadapt.stores import polling
from qadapt.stores.polling import Deadline, Streak, Wait, poll
from qadapt.stores.snapshots import SnapshotCache
from qadapt.stores.store_types import Progress


class Clock:
    def __init__(self) -> None:
        self.now = 100.0
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(polling.time, "sleep", clock.sleep)
    return clock


def late(found: int) -> StoreTimeoutError:
    return StoreTimeoutError(f"still {found}")


def test_polling_ends_with_the_final_state(clock: Clock) -> None:
    looks, reported = iter([1, 2, 3]), []
    found = poll(
        lambda: next(looks),
        lambda n: n == 3,
        lambda n: Progress("waiting", n, 3),
        late,
        Wait(reported.append, Deadline(60, clock)),
    )
    assert found == 3
    assert [each.done for each in reported] == [1, 2]


def test_pauses_grow_to_a_limit_and_never_pass_the_deadline(clock: Clock) -> None:
    with pytest.raises(StoreTimeoutError, match="still 7"):
        poll(
            lambda: 7,
            bool(0).__and__,
            lambda _: Progress("x"),
            late,
            Wait(print, Deadline(20, clock)),
        )
    assert clock.pauses[0] == polling.PAUSE
    assert max(clock.pauses) == polling.LONGEST
    assert clock.pauses[:-1] == sorted(clock.pauses[:-1])
    assert clock.now == pytest.approx(120.0)


def test_polling_reads_once_more_after_the_deadline(clock: Clock) -> None:
    looks = iter([False, True])
    assert poll(
        lambda: next(looks), bool, lambda _: Progress("x"), late, Wait(print, Deadline(0.1, clock))
    )
    assert clock.pauses == [pytest.approx(0.1)]


def test_a_streak_restarts_after_another_state() -> None:
    streak = Streak(2)
    assert [streak(each) for each in (True, False, True, True, True)] == [
        *(False, False, False),
        *(True, True),
    ]


def test_the_remaining_time_is_never_negative(clock: Clock) -> None:
    deadline = Deadline(2, clock)
    clock.now += 1.5
    assert (deadline.left, deadline.passed, deadline.at_least(1)) == (0.5, False, 1)
    clock.now += 9
    assert (deadline.left, deadline.passed) == (0, True)


def test_a_snapshot_is_reused_up_to_its_maximum_age(clock: Clock) -> None:
    cache: SnapshotCache[str] = SnapshotCache(clock)
    assert cache.get("a") is None
    assert cache.put("a", "first") == "first"
    cache.put("b", "other")
    clock.now += 5
    assert cache.get("a") == "first"
    assert cache.get("a", 5.1) == "first"
    assert cache.get("a", 5) is None
    cache.put("a", "second")
    assert cache.get("a", 5) == "second"
    cache.forget("a")
    assert (cache.get("a"), cache.get("b")) == (None, "other")
    cache.forget()
    assert cache.get("b") is None
