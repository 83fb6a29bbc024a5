"""Time of verify, doctor, simulate and advise, compared with reading all rows once.

    python benchmarks/measuring.py                                   # 60,000 x 768 on edge
    python benchmarks/measuring.py --rows 20000 --dim 256 --url http://localhost:8080
    python benchmarks/measuring.py --store weaviate --rows 20000 --dim 256
    python benchmarks/measuring.py --verbs verify simulate --runs 3 --json

Writes a collection of clustered vectors and runs each command as a user does, through the public
API with default options and without cached results. Prints the median of seconds and of CPU seconds
of this process and its children, the seconds until the first progress event and until the first
answer, and the ratio to a read of all rows. ``--store`` starts a server as the tests do, and adds
its CPU seconds to the table.

``rows``, ``ids``, ``fetched`` and ``queries`` count what a command asks the store for: rows read
in pages with their vectors and without, rows fetched by id, and queries searched. They are
multiples of the rows of the collection, except for the queries, and do not depend on the load of
the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

import qadapt as qa
from qadapt.evaluation.shortlist import CODES
from qadapt.stores.base import Progress

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from live.ladder import OWN
from live.traffic import traffic

VERBS = ("read", "doctor", "verify", "simulate", "advise")
BATCH = 2_000
BLOCK = 20_000  # rows that are made at a time
COUNTS = ("rows", "ids", "fetched", "queries")


def vectors(rows: int, dim: int) -> np.ndarray:
    """Clusters with a decaying spectrum, rotated and normalized, float32 ``(rows, dim)``."""
    random = np.random.default_rng(0)
    spectrum = (1 / np.sqrt(1 + np.arange(dim))).astype(np.float32)
    centers = random.standard_normal((max(1, rows // 60), dim), dtype=np.float32) * spectrum
    found = centers[random.integers(0, len(centers), rows)]
    blocks = [found[start : start + BLOCK] for start in range(0, rows, BLOCK)]
    for part in blocks:
        part += 0.7 * random.standard_normal(part.shape, dtype=np.float32) * spectrum
    rotation, _ = np.linalg.qr(random.standard_normal((dim, dim), dtype=np.float32))
    for part in blocks:  # in place: one million rows take 4 GB
        part[:] = part @ rotation + np.float32(0.02)
        part /= np.linalg.norm(part, axis=1, keepdims=True)
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


class FirstAnswer(Exception):  # noqa: N818 - it ends a command on purpose
    """Raised to end ``advise`` after its first answer."""


def measure(
    collection: Any, call: Callable[[Any], Any], server: Callable[[], float], *, first: bool
) -> dict[str, float | None]:
    """Run a command once.

    Args:
        server: returns the CPU seconds of the server so far.
        first: end the command after its first answer.
    """
    begun, spent, served = time.monotonic(), cpu(), server()
    event: float | None = None
    answer: float | None = None

    def on(progress: Progress) -> None:
        nonlocal event, answer
        now = time.monotonic() - begun
        event = now if event is None else event
        if answer is None and progress.stage.startswith("predicted: "):
            answer = now
            if first:
                raise FirstAnswer

    with traffic(collection._store) as counted, suppress(FirstAnswer):
        call(on)
    return {
        "seconds": time.monotonic() - begun,
        "cpu": cpu() - spent,
        "server_cpu": server() - served,
        "first_event": event,
        "first_answer": answer,
        **{name: count for name, count in asdict(counted).items() if name in COUNTS},
    }


def medians(runs: list[dict[str, float | None]]) -> dict[str, float]:
    """The median of each figure that was measured."""
    found = {}
    for word in runs[0]:
        values = [run[word] for run in runs if run[word] is not None]
        if values:
            found[word] = round(statistics.median(values), 2)
    return found


@contextmanager
def running(store: str | None, url: str | None) -> Iterator[tuple[str | None, Callable[[], float]]]:
    """The address of the database (None for edge), and a function that returns its CPU seconds."""
    if store is None:
        yield url, lambda: 0.0
        return
    server = OWN[store]()
    try:
        yield server.url, lambda: _cpu_of_tree(server.pid)  # type: ignore[attr-defined]
    finally:
        server.stop()


def _cpu_of_tree(pid: int) -> float:
    """CPU seconds of the processes of a server, and of its children that ended."""
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:  # it ended
            continue
        process = int(stat.parent.name)
        parents[process], ticks[process] = int(fields[1]), sum(map(int, fields[11:15]))
    found, waiting = 0, [pid]
    while waiting:
        at = waiting.pop()
        found += ticks.get(at, 0)
        waiting += [child for child, parent in parents.items() if parent == at]
    return found / os.sysconf("SC_CLK_TCK")


def write(db: Any, name: str, rows: int, dim: int, url: str) -> Any:
    """A collection of clustered vectors."""
    collection = db.create(name, dim=dim, metric="cosine")
    array = vectors(rows, dim)
    for start in range(0, rows, BATCH):
        part = array[start : start + BATCH]
        numbers = range(start, start + len(part))
        # Weaviate only accepts UUIDs.
        ids = [str(uuid.UUID(int=at)) if url.startswith("weaviate") else at for at in numbers]
        collection.write(qa.Batch(ids, {"": part}))
    return collection


def main() -> None:
    """Write the collection, and run each command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--dim", type=int, default=768)
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--url", help="address of an empty database; default: edge")
    place.add_argument("--store", choices=sorted(OWN), help="start a server, as the tests do")
    parser.add_argument("--setting", help="quantization to apply first; default: as created")
    parser.add_argument("--recall", type=float, default=0.98)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--verbs", nargs="+", choices=VERBS, default=VERBS)
    parser.add_argument("--first", action="store_true", help="end advise after its first answer")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    name = f"Measuring_{uuid.uuid4().hex[:8]}"
    results: dict[str, list[dict[str, float | None]]] = {verb: [] for verb in asked.verbs}
    try:
        with running(asked.store, asked.url) as (url, server):
            url = url or f"edge:{folder / 'edge'}"
            with qa.open(url) as db:
                collection = write(db, name, asked.rows, asked.dim, url)
                if asked.setting is not None:
                    collection.plan(asked.setting).apply(yes=True)
                work = calls(collection, asked.recall)
                for turn in range(asked.runs):
                    for verb in asked.verbs:  # interleaved, so that all run under the same load
                        os.environ["QADAPT_CACHE_DIR"] = str(folder / f"cache-{turn}-{verb}")
                        found = measure(collection, work[verb], server, first=asked.first)
                        results[verb].append(found)
                db.drop(name)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    _report(asked, {verb: medians(runs) for verb, runs in results.items()})


