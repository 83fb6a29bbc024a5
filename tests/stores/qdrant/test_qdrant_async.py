"""Searches of a server that an event loop awaits, over REST and gRPC.

No server is at hand here, so two listeners answer in its form: the id of the first result is the
first number of the query.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
import numpy as np
import pytest
import qdrant_client
from qdrant_client import grpc as messages
from qdrant_helpers import info_of, telemetry_of

import qadapt as qa
from qadapt.errors import AuthError
from qadapt.stores.qdrant.server.connection import Connection

NAME, DIM = "articles", 8
KEY = "a-key-of-this-test"
CODES = {"scalar": {"type": "int8"}}
FIXED = {
    "/": {"title": "qdrant - vector search engine", "version": "1.19.0"},
    "/aliases": {"result": {"aliases": []}},
    "/collections": {"result": {"collections": [{"name": NAME}]}},
    f"/collections/{NAME}": {"result": info_of({"size": DIM, "distance": "Dot"}, CODES)},
    f"/collections/{NAME}/optimizations": {"result": {"running": []}},
    f"/collections/{NAME}/points/count": {"result": {"count": 2000}},
    "/telemetry": {"result": telemetry_of(NAME, [{"": (2000, "hnsw", CODES)}])},
}
SEARCH = f"/collections/{NAME}/points/query/batch"


@dataclass
class Listener:
    """Two listeners, and what they saw.

    Attributes:
        keys: the key of each search.
        held: searches wait until it is set.
        status: of the responses to searches over REST.
    """

    rest: int = 0
    grpc: int = 0
    keys: list[str | None] = field(default_factory=list)
    held: threading.Event = field(default_factory=threading.Event)
    status: int = 200

    def address(self, protocol: str) -> str:
        more = f"&grpc={self.grpc}" if protocol == "grpc" else ""
        return f"qdrant+http://127.0.0.1:{self.rest}?key_env=QDRANT_API_KEY{more}"


def _handler(seen: Listener) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None: ...

        def do_GET(self) -> None:
            found = FIXED.get(self.path.partition("?")[0])
            self._send(found or {}, 200 if found else 404)

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if self.path != SEARCH:
                self._send(FIXED[self.path])
                return
            seen.keys.append(self.headers.get("api-key"))
            seen.held.wait(30)
            found = [
                {"points": [{"id": int(each["query"][0]), "version": 1, "score": 0.5}]}
                for each in asked["searches"]
            ]
            self._send({"result": found}, seen.status)

        def _send(self, document: Any, status: int = 200) -> None:
            data = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            try:
                self.wfile.write(data)
            except OSError:
                self.close_connection = True  # the request was cancelled

    return Handler


def _grpc_server(seen: Listener) -> Any:
    def batch(request: Any, context: Any) -> Any:
        seen.keys.append(dict(context.invocation_metadata()).get("api-key"))
        seen.held.wait(30)
        results = [
            messages.BatchResult(
                result=[
                    messages.ScoredPoint(
                        id=messages.PointId(num=int(each.query.nearest.dense.data[0])), score=0.5
                    )
                ]
            )
            for each in request.query_points
        ]
        return messages.QueryBatchResponse(result=results)

    def count(*_: Any) -> Any:
        return messages.CountResponse(result=messages.CountResult(count=2000))

    def method(function: Any, asked: Any, answer: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(
            function,
            request_deserializer=asked.FromString,
            response_serializer=answer.SerializeToString,
        )

    handlers = {
        "Count": method(count, messages.CountPoints, messages.CountResponse),
        "QueryBatch": method(batch, messages.QueryBatchPoints, messages.QueryBatchResponse),
    }
    server = grpc.server(ThreadPoolExecutor(32))
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("qdrant.Points", handlers),)
    )
    seen.grpc = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    monkeypatch.setenv("QDRANT_API_KEY", KEY)
    seen = Listener()
    seen.held.set()
    rest = ThreadingHTTPServer(("127.0.0.1", 0), _handler(seen))
    seen.rest = rest.server_port
    thread = threading.Thread(target=rest.serve_forever, daemon=True)
    thread.start()
    server = _grpc_server(seen)
    yield seen
    seen.held.set()
    server.stop(None).wait()
    rest.shutdown()
    thread.join()
    rest.server_close()


def query(first: int) -> Any:
    return np.array([first, *[1.0] * (DIM - 1)], dtype=np.float32)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The awaited requests."""
    calls: list[str] = []
    for name in ("awaited", "awaited_grpc"):
        real = getattr(Connection, name)

        def wrapper(*args: Any, _real: Any = real, _name: str = name, **named: Any) -> Any:
            calls.append(_name)
            return _real(*args, **named)

        monkeypatch.setattr(Connection, name, wrapper)
    return calls


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
def test_searches_are_awaited_and_return_their_own_results(
    protocol: str, listener: Listener, counted: list[str]
) -> None:
    async def main() -> None:
        async with qa.aopen(listener.address(protocol), max_concurrency=8) as database:
            assert database.searches == "native"
            collection = await database.collection(NAME)
            await collection.search(query(1))
            found = await asyncio.gather(*(collection.search(query(at)) for at in range(200)))
            assert [hits.ids[0][0] for hits in found] == list(range(200))
            assert {hits.how for hits in found} == {collection.sync.search(query(1)).how}

    asyncio.run(main())
    assert len(counted) == 200
    assert set(listener.keys) == {KEY}


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
def test_no_thread_waits_for_an_awaited_search(protocol: str, listener: Listener) -> None:
    async def main() -> None:
        async with qa.aopen(listener.address(protocol), max_concurrency=12) as database:
            collection = await database.collection(NAME)
            await collection.search(query(1))
            before = len(listener.keys)
            listener.held.clear()
            tasks = [asyncio.create_task(collection.search(query(at))) for at in range(12)]
            while len(listener.keys) < before + 12:  # all of them were sent
                await asyncio.sleep(0.01)
            threads = [each for each in threading.enumerate() if each.name.startswith("qadapt_")]
            assert len(threads) <= 2, "those of the calls before"
            tasks[0].cancel()
            with pytest.raises(asyncio.CancelledError):
                await tasks[0]
            listener.held.set()
            found = await asyncio.gather(*tasks[1:])
            assert [hits.ids[0][0] for hits in found] == list(range(1, 12))

    asyncio.run(main())


