"""Failures of a live Weaviate or its connection raise one clear error."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable

import grpc
import numpy as np
import pytest
import weaviate.retry
from live.server import free_ports
from live.weaviate import WeaviateServer
from weaviate_helpers import fill, keys, normal

import qadapt as qa
from qadapt.errors import (
    AddressError,
    AlreadyExistsError,
    AuthError,
    NotFoundError,
    StoreError,
    StoreTimeoutError,
    UnreachableError,
    UnsupportedError,
)
from qadapt.model import Batch, Metric, Vector
from qadapt.model.address import Address
from qadapt.stores import retry
from qadapt.stores.base import SearchRequest
from qadapt.stores.weaviate.errors import translate
from qadapt.stores.weaviate.store import WeaviateStore

KEY = "the-right-key"


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key from the environment."""
    for name in ("WEAVIATE_API_KEY", "QADAPT_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def test_keys(
    weaviate_server: Callable[..., WeaviateServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Missing, wrong and correct keys from each source; no key is ever shown."""
    server = weaviate_server(
        AUTHENTICATION_APIKEY_ENABLED="true",
        AUTHENTICATION_APIKEY_ALLOWED_KEYS=KEY,
        AUTHENTICATION_APIKEY_USERS="me",
        AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED="false",
    )
    with pytest.raises(AuthError, match="anonymous access not enabled") as caught:
        qa.open(server.url)
    assert "WEAVIATE_API_KEY" in str(caught.value.hint)
    monkeypatch.setenv("WEAVIATE_API_KEY", "a-wrong-key")
    with pytest.raises(AuthError, match="invalid api key") as caught:
        qa.open(server.url)
    assert "a-wrong-key" not in str(caught.value)
    monkeypatch.setenv("WEAVIATE_API_KEY", KEY)
    monkeypatch.setenv("OF_THE_TEAM", KEY)
    place = server.url.removeprefix("weaviate+http://")
    for address in (
        server.url,
        f"{server.url}&key_env=OF_THE_TEAM",
        f"weaviate+http://{KEY}@{place}",
    ):
        with qa.open(address) as database:
            assert KEY not in repr(database)
            collection = database.create("Keyed", dim=4)
            collection.write(qa.Batch(keys(2), {"": normal(2)}))
            assert collection.search(normal(1), k=1).ids.shape == (1, 1)
            database.drop("Keyed")
        monkeypatch.delenv("WEAVIATE_API_KEY", raising=False)


def test_wrong_ports(live: Callable[[str], str]) -> None:
    address = Address.parse(live("weaviate"))
    grpc = address.options["grpc"]
    (empty,) = free_ports(1)
    with pytest.raises(UnreachableError, match=f"127.0.0.1:{empty}") as caught:
        qa.open(f"weaviate+http://127.0.0.1:{empty}")
    assert "REST port" in str(caught.value.hint)
    with pytest.raises(UnreachableError, match=f"no gRPC server at 127.0.0.1:{empty}"):
        qa.open(f"weaviate+http://{address.location}?grpc={empty}")
    with pytest.raises(UnreachableError) as caught:
        qa.open(f"weaviate+http://127.0.0.1:{grpc}?grpc={empty}")
    assert "8080" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("weaviate+http://localhost:8080?grcp=50051", "grpc"),
        ("weaviate+http://localhost:8080?grpc=many", "positive integer"),
        ("weaviate+http://localhost:8080?grpc=8080", "the same port"),
        ("weaviate+grpc://localhost:50051", "REST port"),
        ("weaviate+http://localhost:8080/prefix", "no path"),
    ],
)
def test_addresses(address: str, words: str) -> None:
    with pytest.raises(AddressError, match=words):
        qa.open(address)


def test_reconnect_after_a_server_restart(
    weaviate_server: Callable[..., WeaviateServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = weaviate_server()
    store = WeaviateStore.open(Address.parse(server.url))
    rows = normal(200)
    fill(store, "Gone", rows)
    server.kill()
    pauses: list[float] = []
    store.connection.sleep = pauses.append
    monkeypatch.setattr(
        weaviate.retry._Retry, "with_exponential_backoff", lambda *_: pytest.fail("client retries")
    )
    for attempt in (
        lambda: store.count("Gone"),
        lambda: store.search("Gone", rows[:2], SearchRequest(k=1)),
        lambda: store.write("Gone", Batch(keys(1), {"": rows[:1]})),
        lambda: list(store.read("Gone")),
        lambda: store.info("Gone"),
        lambda: store.collections(),
    ):
        pauses.clear()
        with pytest.raises(UnreachableError):
            attempt()
        assert len(pauses) == retry.ATTEMPTS - 1
    monkeypatch.undo()
    server.restart()
    store.connection.sleep = time.sleep
    assert store.count("Gone") == 200
    (page,) = store.read("Gone")
    assert page.vectors[""].tobytes() == rows.tobytes()
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.count("Gone")
    with pytest.raises(StoreError, match="closed"):
        store.search("Gone", rows[:2], SearchRequest(k=1))


def test_a_server_killed_while_rows_are_written(
    weaviate_server: Callable[..., WeaviateServer],
) -> None:
    """The error has the number of rows surely written; writing all again completes them."""
    server = weaviate_server()
    store = WeaviateStore.open(Address.parse(server.url))
    rows = normal(20_000, 128)
    store.create("Cut", {"": Vector(128, Metric.DOT)}, {})
    store.connection.sleep = lambda _: None
    killer = threading.Timer(2.0, server.kill)
    killer.start()
    with pytest.raises(UnreachableError, match=r"of 20,000 rows were written") as caught:
        store.write("Cut", Batch(keys(20_000), {"": rows}))
    killer.join()
    reported = re.search(r"([\d,]+) of 20,000 rows were written", caught.value.message)
    assert reported is not None
    surely = int(reported[1].replace(",", ""))
    store.close()  # its channel may still wait for an attempt that began before the restart
    server.restart()
    store = WeaviateStore.open(Address.parse(server.url))
    there = store.count("Cut")
    assert surely <= there < 20_000
    few = Batch(keys(2000), {"": rows[:2000]})
    store.write("Cut", few)
    back = store.fetch("Cut", few.ids)
    assert back.vectors[""].tobytes() == rows[:2000].tobytes()
    store.close()


def test_a_search_during_training_stops_at_its_time_limit(store: WeaviateStore, name: str) -> None:
    """Searches block while PQ trains, and the error explains it."""
    rows = normal(6000, 512)
    fill(store, name, rows)
    raw = store.connection.rest("GET", f"/v1/schema/{name}", doing="read")
    raw["vectorIndexConfig"]["pq"]["enabled"] = True
    store.connection.rest("PUT", f"/v1/schema/{name}", raw, doing="compress")
    store.connection.timeout = 0.5
    with pytest.raises(StoreTimeoutError, match="within the time limit") as caught:
        store.search(name, rows[:1], SearchRequest(k=1))
    assert "PQ trains" in str(caught.value.hint)
    store.connection.timeout = 60
    assert store.search(name, rows[:1], SearchRequest(k=1)).ids.tolist() == [keys(1)]


def test_missing_and_existing_names_are_refused(store: WeaviateStore, name: str) -> None:
    fill(store, name, normal(1))
    with pytest.raises(AlreadyExistsError):
        fill(store, name, normal(1))
    for attempt in (
        lambda: store.count(f"{name}x"),
        lambda: store.search(f"{name}x", normal(1), SearchRequest(k=1)),
        lambda: list(store.read(f"{name}x")),
        lambda: store.drop(f"{name}x"),
    ):
        with pytest.raises(NotFoundError, match=f"{name}x") as caught:
            attempt()
        assert name in str(caught.value.hint)
    store.drop(name)
    with pytest.raises(NotFoundError):
        store.search(name, normal(1), SearchRequest(k=1))


def test_a_wrapped_client_stays_open(live: Callable[[str], str]) -> None:
    weaviate = pytest.importorskip("weaviate")
    address = Address.parse(live("weaviate"))
    port = int(address.options["grpc"])
    client = weaviate.connect_to_local(
        host=address.host, port=address.port, grpc_port=port, skip_init_checks=True
    )
    try:
        with qa.wrap(client) as database:
            assert str(database.server().store) == "weaviate"
            assert str(database._store.address) == str(address)
            database.collections()
        assert client.is_connected()
    finally:
        client.close()
    with pytest.raises(UnsupportedError, match="not connected"):
        qa.wrap(client)
    later = weaviate.use_async_with_local(host=address.host, port=address.port, grpc_port=port)
    with pytest.raises(UnsupportedError, match="WeaviateAsyncClient"):
        qa.wrap(later)


def test_no_request_to_a_package_index(
    live: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client sends one at each connect, unless its checks are skipped."""
    httpx = pytest.importorskip("httpx")
    asked: list[str] = []
    plain = httpx.Client.send

    def send(self: object, request: object, **named: object) -> object:
        asked.append(str(request.url))  # type: ignore[attr-defined]
        return plain(self, request, **named)

    monkeypatch.setattr(httpx.Client, "send", send)
    with qa.open(live("weaviate")) as database:
        database.collections()
    assert asked
    assert all(url.startswith("http://127.0.0.1") for url in asked), asked


def test_another_http_server_is_reported_as_not_weaviate() -> None:
    """A server that answers each request with a page."""
    import http.server
    import threading

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>hello</html>")

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with pytest.raises(StoreError, match="not Weaviate"):
            qa.open(f"weaviate+http://127.0.0.1:{server.server_address[1]}")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_requests_are_cancelled_when_one_of_them_fails(
    store: WeaviateStore, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch of searches ends with the first error, and the store stays usable."""
    fill(store, name, normal(50))
    queries = np.repeat(normal(1), 200, axis=0)
    with monkeypatch.context() as hurried:
        hurried.setattr(store.connection, "sleep", lambda _: None)
        hurried.setattr(store.connection, "timeout", 1e-6)
        with pytest.raises(StoreTimeoutError):
            store.search(name, queries, SearchRequest(k=1))
    assert store.search(name, queries, SearchRequest(k=1)).ids.shape == (200, 1)


def test_a_request_cancelled_by_the_server_is_a_timeout() -> None:
    """The server's deadline may pass first: gRPC reports CANCELLED (RST_STREAM, code 8)."""

    class Broken(grpc.RpcError):
        def code(self) -> grpc.StatusCode:
            return grpc.StatusCode.CANCELLED

        def details(self) -> str:
            return "Received RST_STREAM with error code 8"

    found = translate(Broken(), "search 'Articles'")
    assert isinstance(found, StoreTimeoutError)