def _report(asked: argparse.Namespace, found: dict[str, dict[str, float]]) -> None:
    """Print the figures."""
    read = found.get("read")
    for each in found.values():
        for name in COUNTS[:3]:
            each[name] = round(each[name] / asked.rows, 2)
        if read is None:
            continue
        seconds = each.get("first_answer", each["seconds"]) if asked.first else each["seconds"]
        each["times_read"] = round(seconds / max(read["seconds"], 1e-9), 1)
        whole = read["cpu"] + read["server_cpu"]
        each["times_cpu"] = round((each["cpu"] + each["server_cpu"]) / max(whole, 1e-9), 1)
    load, cores = os.getloadavg()[0], os.cpu_count()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    store = asked.store or asked.url or "edge"
    about = {"store": store, "rows": asked.rows, "dim": asked.dim, "load": round(load, 1)}
    if asked.json:
        more = {"cores": cores, "peak_mb": round(peak)}
        print(json.dumps({**about, **more, "results": found}, indent=2))
        return
    print(
        f"{store}: {asked.rows:,} x {asked.dim}, {cores} cores, load {load:.1f}, "
        f"peak {peak:,.0f} MB"
    )
    columns = (
        "seconds", "cpu", "server_cpu", "first_event", "first_answer", "times_read", "times_cpu",
        *COUNTS,
    )  # fmt: skip
    print(f"{'':10}" + "".join(f"{word:>13}" for word in columns))
    for verb, each in found.items():
        cells = [f"{each[word]:.2f}" if word in each else "-" for word in columns]
        print(f"{verb:10}" + "".join(f"{cell:>13}" for cell in cells))


if __name__ == "__main__":
    main()
