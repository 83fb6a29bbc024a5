"""Progress of a copy, with a replaced clock."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from qadapt.errors import TransientError
from qadapt.migration import local_executor
from qadapt.migration.local_executor import RECOUNT_SECONDS, CopyStats, progress_reporter
from qadapt.stores.base import Progress


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(local_executor, "time", made)
    return made


def reporter(counts: list[Any], seen: list[Progress], *, partitions: int = 0) -> Any:
    """A reporter of a source of 100 rows, whose next counts are ``counts``."""

    def count(_: str) -> int:
        found = counts.pop(0)
        if isinstance(found, Exception):
            raise found
        return int(found)

    plan: Any = SimpleNamespace(
        count=100, partitions=SimpleNamespace(rows=dict.fromkeys(map(str, range(partitions)), 1))
    )
    worker: Any = SimpleNamespace(
        source=SimpleNamespace(name="docs", store=SimpleNamespace(count=count))
    )
    return progress_reporter(plan, worker, 20, seen.append)


def test_progress_has_the_rate_of_this_run_and_the_lag_behind_the_source(clock: Clock) -> None:
    seen: list[Progress] = []
    report = reporter([], seen)
    clock.now += 2
    report(10)
    assert seen == [Progress("copying", 30, 100, rate=5.0, lag=70)]


def test_the_source_is_counted_again_only_after_a_pause(clock: Clock) -> None:
    seen: list[Progress] = []
    report = reporter([140, 25], seen)
    clock.now += RECOUNT_SECONDS
    report(10)
    clock.now += 1
    report(10)
    report(10)
    clock.now += RECOUNT_SECONDS + 1
    report(10)
    assert [each.total for each in seen] == [100, 140, 140, 25]
    assert [each.lag for each in seen] == [70, 110, 110, 0]


def test_a_failed_count_keeps_the_last_one(clock: Clock) -> None:
    seen: list[Progress] = []
    report = reporter([TransientError("gone"), TransientError("gone")], seen)
    clock.now += RECOUNT_SECONDS + 1
    report(10)
    clock.now += RECOUNT_SECONDS + 1
    report(90)
    assert [(each.done, each.total) for each in seen] == [(30, 100), (110, 110)]


def test_a_source_of_many_partitions_is_not_counted_again(clock: Clock) -> None:
    seen: list[Progress] = []
    report = reporter([], seen, partitions=local_executor.MAX_RECOUNTED + 1)
    clock.now += RECOUNT_SECONDS + 1
    report(10)
    assert seen[0].total == 100


def test_a_copy_that_took_no_time_has_no_throughput() -> None:
    assert CopyStats().rows_per_second == 0
    assert CopyStats(rows=10, seconds=4).rows_per_second == 2.5
    assert CopyStats() == CopyStats(0, 0, 0.0, 0, 0.0, 0)
