"""Overhead of ``collection.search(query, k)`` over the raw client, for one query at a time.

    python benchmarks/overhead.py                               # all stores without a server
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
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from overhead_replay import replayed

import qadapt as qa

NAME = "Overhead"
DIM, ROWS, QUERIES = 384, 10_000, 64
MOST_SLOW = 1_000  # rows of embedded stores in Python
FACTOR, MICROSECONDS = 1.05, 50.0
THREADS, THROUGHPUT = 8, 0.95
SETTINGS = {
    "edge": "binary",
    "weaviate": "scalar",
    "pgvector": "binary",
    "sqlite-vec": "binary:rescore=4",
    "lancedb": "rotational:bits=1,rescore=4",
}
STORES = ("edge", "local", "lite", "sqlite-vec", "lancedb", "qdrant-rest", "qdrant-grpc")

Rows = list[tuple[Any, float, Any]]
Search = Callable[[Any], Rows]
RawOf = Callable[[int, bool, bool], Search]  # k, payload, read the results


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

    workers = [threading.Thread(target=work, args=(which,)) for which in range(THREADS)]
    start, start_cpu = time.perf_counter(), time.process_time()
    for each in workers:
        each.start()
    for each in workers:
        each.join()
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


# -- stores --------------------------------------------------------------------------------------


def filled(db: qa.Database, setting: str | None, rows: int) -> qa.Collection:
    """A new collection with random rows and payloads."""
    random = np.random.default_rng(0)
    if NAME in db:
        db.drop(NAME)
    db.create(NAME, dim=DIM, metric="cosine")
    collection = db[NAME]
    if db.server().deployment in ("local", "lite"):
        rows = min(rows, MOST_SLOW)
    ids: Sequence[Any] = range(rows)
    if db.server().store == "weaviate":
        ids = [f"{at:032x}"[:8] + f"-0000-4000-8000-{at:012x}" for at in range(rows)]
    payloads = [{"group": at % 7, "title": f"title of row {at}"} for at in range(rows)]
    vectors = random.standard_normal((rows, DIM), dtype=np.float32)
    collection.write(qa.Batch(list(ids), {"": vectors}, payloads))
    if setting:
        collection.plan(setting, accept="differs").apply(yes=True)
    return collection


def edge_raw(collection: Any) -> RawOf:
    import qdrant_edge as edge

    with collection._store.shard(NAME).use("search") as opened:
        shard = opened  # the engine opens a folder only once per process

    def of(k: int, payload: bool, read: bool) -> Search:
        def search(query: Any) -> Rows:
            nearest = edge.Query.Nearest(query.tolist(), using=None)
            found = shard.query(edge.QueryRequest(limit=k, query=nearest, with_payload=payload))
            if not read:
                return []
            return [(row.id, row.score, row.payload if payload else None) for row in found]

        return search

    return of


def qdrant_raw(client: Any) -> RawOf:
    def of(k: int, payload: bool, read: bool) -> Search:
        def search(query: Any) -> Rows:
            found = client.query_points(NAME, query=query, limit=k, with_payload=payload)
            if not read:
                return []
            return [(row.id, row.score, row.payload if payload else None) for row in found.points]

        return search

    return of


def milvus_raw(collection: Any) -> RawOf:
    client = collection._store.connection.client
    level = collection._store.reader.layout(NAME).consistency

    def of(k: int, payload: bool, read: bool) -> Search:
        params = collection.client_params(k=k).params
        wanted = ["qadapt_id", "group", "title"] if payload else ["qadapt_id"]

        def search(query: Any) -> Rows:
            found = client.search(
                NAME,
                data=[query],
                anns_field="vector",
                limit=k,
                output_fields=wanted,
                search_params={"metric_type": "COSINE", "params": params},
                consistency_level=level,
            )
            if not read:
                return []
            return [
                (
                    int(hit["entity"].pop("qadapt_id")[1:]),
                    hit["distance"],
                    dict(hit["entity"]) if payload else None,
                )
                for hit in found[0]
            ]

        return search

    return of


def weaviate_raw(collection: Any) -> RawOf:
    from weaviate.classes.query import MetadataQuery

    rows = collection._store.connection.client.collections.get(NAME)
    distance = MetadataQuery(distance=True)

    def of(k: int, payload: bool, read: bool) -> Search:
        limit = collection.client_params(k=k).limit
        wanted = ["group", "title"] if payload else []

        def search(query: Any) -> Rows:
            found = rows.query.near_vector(
                query, limit=limit, return_metadata=distance, return_properties=wanted
            )
            if not read:
                return []
            return [
                (str(row.uuid), 1 - row.metadata.distance, row.properties if payload else None)
                for row in found.objects[:k]
            ]

        return search

    return of


def sqlite_raw(collection: Any) -> RawOf:
    connection = collection._store.connection._opened

    def of(k: int, payload: bool, read: bool) -> Search:
        words = "t.id, t.payload" if payload else "t.id"
        text = (
            f'WITH c AS MATERIALIZED (SELECT id, distance FROM "{NAME}__embedding_bit" '
            f"WHERE codes MATCH vec_quantize_binary(?) AND k = {4 * k}) "
            f"SELECT {words}, vec_distance_cosine(t.embedding, ?) AS d FROM c "
            f'CROSS JOIN "{NAME}" AS t ON t.id = c.id ORDER BY d NULLS LAST LIMIT {k}'
        )

        def search(query: Any) -> Rows:
            sent = query.tobytes()
            found = connection.execute(text, (sent, sent)).fetchall()
            if not read:
                return []
            return [(row[0], 1 - row[-1], json.loads(row[1]) if payload else None) for row in found]

        return search

    return of


def lancedb_raw(collection: Any) -> RawOf:
    table = collection._store.connection.client.open_table(NAME)

    def of(k: int, payload: bool, read: bool) -> Search:
        columns = ["id", "_distance", *(["payload"] if payload else [])]

        def search(query: Any) -> Rows:
            asked = table.search(query, vector_column_name="vector").distance_type("cosine")
            asked = asked.minimum_nprobes(20).maximum_nprobes(0).refine_factor(4)
            found = asked.limit(k).select(columns).to_arrow()
            if not read:
                return []
            texts = found["payload"].to_pylist() if payload else [None] * len(found)
            cells = zip(found["id"].to_pylist(), found["_distance"].to_pylist(), texts, strict=True)
            return [(key, 1 - far, json.loads(text) if text else None) for key, far, text in cells]

        return search

    return of


def pgvector_raw(collection: Any) -> RawOf:
    import psycopg
    from pgvector.psycopg import register_vector

    store = collection._store
    at = psycopg.connect(**store.connection._arguments, autocommit=True)
    register_vector(at)

    def of(k: int, payload: bool, read: bool) -> Search:
        collection.search(np.ones(DIM, np.float32), k, with_payload=payload)
        prepared = next(
            made
            for key, (_, (_, made)) in store._searches._known.items()
            if key[1] == k and key[5] == payload
        )
        if prepared.settings:
            at.execute(prepared.session_text)
        statement, copies = prepared.text, sum(prepared.copies)
        cursor = at.cursor(binary=True)

        def search(query: Any) -> Rows:
            found = cursor.execute(statement, (query,) * copies, prepare=True).fetchall()
            if not read:
                return []
            return [(row[0], 1 - row[-1], row[1] if payload else None) for row in found]

        return search

    return of


@contextmanager
def opened(target: str, folder: Path, rows: int) -> Iterator[tuple[Any, RawOf]]:
    """A collection of a store, and the raw searches of its client."""
    if target in ("qdrant-rest", "qdrant-grpc"):
        with replayed(NAME, DIM, rows) as (rest, grpc):
            more = f"?grpc={grpc}" if target == "qdrant-grpc" else ""
            with qa.open(f"qdrant+http://127.0.0.1:{rest}{more}") as db:
                yield db[NAME], qdrant_raw(db._store.connection.client)
        return
    addresses = {
        "edge": f"edge:{folder}/edge",
        "local": "qdrant::memory:",
        "lite": f"milvus:{folder}/lite.db",
        "sqlite-vec": f"sqlite-vec:{folder}/vec.db",
        "lancedb": f"lancedb:{folder}/lance",
    }
    with qa.open(addresses.get(target, target)) as db:
        kind = db.server().store
        collection = filled(db, SETTINGS.get(kind), rows)
        raws: dict[str, Callable[[Any], RawOf]] = {
            "edge": edge_raw,
            "qdrant": lambda _: qdrant_raw(db._store.connection.client),
            "milvus": milvus_raw,
            "weaviate": weaviate_raw,
            "sqlite-vec": sqlite_raw,
            "lancedb": lancedb_raw,
            "pgvector": pgvector_raw,
        }
        try:
            yield collection, raws[kind](collection)
        finally:
            db.drop(NAME)


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
        for target in given.targets:
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
