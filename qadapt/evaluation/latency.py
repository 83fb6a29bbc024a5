"""Measure the latency of searches: cold and warm, sequential and concurrent."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from qadapt.evaluation.options import SECONDS
from qadapt.evaluation.results import Latency

Doubles = npt.NDArray[np.float64]
One = Callable[[int], object]

COLD = 50  # queries timed just after opening
FEWEST, MOST = 100, 2_000  # warm queries per concurrency
CLIENT_FEWEST, CLIENT_SECONDS = 30, 0.3


def timed(one: One, queries: int, concurrency: int, *, seconds: float, least: int) -> tuple[
    Doubles, float
]:  # fmt: skip
    """Time searches: milliseconds of each, and seconds in total.

    Args:
        one: searches for the query with the given number.
        queries: number of queries; they are repeated in order.
        seconds: no further query starts after this time, once ``least`` are done.
    """
    begun = time.perf_counter()

    def worker(first: int) -> list[float]:
        spent: list[float] = []
        at = first
        while True:
            elapsed = time.perf_counter() - begun
            done = len(spent) * concurrency
            if done >= MOST or (elapsed > seconds and done >= least):
                return spent
            start = time.perf_counter()
            one(at % queries)
            spent.append(time.perf_counter() - start)
            at += concurrency

    if concurrency == 1:
        found = worker(0)
    else:
        with ThreadPoolExecutor(concurrency) as pool:
            found = [item for part in pool.map(worker, range(concurrency)) for item in part]
    return np.asarray(found) * 1000, time.perf_counter() - begun


def cold(one: One, queries: int) -> Latency:
    """Time the first queries once, one at a time."""
    count = min(COLD, queries)
    spent, wall = timed(one, count, 1, seconds=0.0, least=count)
    return _latency("cold", 1, spent, wall, None)


def warm(
    one: One, queries: int, concurrency: int, *, client_ms: float | None, seconds: float = SECONDS
) -> Latency:
    """Time repeated queries at a concurrency."""
    spent, wall = timed(one, queries, concurrency, seconds=seconds, least=FEWEST)
    return _latency("warm", concurrency, spent, wall, client_ms)


def batched(sizes: Sequence[int], seconds: Sequence[float]) -> Latency:
    """Searches in batches.

    Args:
        sizes: queries of each batch.
        seconds: duration of each batch.
    """
    spent = np.repeat(1000 * np.asarray(seconds) / np.asarray(sizes), sizes)
    return _latency("batch", 1, spent, float(np.sum(seconds)), None)


def client_overhead(one: One, queries: int) -> float:
    """Median milliseconds of a search that requires almost no work from the engine."""
    spent, _ = timed(one, queries, 1, seconds=CLIENT_SECONDS, least=CLIENT_FEWEST)
    return float(np.median(spent))


def _latency(
    phase: str, concurrency: int, spent: Doubles, wall: float, client_ms: float | None
) -> Latency:
    p50, p95, p99 = np.percentile(spent, [50, 95, 99])
    found = Latency(
        phase,  # type: ignore[arg-type]
        concurrency,
        float(p50),
        float(p95),
        float(p99),
        float(spent.mean()),
        len(spent) / wall,
        len(spent),
    )
    return found.replace(client_ms=client_ms)
