"""What an option costs a user: the time of a search, and money a month."""

from __future__ import annotations

from qadapt.evaluation.results import Result, Target

GIB = 2**30


def p95(result: Result) -> float | None:
    """Warm, one query at a time: what a user waits, in ms."""
    for each in result.latency:
        if each.phase == "warm" and each.concurrency == 1:
            return each.p95
    return None


def monthly(target: Target, ram: int) -> float | None:
    """The price of so many bytes of RAM; None where no price was given."""
    return None if target.price is None else target.price * ram / GIB
