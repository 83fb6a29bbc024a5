"""Overhead of ``collection.search(query, k)`` over the raw client, for one query at a time.

    python benchmarks/overhead.py                               # all stores without a server
    python benchmarks/overhead.py everything --rows 10000       # also servers out of packages
    python benchmarks/overhead.py edge local --runs 5 --pairs 200
    python benchmarks/overhead.py weaviate+http://localhost:8080 milvus+http://localhost:19530
    python benchmarks/overhead.py postgresql://localhost/mydb    # needs the package pgvector

Each store is searched with k 10 and 100, with and without payloads, by qadapt and by the code that
a user of the client writes for the same parameters and results. Both read the id, score and payload
of each result (not with ``--unread``, which times only the call), and the results of 20 queries are
compared first. Calls alternate (raw, qadapt, qadapt, raw, ...); figures are the medians of several
runs. The limit is the larger of 1.05 times the p50 of the raw client and 50 microseconds more.

CPU is the time of the calling thread: the median, and the least of all calls, which is almost the
same on a busy machine. The last columns are the throughput of 8 threads divided by that of the raw
client, by elapsed time and by the CPU time of this process, with engines that are part of it.
``qdrant-rest`` and ``qdrant-grpc`` send requests to a process that answers at once with fixed
bodies, so that only the work of the client is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from overhead_servers import SERVERS
from overhead_stores import DIM, RawOf, Rows, Search, opened

ROWS, QUERIES = 10_000, 64
FACTOR, MICROSECONDS = 1.05, 50.0
THREADS, THROUGHPUT = 8, 0.95
STORES = (
    "edge", "local", "lite", "sqlite-vec", "lancedb", "chroma", "clickhouse",
    "qdrant-rest", "qdrant-grpc",
)  # fmt: skip


@dataclass
class Figures:
    """Microseconds, medians of the runs."""

    store: str
    k: int
    payload: bool
    raw_p50: float
    raw_p99: float
    p50: float
    p99: float
    raw_cpu: float
    cpu: float
    raw_least: float
    least: float
    threads: float | None = None
    threads_cpu: float | None = None

    @property
    def ratio(self) -> float:
        return self.p50 / self.raw_p50

    @property
    def within(self) -> bool:
        return self.p50 <= max(FACTOR * self.raw_p50, self.raw_p50 + MICROSECONDS)


# -- measuring -----------------------------------------------------------------------------------


def measure(raw: Search, ours: Search, queries: Sequence[Any], pairs: int) -> list[float]:
    """p50 and p99 of both, then median and least CPU time of both; microseconds."""
    wall: tuple[list[int], list[int]] = ([], [])
    cpu: tuple[list[int], list[int]] = ([], [])
    calls = (raw, ours)
    for turn in range(-pairs // 10, pairs):
        for which in (0, 1) if turn % 2 else (1, 0):
            query, call = queries[turn % len(queries)], calls[which]
            start_cpu, start = time.thread_time_ns(), time.perf_counter_ns()
            call(query)
            end, end_cpu = time.perf_counter_ns(), time.thread_time_ns()
            if turn >= 0:
                wall[which].append(end - start)
                cpu[which].append(end_cpu - start_cpu)
    found = [float(np.percentile(each, q)) for each in wall for q in (50, 99)]
    return [each / 1000 for each in (*found, *map(statistics.median, cpu), *map(min, cpu))]


def throughput(call: Search, queries: Sequence[Any], seconds: float) -> tuple[float, float]:
    """Calls of 8 threads per second, and per second of CPU time."""
    done = [0] * THREADS
    end = time.perf_counter() + seconds

    def work(which: int) -> None:
        at = which
        while time.perf_counter() < end:
            call(queries[at % len(queries)])
            done[which] += 1
            at += THREADS

    start, start_cpu = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, range(THREADS)))  # raises the error of a thread
    calls = sum(done)
    return calls / (time.perf_counter() - start), calls / (time.process_time() - start_cpu)


def compared_throughput(
    raw: Search, ours: Search, queries: Sequence[Any], given: argparse.Namespace
) -> tuple[float, float]:
    """Throughput of qadapt divided by that of the raw client, by elapsed and by CPU time."""
    ratios = []
    for turn in range(given.runs):
        both = {}
        for call in (raw, ours) if turn % 2 else (ours, raw):
            both[call] = throughput(call, queries, given.seconds)
        ratios.append([mine / its for mine, its in zip(both[ours], both[raw], strict=True)])
    elapsed, cpu = (statistics.median(each) for each in zip(*ratios, strict=True))
    return elapsed, cpu


def compared(label: str, raw: Search, ours: Search, queries: Sequence[Any]) -> None:
    """Require the same ids, scores and payloads."""
    for query in queries[:20]:
        left, right = raw(query), ours(query)
        same = [row[0] for row in left] == [row[0] for row in right]
        close = np.allclose([row[1] for row in left], [row[1] for row in right], atol=1e-5)
        if not same or not close or [row[2] for row in left] != [row[2] for row in right]:
            raise SystemExit(f"{label}: results differ\n  raw    {left[:3]}\n  qadapt {right[:3]}")


def pairs_of(
    store: str, collection: Any, raw_of: RawOf, given: argparse.Namespace
) -> Iterator[Figures]:
    random = np.random.default_rng(1)
    queries = list(random.standard_normal((QUERIES, DIM), dtype=np.float32))
    for k in given.k:
        for payload in (False, True):
            raw = raw_of(k, payload, not given.unread)

            def ours(query: Any, k: int = k, payload: bool = payload) -> Rows:
                found = collection.search(query, k, with_payload=payload)
                if given.unread:
                    return []
                return [(hit.id, hit.score, hit.payload) for hit in found]

            if not given.replay and not given.unread:
                compared(f"{store}, k={k}", raw, ours, queries)
            runs = [measure(raw, ours, queries, given.pairs) for _ in range(given.runs)]
            *middle, raw_least, least = zip(*runs, strict=True)
            yield Figures(
                store,
                k,
                payload,
                *map(statistics.median, middle),
                min(raw_least),
                min(least),
                *(compared_throughput(raw, ours, queries, given) if given.seconds else ()),
            )


# -- output --------------------------------------------------------------------------------------


def line(each: Figures) -> str:
    threads = ""
    if each.threads is not None:
        threads = f"  {THREADS} threads {each.threads:.2f}, by CPU {each.threads_cpu:.2f}"
    return (
        f"{each.store:12} k={each.k:<4} {'payload' if each.payload else '':8}"
        f" p50 {each.raw_p50:7.0f} -> {each.p50:7.0f} us  x{each.ratio:.2f}"
        f" {each.p50 - each.raw_p50:+7.0f} us   p99 {each.raw_p99:7.0f} -> {each.p99:7.0f}"
        f"   CPU {each.raw_cpu:6.0f} -> {each.cpu:6.0f} {each.cpu - each.raw_cpu:+6.0f} us,"
        f" least {each.raw_least:6.0f} -> {each.least:6.0f} {each.least - each.raw_least:+6.0f} us"
        f"{threads}  {'' if each.within else 'OVER'}"
    )


def main() -> int:
    """Print the figures; 1 if one exceeds the limit."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("targets", nargs="*", default=STORES, help="stores or addresses")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=200, help="pairs of calls of each run")
    parser.add_argument("--k", type=int, nargs="*", default=[10, 100])
    parser.add_argument("--seconds", type=float, default=0.5, help="of each measurement of threads")
    parser.add_argument("--unread", action="store_true", help="do not read results")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found: list[Figures] = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("QADAPT_STATE_DIR", f"{folder}/state")
        targets = (*STORES, *SERVERS) if given.targets == ["everything"] else given.targets
        for target in targets:
            given.replay = target in ("qdrant-rest", "qdrant-grpc")
            with opened(target, Path(folder), given.rows) as (collection, raw_of):
                for each in pairs_of(target.split("+")[0], collection, raw_of, given):
                    found.append(each)
                    if not given.json:
                        print(line(each), flush=True)
    if given.json:
        figures = [{**asdict(each), "within": each.within} for each in found]
        about = {"python": platform.python_version(), "load": os.getloadavg()[0]}
        print(json.dumps({**about, "figures": figures}, indent=2))
    return 0 if all(each.within for each in found) else 1


if __name__ == "__main__":
    sys.exit(main())
