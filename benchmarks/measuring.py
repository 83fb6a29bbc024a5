"""Time of verify, doctor, simulate and advise, compared with reading all rows once.

    python benchmarks/measuring.py                                   # 60,000 x 768 on edge
    python benchmarks/measuring.py --rows 20000 --dim 256 --url http://localhost:8080
    python benchmarks/measuring.py --verbs verify simulate --runs 3 --json

Writes a collection of clustered vectors and runs each command as a user does, through the public
API with default options and without cached results. Prints the median of seconds and of CPU seconds
of this process and its children (a server is not included), the seconds until the first progress
event and until the first answer, and the ratio to a read of all rows.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import qadapt as qa
from qadapt.evaluation.shortlist import CODES
from qadapt.stores.base import Progress

VERBS = ("read", "doctor", "verify", "simulate", "advise")
BATCH = 2_000


def vectors(rows: int, dim: int) -> np.ndarray:
    """Clusters with a decaying spectrum, rotated and normalized, float32 ``(rows, dim)``."""
    random = np.random.default_rng(0)
    spectrum = (1 / np.sqrt(1 + np.arange(dim))).astype(np.float32)
    centers = random.standard_normal((max(1, rows // 60), dim), dtype=np.float32) * spectrum
    found = centers[random.integers(0, len(centers), rows)]
    found += 0.7 * random.standard_normal((rows, dim), dtype=np.float32) * spectrum
    rotation, _ = np.linalg.qr(random.standard_normal((dim, dim), dtype=np.float32))
    found = found @ rotation + np.float32(0.02)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return found


def cpu() -> float:
    """CPU seconds of this process and of its children that ended."""
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in spent)


def calls(collection: Any, recall: float) -> dict[str, Callable[[Any], Any]]:
    """Each command as a function of a progress callback."""
    return {
        "read": lambda _: sum(len(page) for page in collection.read(payload=False)),
        "doctor": lambda on: collection.doctor(progress=on),
        "verify": lambda on: collection.verify(progress=on),
        "simulate": lambda on: collection.simulate(*CODES, progress=on),
        "advise": lambda on: collection.advise(recall, progress=on),
    }


def measure(call: Callable[[Any], Any]) -> dict[str, float | None]:
    """Run a command once."""
    begun, spent = time.monotonic(), cpu()
    event: float | None = None
    answer: float | None = None

    def on(progress: Progress) -> None:
        nonlocal event, answer
        now = time.monotonic() - begun
        event = now if event is None else event
        if answer is None and progress.stage.startswith("predicted: "):
            answer = now

    call(on)
    return {
        "seconds": time.monotonic() - begun,
        "cpu": cpu() - spent,
        "first_event": event,
        "first_answer": answer,
    }


def medians(runs: list[dict[str, float | None]]) -> dict[str, float]:
    """The median of each figure that was measured."""
    found = {}
    for word in runs[0]:
        values = [run[word] for run in runs if run[word] is not None]
        if values:
            found[word] = round(statistics.median(values), 2)
    return found


def main() -> None:
    """Write the collection, and run each command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--dim", type=int, default=768)
    parser.add_argument("--url", help="address of an empty database; default: edge")
    parser.add_argument("--recall", type=float, default=0.98)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--verbs", nargs="+", choices=VERBS, default=VERBS)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    name = f"Measuring_{uuid.uuid4().hex[:8]}"
    results: dict[str, list[dict[str, float | None]]] = {verb: [] for verb in asked.verbs}
    try:
        with qa.open(asked.url or f"edge:{folder / 'edge'}") as db:
            collection = db.create(name, dim=asked.dim, metric="cosine")
            array = vectors(asked.rows, asked.dim)
            for start in range(0, asked.rows, BATCH):
                part = array[start : start + BATCH]
                numbers = range(start, start + len(part))
                # Weaviate only accepts UUIDs.
                uuids = (asked.url or "").startswith("weaviate")
                ids = [str(uuid.UUID(int=at)) if uuids else at for at in numbers]
                collection.write(qa.Batch(ids, {"": part}))
            work = calls(collection, asked.recall)
            for turn in range(asked.runs):
                for verb in asked.verbs:  # interleaved, so that all run under the same load
                    os.environ["QADAPT_CACHE_DIR"] = str(folder / f"cache-{turn}-{verb}")
                    results[verb].append(measure(work[verb]))
            db.drop(name)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    found = {verb: medians(runs) for verb, runs in results.items()}
    read = found.get("read")
    for each in found.values():
        if read is not None:
            each["times_read"] = round(each["seconds"] / max(read["seconds"], 1e-9), 1)
    load, cores = os.getloadavg()[0], os.cpu_count()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    about = {"rows": asked.rows, "dim": asked.dim, "load": round(load, 1), "cores": cores}
    if asked.json:
        print(json.dumps({**about, "peak_mb": round(peak), "results": found}, indent=2))
        return
    print(f"{asked.rows:,} x {asked.dim}, {cores} cores, load {load:.1f}, peak {peak:,.0f} MB")
    columns = ("seconds", "cpu", "first_event", "first_answer", "times_read")
    print(f"{'':10}" + "".join(f"{word:>14}" for word in columns))
    for verb, each in found.items():
        cells = [f"{each[word]:.2f}" if word in each else "-" for word in columns]
        print(f"{verb:10}" + "".join(f"{cell:>14}" for cell in cells))


if __name__ == "__main__":
    main()
