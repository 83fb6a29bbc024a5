"""Import time of qadapt and of its command line compared with numpy, each in a new process.

They are imported alternately, so that a busy machine slows all. The minimum is compared, because
noise only adds time.

    python benchmarks/import_time.py [--runs 20] [--limit 0.15] [--json]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys

CODE = """
import time
start = time.perf_counter()
import {module}
print(time.perf_counter() - start)
"""
COMMAND_LINE = "qadapt.cli.app"  # what `qadapt --version` and shell completion import
MODULES = ("numpy", "qadapt", COMMAND_LINE)


def seconds(module: str) -> float:
    """One import in a fresh process."""
    command = [sys.executable, "-c", CODE.format(module=module)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout)


def measure(runs: int) -> dict[str, list[float]]:
    """``runs`` imports of each, in turn; one more before, to fill the file cache."""
    for module in MODULES:
        seconds(module)
    taken: dict[str, list[float]] = {module: [] for module in MODULES}
    for _ in range(runs):
        for module in MODULES:
            taken[module].append(seconds(module))
    return taken


def main() -> int:
    parser = argparse.ArgumentParser(description="compare the import times of qadapt and numpy")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--limit", type=float, default=0.15, help="seconds in addition to numpy")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    given = parser.parse_args()

    taken = measure(given.runs)
    best = {module: min(values) for module, values in taken.items()}
    median = {module: statistics.median(values) for module, values in taken.items()}
    beside = {name: of["qadapt"] - of["numpy"] for name, of in (("min", best), ("median", median))}
    good = beside["min"] <= given.limit
    if given.json:
        report = {
            "python": sys.version.split()[0],
            "runs": given.runs,
            "min_s": best,
            "median_s": median,
            "beside_numpy_s": beside,
            "limit_s": given.limit,
            "ok": good,
        }
        print(json.dumps(report, indent=2))
    else:
        print(f"{given.runs} imports each, Python {sys.version.split()[0]}; seconds")
        print(f"{'':16}{'min':>8}{'median':>8}")
        for module in MODULES:
            print(f"{module:16}{best[module]:8.3f}{median[module]:8.3f}")
        print(f"{'difference':16}{beside['min']:8.3f}{beside['median']:8.3f}")
        verdict = "within" if good else "OVER"
        print(f"{verdict} the limit of {given.limit:g} s")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
