"""Encoding speed of qadapt and sentence-transformers, in alternating rounds of one run.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/codes.py [--n N] [--dim D] [--json]

Without sentence-transformers, only times of qadapt are printed. Both sides are checked to give the
same bytes before anything is timed. "read" is the time that numpy needs to read the vectors once
(`max`): no encoder that reads its input can be quicker than about that.

sentence-transformers makes temporary arrays as large as the input, so its times depend on how the
system hands out memory; set NUMPY_MADVISE_HUGEPAGE=0 to see them without huge pages.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np

from qadapt.codecs import Calibration, Precision, bit_query, fold, quantize

try:
    from sentence_transformers import __version__ as st_version
    from sentence_transformers.util.quantization import quantize_embeddings
except ImportError:
    st_version = None

PRECISIONS: tuple[Precision, ...] = ("int8", "uint8", "binary", "ubinary")


def seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def take_turns(calls: dict[str, Callable[[], Any]], repeats: int) -> dict[str, dict[str, float]]:
    """Minimum and median seconds per call; each repeat runs every call once."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            times[name].append(seconds(call))
    return {
        name: {"min": min(taken), "median": statistics.median(taken)}
        for name, taken in times.items()
    }


def extra_memory(call: Callable[[], np.ndarray]) -> int:
    """Peak bytes allocated, without the output."""
    tracemalloc.start()
    try:
        out = call()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    return peak - out.nbytes


def encoding(x: np.ndarray, repeats: int) -> list[dict[str, Any]]:
    calibration = Calibration.fit(x)
    ranges = np.stack([calibration.lo, calibration.hi])
    rows = []
    for precision in PRECISIONS:

        def ours(precision: Precision = precision) -> np.ndarray:
            return quantize(x, precision, calibration=calibration)

        calls: dict[str, Callable[[], Any]] = {"read": x.max, "ours": ours}
        if st_version:

            def theirs(precision: Precision = precision) -> np.ndarray:
                return quantize_embeddings(x, precision, ranges=ranges)

            if not np.array_equal(ours(), theirs()):
                sys.exit(f"{precision}: the codes differ from sentence-transformers {st_version}")
            calls["theirs"] = theirs
        row: dict[str, Any] = {"what": precision, **take_turns(calls, repeats)}
        if st_version:
            row["ratio_min"] = row["theirs"]["min"] / row["ours"]["min"]
            row["ratio_median"] = row["theirs"]["median"] / row["ours"]["median"]
        row["extra_memory_mb"] = extra_memory(ours) / 1e6
        rows.append(row)
    return rows


def scoring(x: np.ndarray, repeats: int) -> list[dict[str, Any]]:
    """Score functions of qadapt for 1 and 32 queries; times are for all queries together."""
    calibration = Calibration.fit(x)
    ints, bits = quantize(x, "int8", calibration=calibration), quantize(x, "ubinary")
    rows = []
    for nq in (1, 32):
        q = x[:nq] + np.float32(0.1)
        folded, one, full = fold(q, calibration), bit_query(q, 1), bit_query(q, 32)
        calls: dict[str, Callable[[], Any]] = {
            "float32 matmul": lambda q=q: q @ x.T,
            "int8 folded": lambda query=folded: query.score(ints),
            "1-bit query . bits": lambda query=one: query.score(bits),
            "32-bit query . bits": lambda query=full: query.score(bits),
        }
        for name, taken in take_turns(calls, repeats).items():
            rows.append({"what": name, "queries": nq, "ours": taken})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=100_000, help="vectors (default 100000)")
    parser.add_argument("--dim", type=int, default=1024, help="dimensions (default 1024)")
    parser.add_argument("--repeats", type=int, default=7, help="turns (default 7)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    args = parser.parse_args()

    x = np.random.default_rng(0).standard_normal((args.n, args.dim), dtype=np.float32)
    result = {
        "n": args.n,
        "dim": args.dim,
        "repeats": args.repeats,
        "numpy": np.__version__,
        "sentence_transformers": st_version,
        "machine": platform.processor() or platform.machine(),
        "threads": os.environ.get("OMP_NUM_THREADS", "not set"),
        "huge_pages": os.environ.get("NUMPY_MADVISE_HUGEPAGE", "numpy's default"),
        "encoding": encoding(x, args.repeats),
        "scoring": scoring(x, args.repeats),
    }
    if args.json:
        print(json.dumps(result, indent=2))
        return
    print(
        f"{args.n} x {args.dim} float32, numpy {np.__version__}, sentence-transformers "
        f"{st_version or 'not installed'}, OMP_NUM_THREADS {result['threads']}, huge pages: "
        f"{result['huge_pages']}; {args.repeats} turns, milliseconds min / median"
    )
    print(f"{'encode':20} {'read':>17} {'ours':>17} {'theirs':>17} {'times faster':>14} {'MB':>6}")
    for row in result["encoding"]:
        cells = [
            f"{row[side]['min'] * 1e3:7.1f} / {row[side]['median'] * 1e3:7.1f}"
            if side in row
            else f"{'-':>17}"
            for side in ("read", "ours", "theirs")
        ]
        ratio = f"{row['ratio_min']:.2f} / {row['ratio_median']:.2f}" if "ratio_min" in row else "-"
        print(f"{row['what']:20} {' '.join(cells)} {ratio:>14} {row['extra_memory_mb']:6.1f}")
    print(f"\n{'score':20} {'queries':>8} {'ours':>17}")
    for row in result["scoring"]:
        ours = row["ours"]
        print(
            f"{row['what']:20} {row['queries']:8} "
            f"{ours['min'] * 1e3:7.1f} / {ours['median'] * 1e3:7.1f}"
        )


if __name__ == "__main__":
    main()
