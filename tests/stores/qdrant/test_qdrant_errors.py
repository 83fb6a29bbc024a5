"""Errors of server, network and client: one clear error each, retried or not."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from qdrant_helpers import (
    BINARY,
    PATH,
    TELEMETRY,
    Replay,
    answer,
    info_of,
    ok,
    recording,
    refused,
    serve,
)

import qadapt as qa
from qadapt.errors import (
    AlreadyExistsError,
    AuthError,
    BusyError,
    DimensionError,
    InputError,
    NotFoundError,
    QadaptError,
    StoreError,
    StoreTimeoutError,
    TransientError,
    UnreachableError,
)
from qadapt.stores import registry, retry
from qadapt.stores.qdrant.server import errors

UNNAMED = {"size": 4, "distance": "Dot"}
PATCH = "/collections/articles"


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("auth_no_key", AuthError, "Must provide an API key"),
        ("auth_wrong_key", AuthError, "Invalid API key"),
        ("readonly_patch", AuthError, "Global manage access"),
        ("unknown_collection_get", NotFoundError, "nope"),
        ("unknown_path", errors.NoSuchPathError, "does not know this path"),
        ("upsert_wrong_dim", DimensionError, "3 dimensions, expected 4"),
        ("payload_too_large", StoreError, "larger than allowed"),
        ("id_string", StoreError, "not a valid point ID"),
        ("strict_max_query_limit", InputError, "Limit exceeded 6 > 5"),
        ("strict_no_exact", InputError, "Exact search disabled"),
        ("strict_unindexed_filter_query", InputError, "Index required"),
        ("strict_read_rate_429", errors.RateLimitedError, "Rate limit"),
    ],
)
def test_recorded_refusals(name: str, error: type[QadaptError], words: str) -> None:
    made = answer(f"errors/{name}")
    found = errors.by_status(made.status_code, errors._text(made.content), "do it", made.headers)
    assert type(found) is error
    assert words in str(found)


def test_creating_an_existing_collection_is_rejected() -> None:
    server = Replay().on("PUT", "/collections/t", answer("create/error_exists"))
    with pytest.raises(AlreadyExistsError):
        server.store().create("t", {"": qa.Vector(8)}, {})


def test_an_unknown_collection_suggests_a_similar_name() -> None:
    server = serve(info_of(UNNAMED)).on("GET", "/collections/artcles", refused(404, "Not found"))
    with pytest.raises(NotFoundError, match="did you mean 'articles'"):
        server.store().info("artcles")


class Code:
    """A code of gRPC."""

    def __init__(self, name: str) -> None:
        self.name = name


class RpcError(Exception):
    """An error of gRPC, as recorded."""

    def __init__(self, code: str, details: str) -> None:
        self._code, self._details = code, details

    def code(self) -> Code:
        return Code(self._code)

    def details(self) -> str:
        return self._details


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("grpc_auth_None", AuthError),
        ("grpc_auth_nope", AuthError),
        ("grpc_auth_read-key", AuthError),
        ("grpc_create_exists", AlreadyExistsError),
        ("grpc_create_turbo", StoreError),
        ("grpc_unknown_collection", NotFoundError),
        ("grpc_upsert_wrong_dim", DimensionError),
        ("grpc_id_string", StoreError),
    ],
)
def test_recorded_refusals_over_grpc(name: str, error: type[QadaptError]) -> None:
    reported = recording(f"errors/{name}")["response"]
    found = errors.translate(RpcError(reported["status"], reported["body"]), "do it")
    assert type(found) is error


def test_grpc_on_the_rest_port_is_an_error_with_a_hint() -> None:
    found = errors.translate(RpcError("UNAVAILABLE", "Trying to connect an http1.x server"), "ask")
    assert type(found) is UnreachableError
    assert "6334" in str(found)
    assert type(errors.translate(RpcError("DEADLINE_EXCEEDED", ""), "ask")) is StoreTimeoutError
    assert type(errors.translate(RpcError("UNKNOWN", "odd"), "ask")) is StoreError


# -- retries ------------------------------------------------------------------------


def test_a_rate_limit_is_waited_for_as_requested_by_the_server() -> None:
    server = serve(info_of(UNNAMED))
    limited = answer("errors/strict_read_rate_429")
    server.on("GET", "/collections", limited, limited, ok({"collections": []}))
    assert server.store().collections() == []
    assert server.slept == [30.0, 30.0]


def test_a_rate_limited_write_is_waited_for() -> None:
    server = serve(info_of(UNNAMED))
    path = f"{PATCH}/points?wait=true"
    server.on("PUT", path, answer("errors/strict_write_rate_429"), ok({"status": "completed"}))
    server.store().write("articles", qa.Batch([1], {"": np.ones((1, 4))}))
    assert server.slept == [30.0]
    assert len(server.bodies("PUT", path)) == 2


def test_a_rate_limit_of_more_than_a_minute_is_an_error() -> None:
    server = serve(info_of(UNNAMED))
    server.on("GET", "/collections", refused(429, "slow", {"retry-after": "3600"}))
    with pytest.raises(BusyError, match="slow") as caught:
        server.store().collections()
    assert server.slept == []
    assert isinstance(caught.value, errors.RateLimitedError)
    assert caught.value.retry_after == 3600


@pytest.mark.parametrize(
    "optimizer_error",
    [refused(503, "starting"), httpx.ReadError("reset"), httpx.ConnectError("refused")],
)
def test_transient_errors_are_retried_a_limited_number_of_times(optimizer_error: Any) -> None:
    server = serve(info_of(UNNAMED))
    server.on("GET", "/collections", optimizer_error, optimizer_error, ok({"collections": []}))
    assert server.store().collections() == []
    assert len(server.slept) == 2
    server.slept.clear()
    server.on("GET", "/collections", optimizer_error)
    with pytest.raises(TransientError):
        server.store().collections()
    assert len(server.slept) == retry.ATTEMPTS - 1


@pytest.mark.parametrize("optimizer_error", [refused(503, "busy"), httpx.ReadError("reset")])
def test_a_patch_that_may_have_arrived_is_not_sent_twice(optimizer_error: Any) -> None:
    """The second would cancel the build that the first began."""
    from qadapt.stores.qdrant.server import vector_index

    server = serve(info_of(UNNAMED)).on("PATCH", PATCH, optimizer_error)
    body = {"quantization_config": {"binary": {}}}
    with pytest.raises(TransientError):
        vector_index.patch(server.store().connection, "articles", body)
    assert len(server.bodies("PATCH", PATCH)) == 1


@pytest.mark.parametrize(
    "lasting", [refused(400, "Bad"), refused(403, "Forbidden"), refused(422, "x")]
)
def test_permanent_errors_are_not_retried(lasting: Any) -> None:
    server = serve(info_of(UNNAMED)).on("GET", "/collections", lasting)
    with pytest.raises(StoreError):
        server.store().collections()
    assert len(server.bodies("GET", "/collections")) == 1


def test_a_timeout_is_not_retried() -> None:
    server = serve(info_of(UNNAMED)).on("GET", "/collections", httpx.ReadTimeout("slow"))
    with pytest.raises(StoreTimeoutError, match="timed out"):
        server.store().collections()
    assert len(server.bodies("GET", "/collections")) == 1


def test_a_key_is_masked_in_server_errors() -> None:
    import warnings

    server = serve(info_of(UNNAMED)).on("GET", "/collections", refused(403, "key sesame is bad"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a warning of the client: a key without TLS
        store = server.store(api_key="sesame")
    with pytest.raises(AuthError) as caught:
        store.collections()
    assert "sesame" not in str(caught.value) + repr(caught.value)
    assert server.headers[-1]["api-key"] == "sesame"
    assert "sesame" not in str(store.address)


# -- real sockets --------------------------------------------------------------------------------


class Wire:
    """A port that answers each connection with fixed bytes, or closes it."""

    def __init__(self, reply: bytes) -> None:
        self.reply = reply
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            with client:
                client.recv(65536)
                client.sendall(self.reply)


@pytest.fixture
def wire() -> Iterator[Any]:
    """Create ports, and close them."""
    made: list[Wire] = []

    def make(reply: bytes) -> int:
        made.append(Wire(reply))
        return made[-1].port

    yield make
    for each in made:
        each.socket.close()


def http(body: bytes, status: str = "200 OK") -> bytes:
    """An HTTP response."""
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


def test_rest_on_a_port_that_closes_connections_is_an_error(
    wire: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the gRPC port does."""
    monkeypatch.setattr(retry, "ATTEMPTS", 1)
    with pytest.raises(UnreachableError, match="was closed"):
        registry.open_store(f"qdrant+http://127.0.0.1:{wire(b'')}")


