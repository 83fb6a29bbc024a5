"""The HTTP interface, by its requests: a listener passes each statement to chDB.

A server is not available as a package. The listener shows that the requests have the documented
form and that the engine accepts each statement and block; it does not show what a server does.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from clickhouse_helpers import DIM, ROWS
from live.server import free_ports

import qadapt as qa
from qadapt.api import Database
from qadapt.errors import AuthError, NotFoundError, UnreachableError
from qadapt.model.address import Address
from qadapt.stores.clickhouse.connection import open_address
from qadapt.testing.data import Sample


@dataclass
class Listener:
    """Requests in order.

    Attributes:
        answer: replaces the response of the engine.
        drop: for the next request, the connection is closed instead of a response.
        drop_inserts: the same for all inserts.
    """

    url: str
    requests: list[tuple[dict[str, str], dict[str, str], bytes]] = field(default_factory=list)
    answer: tuple[int, str] | None = None
    drop: bool = False
    drop_inserts: bool = False

    @property
    def inserts(self) -> int:
        return sum("query" in query for query, _, _ in self.requests)


@pytest.fixture
def listener(address: str) -> Iterator[Listener]:
    parsed = Address.parse(address)
    engine = open_address(parsed)._transport
    found = Listener("")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            query = {name: each[0] for name, each in parse_qs(urlsplit(self.path).query).items()}
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.requests.append((query, dict(self.headers), body))
            if found.drop or (found.drop_inserts and "query" in query):
                found.drop = False
                self.close_connection = True
                return
            status, data = 200, b""
            try:
                if found.answer is not None:
                    status, data = found.answer[0], found.answer[1].encode()
                elif "query" in query:
                    text, _, form = query["query"].rpartition(" FORMAT ")
                    engine.insert(text, form, body)
                else:
                    given = {n[6:]: each for n, each in query.items() if n.startswith("param_")}
                    data = engine.query(body.decode(), given)
            except RuntimeError as error:
                status, data = 404, str(error).encode()
            self.send_response(status)
            if status != 200:
                self.send_header("X-ClickHouse-Exception-Code", "60")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            """Print nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    database = parsed.options["database"]
    found.url = f"clickhouse+http://127.0.0.1:{server.server_port}?database={database}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield found
    server.shutdown()
    thread.join()
    server.server_close()
    engine.close()


@pytest.fixture
def remote(listener: Listener) -> Iterator[Database]:
    with qa.open(listener.url) as database:
        yield database


def test_rows_and_codes_by_http_are_those_of_the_engine(
    remote: Database, database: Database, listener: Listener, sample: Sample
) -> None:
    collection = remote.create("articles", dim=DIM)
    payloads = [{"text": f"a\tb'{row}"} for row in range(ROWS)]
    collection.write(qa.Batch(list(range(ROWS)), {"": sample.rows}, payloads))
    collection.plan("binary:rescore=4").apply(yes=True)
    assert collection.info().vectors[""].status.state is qa.State.ACTIVE
    local = database["articles"]
    assert local.fetch([1, 7]).vectors[""].tobytes() == sample.rows[[1, 7]].tobytes()
    assert collection.fetch([7]).payloads == [{"text": "a\tb'7"}]
    assert remote.server().deployment == "server"
    queries = sample.queries[:3]
    assert collection.search(queries, k=5).ids.tolist() == local.search(queries, k=5).ids.tolist()
    filter = {"text": "a\tb'7"}
    assert collection.search(queries[0], k=1, filter=filter).ids.tolist() == [[7]]


def test_values_are_parameters_and_rows_are_blocks(
    remote: Database, listener: Listener, sample: Sample
) -> None:
    collection = remote.create("articles", dim=DIM)
    collection.write(qa.Batch(list(range(20)), {"": sample.rows[:20]}))
    query, _, body = next(each for each in listener.requests if "query" in each[0])
    assert query["query"].startswith("INSERT INTO ")
    assert query["query"].endswith(") FORMAT Native")
    assert sample.rows[:20].tobytes() in body
    listener.requests.clear()
    collection.search(sample.queries[0], k=3, filter={"topic": "'; DROP TABLE x"})
    query, _, body = listener.requests[-1]
    assert len(json.loads(query["param_q"])) == DIM
    assert "'; DROP TABLE x" in query.values()
    assert b"DROP" not in body
    assert query["default_format"] == "Native"
    assert query["wait_end_of_query"] == "1"


def test_a_password_is_sent_in_a_header(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLICKHOUSE_PASSWORD", "secret-word")
    with qa.open(f"{listener.url}&user=reader") as database:
        assert database.collections() == []
    for query, headers, body in listener.requests:
        assert headers["X-ClickHouse-User"] == "reader"
        assert headers["X-ClickHouse-Key"] == "secret-word"
        assert "secret-word" not in f"{query}{body!r}"


def test_errors_of_a_server_are_translated(remote: Database, listener: Listener) -> None:
    listener.answer = (403, "Code: 516. DB::Exception: reader: Authentication failed (X)")
    with pytest.raises(AuthError, match="Authentication failed"):
        remote.collections()
    listener.answer = (404, "Code: 60. DB::Exception: Table x does not exist. (UNKNOWN_TABLE)")
    with pytest.raises(NotFoundError, match="Table x"):
        remote.collections()


def test_a_closed_connection_is_opened_again_for_reads_only(
    remote: Database, listener: Listener, sample: Sample
) -> None:
    collection = remote.create("articles", dim=DIM)
    collection.write(qa.Batch([1], {"": sample.rows[:1]}))
    listener.drop = True
    assert collection.count() == 1
    assert listener.inserts == 1
    listener.drop_inserts = True
    with pytest.raises(UnreachableError):
        collection.write(qa.Batch([2], {"": sample.rows[1:2]}))
    assert listener.inserts == 2
    listener.drop_inserts = False
    assert collection.count() == 1


def test_a_server_that_does_not_answer_is_named() -> None:
    (port,) = free_ports(1)
    with pytest.raises(UnreachableError, match="does not answer") as error:
        qa.open(f"clickhouse+http://127.0.0.1:{port}")
    assert "8123" in str(error.value.hint)


def test_an_unknown_database_is_named(listener: Listener) -> None:
    url = listener.url.partition("?")[0]
    with pytest.raises(NotFoundError, match="nowhere"):
        qa.open(f"{url}?database=nowhere")
