"""A process that answers the requests of Qdrant's client at once, with fixed bodies."""

from __future__ import annotations

import json
import multiprocessing
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from typing import Any


def bodies(name: str, dim: int, rows: int) -> dict[str, Any]:
    """The configuration of a collection with scalar codes, in the form of Qdrant 1.19."""
    codes = {"scalar": {"type": "int8"}}
    config = {
        "params": {"vectors": {"size": dim, "distance": "Cosine"}},
        "optimizer_config": {"indexing_threshold": 1000},
        "quantization_config": codes,
    }
    info = {"status": "green", "optimizer_status": "ok", "config": config, "points_count": rows}
    held = {"vector_data": {"": {"index": {"type": "hnsw"}, "quantization_config": codes}}}
    segment = {"info": {"vector_data": {"": {"num_vectors": rows}}}, "config": held}
    shown = {"id": name, "shards": [{"local": {"segments": [segment]}}]}
    return {
        f"/collections/{name}": info,
        f"/collections/{name}/optimizations": {"running": []},
        f"/collections/{name}/points/count": {"count": rows},
        "/aliases": {"aliases": []},
        "/collections": {"collections": [{"name": name}]},
        "/telemetry": {"collections": {"collections": [shown]}},
    }


def points(k: int, *, payload: bool) -> list[dict[str, Any]]:
    rows = []
    for at in range(k):
        row: dict[str, Any] = {"id": at, "version": 1, "score": 0.9 - at / 1000}
        if payload:
            row["payload"] = {"group": at % 7, "title": f"title of row {at}"}
        rows.append(row)
    return rows


def _handler(fixed: dict[str, Any]) -> type[BaseHTTPRequestHandler]:
    def body(result: Any) -> bytes:
        return json.dumps({"result": result, "status": "ok", "time": 0.0}).encode()

    known = {path: body(result) for path, result in fixed.items()}
    known["/"] = json.dumps({"title": "qdrant", "version": "1.20.0"}).encode()
    found: dict[tuple[int, bool, bool], bytes] = {}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def log_message(self, *_: Any) -> None: ...

        def do_GET(self) -> None:
            content = known.get(self.path.partition("?")[0])
            self._send(content or b"{}", 200 if content else 404)

        def do_POST(self) -> None:
            asked = self.rfile.read(int(self.headers["content-length"]))
            if not self.path.endswith(("/query", "/query/batch")):
                self._send(known[self.path], 200)
                return
            limit = re.search(rb'"limit": ?(\d+)', asked)
            assert limit
            payload = re.search(rb'"with_payload": ?true', asked) is not None
            key = (int(limit[1]), payload, self.path.endswith("batch"))
            if key not in found:
                one = {"points": points(key[0], payload=payload)}
                found[key] = body([one] if key[2] else one)
            self._send(found[key], 200)

        def _send(self, content: bytes, status: int) -> None:
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    return Handler


def _grpc_server(rows: int) -> tuple[Any, int]:
    import grpc
    from qdrant_client import grpc as messages

    def hits(limit: int, *, payload: bool) -> list[Any]:
        return [
            messages.ScoredPoint(
                id=messages.PointId(num=row["id"]),
                score=row["score"],
                version=1,
                payload={
                    "group": messages.Value(integer_value=row["payload"]["group"]),
                    "title": messages.Value(string_value=row["payload"]["title"]),
                }
                if payload
                else None,
            )
            for row in points(limit, payload=payload)
        ]

    made: dict[tuple[int, bool], list[Any]] = {}

    def rows_of(request: Any) -> list[Any]:
        key = (request.limit, request.with_payload.enable)
        if key not in made:
            made[key] = hits(key[0], payload=key[1])
        return made[key]

    def query(request: Any, _: Any) -> Any:
        return messages.QueryResponse(result=rows_of(request), time=0.0)

    def count(*_: Any) -> Any:
        return messages.CountResponse(result=messages.CountResult(count=rows), time=0.0)

    def batch(request: Any, _: Any) -> Any:
        results = [messages.BatchResult(result=rows_of(each)) for each in request.query_points]
        return messages.QueryBatchResponse(result=results, time=0.0)

    def method(function: Any, asked: Any, answer: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(
            function,
            request_deserializer=asked.FromString,
            response_serializer=answer.SerializeToString,
        )

    handlers = {
        "Query": method(query, messages.QueryPoints, messages.QueryResponse),
        "Count": method(count, messages.CountPoints, messages.CountResponse),
        "QueryBatch": method(batch, messages.QueryBatchPoints, messages.QueryBatchResponse),
    }
    server = grpc.server(ThreadPoolExecutor(16))
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("qdrant.Points", handlers),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


def _serve(ports: Connection, name: str, dim: int, rows: int) -> None:
    rest = ThreadingHTTPServer(("127.0.0.1", 0), _handler(bodies(name, dim, rows)))
    server, port = _grpc_server(rows)
    ports.send((rest.server_port, port))
    rest.serve_forever()
    server.stop(None)


@contextmanager
def replayed(name: str, dim: int, rows: int) -> Iterator[tuple[int, int]]:
    """The REST and the gRPC port of the process."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, name, dim, rows), daemon=True)
    process.start()
    try:
        if not ours.poll(60):
            raise SystemExit("the replay process did not start")
        yield ours.recv()
    finally:
        process.kill()
        process.join()