def test_unreachable_server_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "ATTEMPTS", 1)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(UnreachableError, match="the server is unreachable"):
        registry.open_store(f"qdrant+http://127.0.0.1:{port}")


def test_another_service_is_rejected(wire: Any) -> None:
    with pytest.raises(StoreError, match="not Qdrant"):
        registry.open_store(f"qdrant+http://127.0.0.1:{wire(http(b'{}'))}")


def test_a_distant_server_version_is_one_note_without_a_warning(
    wire: Any, caplog: pytest.LogCaptureFixture
) -> None:
    reply = http(b'{"title": "qdrant", "version": "1.16.3"}')
    with caplog.at_level(logging.WARNING, "qadapt.qdrant"):
        store = registry.open_store(f"qdrant+http://127.0.0.1:{wire(reply)}")
    assert store.server().version == "1.16.3"
    assert len(caplog.records) == 1
    assert "1.16.3" in caplog.text
    store.close()


@pytest.mark.parametrize("body", [{"result": None, "status": "ok"}, {"status": "ok"}, []])
def test_a_response_without_a_result_is_an_error_or_unobserved(body: Any) -> None:
    """For example, the page of a proxy that answers every path."""
    server = serve(info_of(UNNAMED, BINARY), version="1.19.0")
    server.on("GET", TELEMETRY, httpx.Response(200, json=body))
    status = server.store().info("articles").vectors[""].status
    assert status.state is qa.State.UNKNOWN
    server.on("GET", PATH, httpx.Response(200, json=body))
    with pytest.raises(StoreError, match="contains no result") as caught:
        server.store().info("articles")
    assert "address" in str(caught.value.hint)
