"""Memory of commands that read a collection, by the number of rows.

    python benchmarks/memory.py [ADDRESS ...] [--rows 100000 1000000] [--dim 8]
        [--commands inspect plan verify doctor export] [--payload] [--uuids] [--keep]

Each command runs in a separate process. Printed are the peaks, in MiB, of its resident memory
(RSS), of the part that it allocated (anonymous) and of the part that maps files, which the system
takes back when it needs memory (file). All three are read from /proc every 2 ms, so this runs on
Linux alone. The kernel keeps the peak of RSS; peaks of the parts may be missed, and need not add up
to it.

The line "client alone" opens the same collection with the store's own client and does nothing
else. Where a store runs in this process, that is the memory of the engine, and what a command adds
to it is the part of qadapt. Of a server's memory nothing is seen here.

Without an ADDRESS a temporary folder of the embedded engine is measured. Collections called
Qadapt_memory_ROWS are made, and dropped at the end.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

import qadapt as qa
from qadapt.model.address import Address

BLOCK = 20_000
SAMPLED = 0.002
PEAKS = {"VmHWM": "RSS", "RssAnon": "anonymous", "RssFile": "file"}
PREFIX = "Qadapt_memory_"
COMMANDS = {
    "inspect": ["inspect", "ADDRESS", "NAME"],
    "plan": ["plan", "ADDRESS", "NAME", "scalar", "--accept", "client"],
    "verify": ["verify", "ADDRESS", "NAME", "--queries", "50"],
    "doctor": ["doctor", "ADDRESS", "NAME"],
    "export": ["export", "ADDRESS#NAME", "FILE"],
}
# Only open the collection with the client library.
ALONE = {
    "edge": "import qdrant_edge; s = qdrant_edge.EdgeShard.load(sys.argv[1] + '/' + sys.argv[2])",
    "qdrant": "from qdrant_client import QdrantClient; s = QdrantClient(path=sys.argv[1]); "
    "s.get_collection(sys.argv[2])",
    "milvus": "from pymilvus import MilvusClient; s = MilvusClient(sys.argv[1]); "
    "s.load_collection(sys.argv[2])",
}


def fill(
    database: qa.Database, name: str, rows: int, dim: int, *, payload: bool, uuids: bool
) -> None:
    """Create a collection of random vectors."""
    made = database.create(name, dim=dim, metric="dot")
    draw = np.random.default_rng(0)
    for start in range(0, rows, BLOCK):
        keys = list(range(start, min(rows, start + BLOCK)))
        floats = draw.standard_normal((len(keys), dim)).astype(np.float32)
        payloads = [{"text": f"row {key}"} for key in keys] if payload else None
        ids = [str(uuid.UUID(int=key + 1)) for key in keys] if uuids else keys
        made.write(qa.Batch(ids, {"": floats}, payloads))


def measured(argv: list[str], environment: dict[str, str]) -> tuple[dict[str, float], float]:
    """Peaks in MiB by the titles of ``PEAKS``, and seconds.

    Raises:
        SystemExit: the process failed.
    """
    begun = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        child = subprocess.Popen(argv, stdout=output, stderr=output, env=environment)
        peaks = dict.fromkeys(PEAKS, 0)
        while child.poll() is None:
            for key, value in now(child.pid):
                peaks[key] = max(peaks[key], value)
            time.sleep(SAMPLED)
        if child.returncode:
            output.seek(0)
            sys.exit(f"{' '.join(argv)} failed: {output.read().decode(errors='replace')[-2000:]}")
    found = {title: peaks[key] / 1024 for key, title in PEAKS.items()}
    return found, time.perf_counter() - begun


def now(process: int) -> Iterator[tuple[str, int]]:
    """Memory of a process in KiB, by the names of ``PEAKS``; none when it just ended."""
    try:
        text = Path(f"/proc/{process}/status").read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key in PEAKS:
            yield key, int(value.split()[0])


@contextmanager
def filled(
    address: str, sizes: list[int], dim: int, *, payload: bool, uuids: bool, keep: bool
) -> Iterator[None]:
    """Create the collections for the block."""
    with qa.open(address) as database:
        there = database.collections()
        for rows in sizes:
            name = f"{PREFIX}{rows}"
            if name not in there:
                begun = time.perf_counter()
                fill(database, name, rows, dim, payload=payload, uuids=uuids)
                print(f"  wrote {rows:,} rows in {time.perf_counter() - begun:.0f} s", flush=True)
    try:
        yield
    finally:
        if not keep:
            with qa.open(address) as database:
                for rows in sizes:
                    database.drop(f"{PREFIX}{rows}")


def lines(address: str, commands: list[str]) -> Iterator[tuple[str, list[str]]]:
    """What runs for each line, with NAME for the collection and FILE for a new file."""
    place = Address.parse(address)
    if place.transport is None and place.store in ALONE:
        script = f"import sys; {ALONE[place.store]}"
        yield "client alone", [sys.executable, "-c", script, str(place.path), "NAME"]
    for each in commands:
        words = [word.replace("ADDRESS", address) for word in COMMANDS[each]]
        yield each, [sys.executable, "-m", "qadapt.cli", *words]


def report(address: str, sizes: list[int], commands: list[str]) -> None:
    """Measure and print one store."""
    print(
        f"  {'':14}{'rows':>11}" + "".join(f"{head:>11}" for head in PEAKS.values()) + f"{'s':>8}"
    )
    with tempfile.TemporaryDirectory() as state:
        environment = {**os.environ, "QADAPT_STATE_DIR": state, "QADAPT_CACHE_DIR": state}
        for title, argv in lines(address, commands):
            for rows in sizes:
                name, file = f"{PREFIX}{rows}", f"{state}/{rows}.parquet"
                words = [
                    file if word == "FILE" else re.sub(r"(^|#)NAME$", rf"\g<1>{name}", word)
                    for word in argv
                ]
                peaks, seconds = measured(words, environment)
                figures = "".join(f"{value:11.1f}" for value in peaks.values())
                print(f"  {title:14}{rows:11,}{figures}{seconds:8.1f}", flush=True)


def main() -> None:
    """Measure the requested stores."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("addresses", metavar="ADDRESS", nargs="*")
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--dim", type=int, default=8)
    parser.add_argument(
        "--commands", nargs="+", choices=list(COMMANDS), default=["inspect", "plan", "verify"]
    )
    parser.add_argument("--payload", action="store_true", help="add a short text to each row")
    parser.add_argument("--uuids", action="store_true", help="write UUIDs instead of integers")
    parser.add_argument("--keep", action="store_true", help="keep the collections for the next run")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for address in options.addresses or [f"edge:{folder}"]:
            print(address, flush=True)
            with filled(
                address,
                options.rows,
                options.dim,
                payload=options.payload,
                uuids=options.uuids,
                keep=options.keep,
            ):
                report(address, options.rows, options.commands)


if __name__ == "__main__":
    main()
