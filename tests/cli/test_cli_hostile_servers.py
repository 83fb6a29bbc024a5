"""Servers that repeat the key, send control characters, redirect, or are not databases."""

from __future__ import annotations

import gc
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import chromadb.api.client
import pytest

import qadapt as qa
from qadapt.cli.terminal_text import clean
from qadapt.errors import QadaptError

Cli = Callable[..., Any]
KEY = "hunter2-Zqx/4711+w"
ESCAPES = "\x1b]0;title\x07\x1b[2J\x9b31m\u202e"
STORES = ["qdrant", "weaviate", "elasticsearch", "opensearch", "clickhouse", "chroma"]


class Echo(BaseHTTPRequestHandler):
    """Repeats the headers of each request in the message of an error."""

    protocol_version = "HTTP/1.1"
    status = 500
    seen: list[str]
    elsewhere = ""

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.seen.append(str(self.headers))
        text = f"{ESCAPES} bad key {KEY}, {dict(self.headers)} {ESCAPES}"
        body = json.dumps(
            {
                "error": {"type": text, "reason": text},
                "status": {"error": text},
                "message": text,
            }
        ).encode()
        self.send_response(self.status)
        if self.elsewhere:
            self.send_header("location", self.elsewhere + self.path)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body) if self.status != 204 else 0))
        self.end_headers()
        if self.status != 204 and self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = answer  # noqa: N815

    def log_message(self, *_: Any) -> None:
        """Print nothing."""


@pytest.fixture
def serve() -> Iterator[Callable[..., tuple[int, list[str]]]]:
    """``serve(status)``: the port of a new server, and the headers that it receives."""
    started = []

    def serve(status: int, elsewhere: str = "") -> tuple[int, list[str]]:
        seen: list[str] = []
        known = {"status": status, "seen": seen, "elsewhere": elsewhere}
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Echo,), known))
        threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()
        started.append(server)
        return server.server_port, seen

    yield serve
    for server in started:
        server.shutdown()
        server.server_close()


# A client of chromadb that cannot connect keeps its sockets in a table of the package.
pytestmark = pytest.mark.filterwarnings("ignore:Exception ignored in. <socket")


@pytest.fixture(autouse=True)
def free_sockets() -> Iterator[None]:
    yield
    chromadb.api.client.SharedSystemClient.clear_system_cache()
    gc.collect()


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)


def place(store: str, port: int) -> str:
    return f"{store}+http://127.0.0.1:{port}" + ("?grpc=1" if store == "weaviate" else "")


# The other two go the way of 503.
@pytest.mark.parametrize(
    "status", [200, 401, 503, *(pytest.param(each, marks=pytest.mark.long) for each in (204, 418))]
)
@pytest.mark.parametrize("store", STORES)
def test_messages_of_a_server_contain_no_key_and_control_no_terminal(
    store: str, status: int, serve: Any, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QADAPT_API_KEY", KEY)
    address = place(store, serve(status)[0])
    ran = cli("inspect", address, "-vv")
    shown = ran.out + ran.err
    assert ran.code in (1, 2) and "bug" not in shown
    assert clean(shown) == shown and KEY not in shown
    with pytest.raises(QadaptError) as caught:
        qa.open(address).collections()
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("store", STORES)
def test_a_redirect_sends_no_key_to_another_server(
    store: str, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QADAPT_API_KEY", KEY)
    other, seen = serve(200)
    port, asked = serve(307, f"http://localhost:{other}")
    with pytest.raises(QadaptError):
        qa.open(place(store, port)).collections()
    assert asked and not seen
