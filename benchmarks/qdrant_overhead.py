"""Overhead over the raw clients of Qdrant, for batches of queries and for uploads.

    python benchmarks/qdrant_overhead.py [--json] [--rounds 40]

The server is a replay transport that responds at once, so that only the work of the client is
measured. The engine is qdrant-edge in this process. Rounds alternate, and the ratio of medians is
printed. ``overhead.py`` measures single searches of all stores.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np

import qadapt as qa
from qadapt.model.address import Address
from qadapt.stores.base import SearchRequest
from qadapt.stores.qdrant.edge.store import EdgeStore
from qadapt.stores.qdrant.server.store import QdrantStore

DIM, ROWS, QUERIES, K = 384, 1000, 100, 10


def measure(raw: Callable[[], Any], ours: Callable[[], Any], rounds: int) -> dict[str, float]:
    """Medians in milliseconds, and their ratio."""
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(rounds + 3):
        order = ((0, raw), (1, ours)) if turn % 2 else ((1, ours), (0, raw))
        for which, call in order:
            start = time.perf_counter()
            call()
            if turn >= 3:  # the first rounds warm up
                times[which].append(1000 * (time.perf_counter() - start))
    p50 = [statistics.median(each) for each in times]
    return {"raw_ms": round(p50[0], 3), "qadapt_ms": round(p50[1], 3), "ratio": p50[1] / p50[0]}


def answers() -> Callable[[httpx.Request], httpx.Response]:
    """A server that responds at once with the requested number of hits."""
    codes = {"scalar": {"type": "int8"}}
    info = {
        "status": "green",
        "optimizer_status": "ok",
        "config": {
            "params": {"vectors": {"size": DIM, "distance": "Cosine"}},
            "optimizer_config": {"indexing_threshold": 1000},
            "quantization_config": codes,
        },
    }
    config = {"vector_data": {"": {"index": {"type": "hnsw"}, "quantization_config": codes}}}
    segment = {"info": {"vector_data": {"": {"num_vectors": ROWS}}}, "config": config}
    shown = {"id": "articles", "shards": [{"local": {"segments": [segment]}}]}
    hits = {"points": [{"id": at, "version": 1, "score": 0.9 - at / 100} for at in range(K)]}

    def body(result: Any) -> bytes:
        return json.dumps({"result": result, "status": "ok", "time": 0.0}).encode()

    known = {
        "/": json.dumps({"title": "qdrant", "version": "1.20.0"}).encode(),
        "/collections/articles": body(info),
        "/collections/articles/optimizations": body({"running": []}),
        "/telemetry": body({"collections": {"collections": [shown]}}),
        "/collections/articles/points": body({"operation_id": 1, "status": "completed"}),
        "/collections/articles/points/query/batch": body([hits] * QUERIES),
    }

    def answer(request: httpx.Request) -> httpx.Response:
        content = known[request.url.path]
        return httpx.Response(200, content=content)

    return answer


def server(rounds: int) -> dict[str, dict[str, float]]:
    """Compare with the raw client on the replay transport."""
    from qdrant_client import QdrantClient, models

    client = QdrantClient(
        url="http://qdrant.test:6333",
        check_compatibility=False,
        transport=httpx.MockTransport(answers()),
    )
    store = QdrantStore.wrap(client)
    random = np.random.default_rng(0)
    rows = random.standard_normal((ROWS, DIM), dtype=np.float32)
    queries = random.standard_normal((QUERIES, DIM), dtype=np.float32)
    payloads = [{"group": at % 7} for at in range(ROWS)]
    batch = qa.Batch(range(ROWS), {"": rows}, payloads)
    search = SearchRequest(k=K, rescore=qa.Rescore(4))
    params = models.SearchParams(
        quantization=models.QuantizationSearchParams(rescore=True, oversampling=4.0)
    )

    def raw_search(asked: Any) -> Any:
        requests = [
            models.QueryRequest(query=row, limit=K, params=params, with_payload=False)
            for row in asked.tolist()
        ]
        found = client.query_batch_points("articles", requests)
        return [[(point.id, point.score) for point in each.points] for each in found]

    def raw_upload() -> Any:
        points = [
            models.PointStruct(id=key, vector=vector, payload=payload)
            for key, vector, payload in zip(range(ROWS), rows.tolist(), payloads, strict=True)
        ]
        return client.upsert("articles", points, wait=True)

    return {
        f"replay: {QUERIES} queries": measure(
            lambda: raw_search(queries), lambda: store.search("articles", queries, search), rounds
        ),
        f"replay: upload {ROWS} rows": measure(
            raw_upload, lambda: store.write("articles", batch), rounds
        ),
    }


def engine(rounds: int, folder: str) -> dict[str, dict[str, float]]:
    """Compare with the raw embedded engine."""
    import qdrant_edge as edge

    random = np.random.default_rng(0)
    rows = random.standard_normal((4 * ROWS, DIM), dtype=np.float32)
    queries = random.standard_normal((QUERIES, DIM), dtype=np.float32)
    store = EdgeStore.open(Address.parse(f"edge:{folder}/ours"))
    store.create("articles", {"": qa.Vector(DIM)}, {"": qa.binary()})
    batch = qa.Batch(range(len(rows)), {"": rows})
    store.write("articles", batch)
    store.close()  # the raw engine uses the same files, because other segments are not comparable
    shutil.copytree(f"{folder}/ours/articles", f"{folder}/raw")
    shard = edge.EdgeShard.load(f"{folder}/raw")

    def raw_upload() -> None:
        for start in range(0, len(rows), ROWS):
            part = rows[start : start + ROWS]
            points = [edge.Point(start + at, row, None) for at, row in enumerate(part)]
            shard.update(edge.UpdateOperation.upsert_points(points))
        shard.flush()

    rescore = edge.SearchParams(
        quantization=edge.QuantizationSearchParams(rescore=True, oversampling=4.0)
    )

    def raw_search() -> Any:
        requests = [
            edge.QueryRequest(limit=K, query=edge.Query.Nearest(row, using=None), params=rescore)
            for row in queries
        ]
        found = shard.query_batch(edge.QueryBatchRequest(requests))
        return [[(point.id, point.score) for point in each] for each in found]

    search = SearchRequest(k=K, rescore=qa.Rescore(4))
    found = {
        f"edge: {QUERIES} queries": measure(
            raw_search, lambda: store.search("articles", queries, search), rounds
        ),
        f"edge: upload {len(rows)} rows": measure(
            raw_upload, lambda: store.write("articles", batch), max(5, rounds // 4)
        ),
    }
    store.close()
    shard.close()
    return found


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=40)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = {**server(given.rounds), **engine(given.rounds, folder)}
    if given.json:
        print(json.dumps({"results": found}, indent=2))
        return
    for name, each in found.items():
        print(
            f"{name:24} raw {each['raw_ms']:9.3f} ms   qadapt {each['qadapt_ms']:9.3f} ms   "
            f"x{each['ratio']:.3f}"
        )


if __name__ == "__main__":
    main()
