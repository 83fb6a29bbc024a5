"""Compare migrations with the fastest calls of the client libraries, in one run on the same
engines.

    python benchmarks/migrate.py SOURCE TARGET [--rows 20000] [--dim 128] [--rounds 3] [--peers]
    python benchmarks/migrate.py --memory 20000 500000

SOURCE and TARGET are addresses of stores. The baseline of a pair reads with the source's client
and writes with the target's, in their fastest bulk calls, and does nothing else: no plan, no
journal, no check. ``--peers`` adds vecparity and vdf-io (see ``peers``), each on rows of its own
form in the same engines; where one does not run, its own words are printed. Rounds alternate, and
medians are compared. ``--memory`` copies between two
folders of the embedded engine and tells the most that Python and numpy held meanwhile; what the
engine itself holds grows with its rows, wherever they come from.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import peers

import qadapt as qa

BLOCK = 4_000


def vectors(rows: int, dim: int) -> np.ndarray:
    """float32 ``(rows, dim)``."""
    return np.random.default_rng(0).standard_normal((rows, dim)).astype(np.float32)


def fill(database: qa.Database, name: str, rows: int, dim: int) -> None:
    """Create a collection with UUIDs as ids, which every store accepts."""
    made = database.create(name, dim=dim, metric="dot")
    draw = np.random.default_rng(1)
    for start in range(0, rows, BLOCK):
        count = min(BLOCK, rows - start)
        keys = [str(uuid.UUID(int=start + at)) for at in range(count)]
        floats = draw.standard_normal((count, dim)).astype(np.float32)
        payloads = [{"n": start + at, "text": f"row {start + at}"} for at in range(count)]
        made.write(qa.Batch(keys, {"": floats}, payloads))


# -- client libraries -------------------------------------------------------------------------


def read_milvus(store: Any, name: str) -> Iterator[tuple[list[str], list[Any], list[Any]]]:
    """pymilvus: its iterator, which reads by key."""
    pages = store.connection.client.query_iterator(
        name, batch_size=BLOCK, output_fields=["qadapt_id", "vector", "$meta"]
    )
    while rows := pages.next():
        payloads = [
            {key: each for key, each in row.items() if key not in ("qadapt_id", "vector")}
            for row in rows
        ]
        yield [row["qadapt_id"] for row in rows], [row["vector"] for row in rows], payloads
    pages.close()


def read_weaviate(store: Any, name: str) -> Iterator[tuple[list[str], list[Any], list[Any]]]:
    """weaviate-client: its iterator."""
    pages = store.connection.client.collections.get(name).iterator(
        include_vector=True, cache_size=1000
    )
    keys: list[str] = []
    floats: list[Any] = []
    payloads: list[Any] = []
    for row in pages:
        keys.append(str(row.uuid))
        floats.append(row.vector["default"])
        whole = row.properties.get("qadapt_payload")
        plain = {key: each for key, each in row.properties.items() if each is not None}
        payloads.append(json.loads(whole) if whole else plain)
        if len(keys) == BLOCK:
            yield keys, floats, payloads
            keys, floats, payloads = [], [], []
    if keys:
        yield keys, floats, payloads


def write_milvus(store: Any, name: str, keys: list[str], floats: Any, payloads: Any) -> None:
    """pymilvus: insert of rows, which is faster than upsert."""
    rows = [
        {**payload, "qadapt_id": key, "vector": vector}
        for key, vector, payload in zip(keys, floats, payloads, strict=True)
    ]
    store.connection.client.insert(name, rows)


def write_weaviate(store: Any, name: str, keys: list[str], floats: Any, payloads: Any) -> None:
    """weaviate-client: insert_many, one message per block: as fast as its fastest method here
    (``batch.fixed_size``, ``batch.dynamic`` and ``batch.stream`` were not faster)."""
    from weaviate.classes.data import DataObject

    rows = [
        DataObject(
            uuid=key,
            vector=vector,
            properties={**payload, "qadapt_payload": json.dumps(payload)},
        )
        for key, vector, payload in zip(keys, floats, payloads, strict=True)
    ]
    answer = store.connection.client.collections.get(name).data.insert_many(rows)
    assert not answer.has_errors


READ = {"milvus": read_milvus, "weaviate": read_weaviate}
WRITE = {"milvus": write_milvus, "weaviate": write_weaviate}


def by_clients(source: Any, name: str, target: Any, other: str, dim: int) -> float:
    """Duration of the copy by the clients; the collection exists already."""
    target.create(other, {"": qa.Vector(dim, "dot")}, {})
    begun = time.perf_counter()
    for keys, floats, payloads in READ[source.name](source, name):
        WRITE[target.name](target, other, keys, floats, payloads)
    return time.perf_counter() - begun


def by_qadapt(here: qa.Database, name: str, there: qa.Database, other: str, workers: int) -> float:
    """Seconds of the copy of a migration."""
    done = qa.migrate((here, name), (there, other), trial_copy=False, check="off", workers=workers)
    return done.metrics.copy_seconds


def compare(arguments: argparse.Namespace) -> None:
    """Measure both alternately."""
    mark = secrets.token_hex(4)
    name = f"Bench_{mark}"
    times: dict[str, list[float]] = {"clients": [], "qadapt": []}
    rates: dict[str, list[float]] = {}
    with qa.open(arguments.source) as here, qa.open(arguments.target) as there:
        fill(here, name, arguments.rows, arguments.dim)
        try:
            for turn in range(arguments.rounds):
                for way in ("clients", "qadapt"):
                    other = f"Bench_{mark}_{way}_{turn}"
                    if way == "clients":
                        spent = by_clients(here._store, name, there._store, other, arguments.dim)
                    else:
                        spent = by_qadapt(here, name, there, other, arguments.workers)
                    times[way].append(spent)
                    assert there[other].count() == arguments.rows
                    print(f"{way:8} {arguments.rows / spent:9,.0f} rows/s", flush=True)
                    there.drop(other)
                for peer in peers.PEERS if arguments.peers else ():
                    by_peer(peer, arguments, (here._store.name, there._store.name), rates)
        finally:
            here.drop(name)
    clients, ours = (statistics.median(times[way]) for way in ("clients", "qadapt"))
    print(f"qadapt is {clients / ours:.2f} times as fast as the client libraries (medians)")
    for way, found in rates.items():
        ratio = arguments.rows / ours / statistics.median(found)
        print(f"qadapt is {ratio:.2f} times as fast as {way} (medians)")


def by_peer(
    peer: peers.Peer, arguments: Any, stores: tuple[str, str], rates: dict[str, list[float]]
) -> None:
    """One copy by another tool: its rate is recorded, or its error printed."""
    name, rows = f"Peer_{secrets.token_hex(4)}", min(arguments.rows, arguments.peer_rows)
    addresses = (arguments.source, arguments.target)
    asked = peers.asked_of(*stores, addresses, name, rows, arguments.dim)
    for told in peers.run(peer, asked):
        if "failed" in told:
            print(f"{peer.name}: {told['failed']}", flush=True)
            continue
        way = f"{peer.name} ({told['only']} alone)" if "only" in told else peer.name
        rates.setdefault(way, []).append(told["rows"] / told["seconds"])
        lost = "" if told["rows"] == rows else f", {rows - told['rows']:,} rows are not there"
        print(f"{way} {rates[way][-1]:9,.0f} rows/s{lost}", flush=True)


# -- memory --------------------------------------------------------------------------------------


def memory_of_one(rows: int) -> None:
    """Copy in this new process."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["QADAPT_STATE_DIR"] = str(Path(folder) / "state")
        filler = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import migrate; "
        filler += f"import qadapt as qa; d = qa.open('edge:{folder}/a'); "
        filler += f"migrate.fill(d, 'docs', {rows}, 64); d.close()"
        subprocess.run([sys.executable, "-c", filler], check=True)
        with qa.open(f"edge:{folder}/a") as here, qa.open(f"edge:{folder}/b") as there:
            before = anonymous()
            tracemalloc.start(1)
            done = qa.migrate((here, "docs"), (there, "docs"), trial_copy=False, check="off")
            _, most = tracemalloc.get_traced_memory()
            print(
                f"{rows:9,} rows: at most {most / 1e6:6.1f} MB held by Python and numpy; the "
                f"process grew by {anonymous() - before:,.0f} MB, both engines in it included "
                f"({done.metrics.rows_per_second:,.0f} rows/s, slowed by tracing)",
                flush=True,
            )


def anonymous() -> float:
    """Anonymous memory of this process, MB: without files that the engine maps."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1024
    return 0.0


def main() -> None:
    """Parse the arguments, and measure."""
    words = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    words.add_argument("source", nargs="?")
    words.add_argument("target", nargs="?")
    words.add_argument("--rows", type=int, default=20_000)
    words.add_argument("--dim", type=int, default=128)
    words.add_argument("--rounds", type=int, default=3)
    words.add_argument("--workers", type=int, default=2)
    words.add_argument("--peers", action="store_true")
    words.add_argument("--peer-rows", type=int, default=4_000)
    words.add_argument("--memory", type=int, nargs="+")
    words.add_argument("--one", type=int)
    arguments = words.parse_args()
    if arguments.one is not None:
        memory_of_one(arguments.one)
    elif arguments.memory:
        for rows in arguments.memory:
            subprocess.run([sys.executable, __file__, "--one", str(rows)], check=True)
    elif arguments.source and arguments.target:
        compare(arguments)
    else:
        words.error("pass SOURCE and TARGET, or --memory N ...")


if __name__ == "__main__":
    main()
