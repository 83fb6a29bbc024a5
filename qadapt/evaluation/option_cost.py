"""The cost of an option: latency of a search, and price per month."""

from __future__ import annotations

from qadapt.evaluation.documents import Target
from qadapt.evaluation.results import Result
from qadapt.model import Prices


def p95(result: Result) -> float | None:
    """95th percentile in ms, warm, one query at a time; None if it was not measured."""
    for each in result.latency:
        if each.phase == "warm" and each.concurrency == 1:
            return each.p95
    return None


def monthly(target: Target, ram: int) -> float | None:
    """The monthly price of RAM; None without a price per GiB."""
    return Prices(target.price).monthly(ram, 0)