def test_a_thread_repeats_a_failed_search_and_reports_the_error(
    listener: Listener, counted: list[str]
) -> None:
    async def main() -> None:
        async with qa.aopen(listener.address("rest")) as database:
            collection = await database.collection(NAME)
            await collection.search(query(1))
            listener.status = 401
            with pytest.raises(AuthError):
                await collection.search(query(2))
            listener.status = 200
            assert (await collection.search(query(3))).ids[0][0] == 3

    asyncio.run(main())
    assert counted == ["awaited", "awaited"]


def test_the_client_of_a_loop_is_closed_with_the_database(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = []
    real = qdrant_client.AsyncQdrantClient.close

    async def close(self: Any, *args: Any, **named: Any) -> None:
        closed.append(self)
        await real(self, *args, **named)

    monkeypatch.setattr(qdrant_client.AsyncQdrantClient, "close", close)

    async def main() -> None:
        async with qa.aopen(listener.address("rest")) as database:
            collection = await database.collection(NAME)
            for at in range(3):
                await collection.search(query(at))

    asyncio.run(main())
    assert len(closed) == 1


def test_a_client_of_the_user_over_rest_waits_in_threads(listener: Listener) -> None:
    client = qdrant_client.QdrantClient(
        url=f"http://127.0.0.1:{listener.rest}", check_compatibility=False
    )

    async def main() -> None:
        async with qa.AsyncDatabase(qa.wrap(client)) as database:
            assert database.searches == "thread"
            collection = await database.collection(NAME)
            for at in range(3):
                assert (await collection.search(query(at))).ids[0][0] == at

    asyncio.run(main())
    client.close()
