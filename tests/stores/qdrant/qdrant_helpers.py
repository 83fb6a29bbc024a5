"""Responses of real Qdrant servers, 1.16.3 and 1.19.0, replayed through ``httpx.MockTransport``.

A ``Replay`` is a server with fixed responses: a list for each path and method, returned in order;
the last one is repeated. A ``RecordedSequence`` changes: a PATCH moves it to the next chapter, and
each inspection (info, optimizations, telemetry) to the next page. ``fake_optimizer.py`` has a
server that keeps a configuration.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import httpx
from recorded import recorded

from qadapt.stores.qdrant.server.store import QdrantStore

ISSUES = "https://github.com/qdrant/qdrant/issues/"

# The collection of most tests.
UNNAMED = {"size": 96, "distance": "Cosine"}
SCALAR = {"scalar": {"type": "int8"}}
BINARY: dict[str, Any] = {"binary": {}}
PATH = "/collections/articles"
TELEMETRY = "/telemetry?details_level=4"


OLD, NEW = "1.16.3", "1.19.0"


def recording(name: str, server: str = OLD) -> dict[str, Any]:
    """One recorded call."""
    return recorded(f"qdrant-{server}", name)


def answer(name: str, server: str = OLD) -> httpx.Response:
    """The recorded response."""
    made = recording(name, server)
    return respond(made["response"], made.get("response_headers"))


def result(name: str, server: str = NEW) -> Any:
    """The ``result`` of a recorded response."""
    return recording(name, server)["response"]["body"]["result"]


def respond(response: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Any:
    """A response of httpx: JSON or plain text."""
    body, status = response["body"], response["status"]
    given = dict(headers or {})
    if isinstance(body, str):
        return httpx.Response(status, text=body, headers=given)
    return httpx.Response(status, json=body, headers=given)


def ok(result: Any) -> httpx.Response:
    """A response with status 200."""
    return httpx.Response(200, json={"result": result, "status": "ok", "time": 0.0})


def refused(status: int, text: str = "", headers: Mapping[str, str] | None = None) -> Any:
    """A response with an error status."""
    body = {"status": {"error": text}, "time": 0.0}
    return httpx.Response(status, json=body if text else None, headers=dict(headers or {}))


def body_of(request: httpx.Request) -> Any:
    """The JSON that was sent; None for none."""
    return json.loads(request.content) if request.content else None


Answer = httpx.Response | Exception | Callable[[httpx.Request], httpx.Response]


class Replay:
    """A server with fixed responses.

    Attributes:
        sent: method, path and body of every request, in order.
    """

    def __init__(self, version: str = "1.16.3") -> None:
        self.sent: list[tuple[str, str, Any]] = []
        self.headers: list[httpx.Headers] = []
        self.answers: dict[tuple[str, str], list[Answer]] = {}
        root = {"title": "qdrant - vector search engine", "version": version}
        self.on("GET", "/", httpx.Response(200, json=root))
        self.on("GET", "/aliases", ok({"aliases": []}))

    def on(self, method: str, path: str, *answers: Answer) -> Replay:
        """Set the responses of a path in order; the last one is repeated."""
        self.answers[method, path] = list(answers)
        return self

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.raw_path.decode()
        self.sent.append((request.method, path, body_of(request)))
        self.headers.append(request.headers)
        found = self.reply(request, path)
        if isinstance(found, Exception):
            raise found
        # A response can be read once.
        made = found if isinstance(found, httpx.Response) else found(request)
        return httpx.Response(made.status_code, headers=made.headers, content=made.content)

    def reply(self, request: httpx.Request, path: str) -> Answer:
        """Response to one request."""
        known = self.answers.get((request.method, path))
        if known is None:
            return httpx.Response(404)
        return known.pop(0) if len(known) > 1 else known[0]

    def bodies(self, method: str, path: str) -> list[Any]:
        """Requests sent to a path."""
        return [body for how, where, body in self.sent if (how, where) == (method, path)]

    def writes(self) -> list[tuple[str, str, Any]]:
        """Every request that may change something."""
        reading = ("/points/query/batch", "/points/count", "/points/scroll", "/points")
        return [
            (method, path, body)
            for method, path, body in self.sent
            if method != "GET" and not (method == "POST" and path.endswith(reading))
        ]

    def store(self, **settings: Any) -> QdrantStore:
        """A store on a client of this server, without waiting."""
        from qdrant_client import QdrantClient

        client = QdrantClient(
            url="http://qdrant.test:6333",
            check_compatibility=False,
            transport=httpx.MockTransport(self),
            **settings,
        )
        store = QdrantStore.wrap(client)
        store.connection.sleep = self.slept.append
        return store

    @property
    def slept(self) -> list[float]:
        """Recorded pauses in seconds."""
        return self.__dict__.setdefault("_slept", [])


Page = tuple[str, str | None, str]  # info, optimizations, telemetry


class RecordedSequence(Replay):
    """A collection that changes with PATCH requests.

    Args:
        name: of the collection.
        chapters: pages before the first PATCH, after it, after the second, ...
    """

    def __init__(
        self, name: str, chapters: Sequence[Sequence[Page]], count: int, server: str = OLD
    ) -> None:
        super().__init__(server)
        self.server = server
        self.name = name
        self.chapters = [list(chapter) for chapter in chapters]
        self.at = 0
        self.on("GET", "/collections", ok({"collections": [{"name": name}]}))
        self.on("POST", f"/collections/{name}/points/count", ok({"count": count}))

    def reply(self, request: httpx.Request, path: str) -> Answer:
        chapter = self.chapters[self.at]
        info, optimizations, telemetry = chapter[0]
        if (request.method, path) == ("GET", f"/collections/{self.name}"):
            return answer(info, self.server)
        if path == f"/collections/{self.name}/optimizations":
            if optimizations is None:
                return ok({"ongoing": []})
            return answer(optimizations, self.server)
        if path == "/telemetry?details_level=4":
            if len(chapter) > 1:
                chapter.pop(0)
            return answer(telemetry, self.server)
        if (request.method, path) == ("PATCH", f"/collections/{self.name}"):
            if self.turns(body_of(request) or {}):
                self.at += 1
            return ok(True)
        return super().reply(request, path)

    def turns(self, body: Mapping[str, Any]) -> bool:
        """Whether a PATCH begins the next chapter."""
        return "quantization_config" in body


def poll(number: int, step: str) -> Page:
    """The three recordings of one inspection in ``lifecycle``."""
    info, optimizations, telemetry = (
        f"life/{number + at:03}_poll_{step}_{what}"
        for at, what in enumerate(("info", "optimizations", "telemetry"))
    )
    return info, optimizations, telemetry


def active(number: int, step: str) -> Page:
    """The last inspection of a step of ``lifecycle``."""
    return (
        f"life/{number:03}_active_{step}_info",
        None,
        f"life/{number + 1:03}_active_{step}_telemetry",
    )


def lifecycle() -> RecordedSequence:
    """The lifecycle of ``articles``: none, scalar, binary, product, none."""
    return RecordedSequence(
        "articles",
        [
            [("life/008_info_indexed", None, "life/010_telemetry_unquantized")],
            [poll(12, "none_to_scalar"), poll(15, "none_to_scalar"), active(18, "none_to_scalar")],
            [
                poll(27, "scalar_always_ram_only"),
                poll(30, "scalar_always_ram_only"),
                active(33, "scalar_always_ram_only"),
            ],
            [
                poll(36, "scalar_to_binary"),
                poll(39, "scalar_to_binary"),
                poll(42, "scalar_to_binary"),
                poll(45, "scalar_to_binary"),
                active(48, "scalar_to_binary"),
            ],
            [
                poll(55, "binary_to_product"),
                poll(58, "binary_to_product"),
                poll(61, "binary_to_product"),
                poll(64, "binary_to_product"),
                active(70, "binary_to_product"),
            ],
            [
                poll(73, "product_to_disabled"),
                poll(76, "product_to_disabled"),
                active(79, "product_to_disabled"),
            ],
        ],
        count=20_000,
    )


def info_of(
    vectors: Any,
    quantization: Any = None,
    *,
    status: str = "green",
    points: int = 2000,
    **more: Any,
) -> dict[str, Any]:
    """A ``GET /collections/NAME`` in the shape of the recordings."""
    params = {"vectors": vectors, **more.pop("params", {})}
    return {
        "status": status,
        "optimizer_status": more.pop("optimizer_status", "ok"),
        "points_count": points,
        "config": {
            "params": params,
            "optimizer_config": {"indexing_threshold": more.pop("threshold", 1000)},
            "quantization_config": quantization,
            **more,
        },
        "payload_schema": {},
    }


def telemetry_of(
    name: str, segments: Sequence[Mapping[str, tuple[int, str, Any]]], **more: Any
) -> dict[str, Any]:
    """A telemetry of one shard: for each segment ``{vector: (rows, index, codes)}``."""
    shown = [
        {
            "info": {"vector_data": {v: {"num_vectors": rows} for v, (rows, _, _) in each.items()}},
            "config": {
                "vector_data": {
                    v: {"index": {"type": index, "options": {}}, "quantization_config": codes}
                    for v, (_, index, codes) in each.items()
                }
            },
        }
        for each in segments
    ]
    log = more.pop("log", [])
    local = {"segments": shown, "optimizations": {"log": log}}
    shard = {"id": 0, "local": local, "remote": more.pop("remote", [])}
    return {"collections": {"collections": [{"id": name, "shards": [shard]}]}}


def serve(
    info: Mapping[str, Any],
    telemetry: Mapping[str, Any] | None = None,
    *,
    name: str = "articles",
    version: str = "1.16.3",
    count: int = 2000,
) -> Replay:
    """A server with one unchanging collection."""
    server = Replay(version)
    server.on("GET", "/collections", ok({"collections": [{"name": name}]}))
    server.on("GET", f"/collections/{name}", ok(info))
    server.on("GET", f"/collections/{name}/optimizations", ok({"ongoing": []}))
    server.on("POST", f"/collections/{name}/points/count", ok({"count": count}))
    server.on("PATCH", f"/collections/{name}", ok(True))
    if telemetry is not None:
        server.on("GET", "/telemetry?details_level=4", ok(telemetry))
    return server
