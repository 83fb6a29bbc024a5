"""Errors of the server, from recorded answers of 3.6.0 that a local listener sends."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

import qadapt as qa
from qadapt.errors import (
    AuthError,
    BusyError,
    InputError,
    NotFoundError,
    QadaptError,
    ReadOnlyError,
    StoreError,
    UnsupportedError,
)
from qadapt.model.address import Address
from qadapt.stores.elastic.errors import Refused, refused
from qadapt.stores.elastic.opensearch.connection import OpenSearchWire

RECORDED = Path(__file__).parents[2] / "recordings" / "opensearch-3.6.0" / "requests.json"
REQUESTS: dict[str, Any] = json.loads(RECORDED.read_text())


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("unknown_field", NotFoundError),
        ("wrong_dimension", InputError),
        ("missing_index", NotFoundError),
        ("oversample_too_large", InputError),
        ("change_refused", InputError),
        ("alias_named_as_index", InputError),
        ("write_to_blocked", ReadOnlyError),
    ],
)
def test_a_recorded_error_has_a_kind_and_a_next_step(name: str, kind: type[QadaptError]) -> None:
    recorded = REQUESTS[name]
    found = refused(Refused(recorded["status"], recorded["answer"]), "search 'articles'")
    assert isinstance(found, kind)
    assert found.hint
    assert recorded["answer"]["error"]["root_cause"][0]["reason"].split("\n")[0] in found.message


class Listener(http.server.BaseHTTPRequestHandler):
    """Answers ``GET /`` as recorded, and other requests with the next one of ``answers``."""

    root: Any = REQUESTS["root"]["answer"]
    answers: ClassVar[list[int]] = []

    def do_GET(self) -> None:
        if self.path == "/":
            self._send(200, self.root)
            return
        status = self.answers.pop(0) if self.answers else 200
        error = {"error": {"type": "rejected", "reason": "test", "root_cause": []}}
        self._send(status, {} if status == 200 else {**error, "status": status})

    def _send(self, status: int, body: Any) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: Any) -> None:
        """Print nothing."""


@pytest.fixture
def listener() -> Iterator[tuple[str, type[Listener]]]:
    handler = type("Handler", (Listener,), {"answers": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"opensearch+http://127.0.0.1:{server.server_port}", handler
    server.shutdown()
    server.server_close()


def test_an_overloaded_server_is_asked_again(listener: Any) -> None:
    url, handler = listener
    with qa.open(url) as database:
        database._store.connection.sleep = lambda _: None
        handler.answers = [503, 429, 200]
        assert database._store.collections() == []
        assert not handler.answers
        handler.answers = [429] * 20
        with pytest.raises(BusyError):
            database._store.collections()


@pytest.mark.parametrize(("status", "kind"), [(401, AuthError), (403, AuthError)])
def test_refused_keys(listener: Any, status: int, kind: type[QadaptError]) -> None:
    url, handler = listener
    with qa.open(url) as database:
        handler.answers = [status]
        with pytest.raises(kind):
            database._store.collections()


def test_another_product_is_refused(listener: Any) -> None:
    url, handler = listener
    handler.root = {"version": {"number": "9.5.3", "build_flavor": "default"}}
    with pytest.raises(StoreError, match="is not OpenSearch"):
        qa.open(url)


def test_an_old_version_is_refused(listener: Any) -> None:
    url, handler = listener
    handler.root = {"version": {"number": "2.11.0", "distribution": "opensearch"}}
    with pytest.raises(UnsupportedError, match=r"needs OpenSearch 2\.17; this is OpenSearch 2\.11"):
        qa.open(url)


def test_a_fingerfingerprintreaches_the_connections_of_the_client() -> None:
    """By contract: the server of the tests has no TLS."""
    import opensearchpy

    fingerprint = "ab" * 32
    address = Address.parse(f"opensearch+https://search.example.com:9200?fingerprint={fingerprint}")
    options = {"ssl_assert_fingerprint": address.options["fingerprint"]}
    client = OpenSearchWire.new_client(opensearchpy.OpenSearch, address, 9, options)
    assert client.transport.get_connection().pool.assert_fingerprint == fingerprint
    client.close()
