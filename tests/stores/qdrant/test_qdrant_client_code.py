"""Code for clients of a Qdrant server sends what qadapt sends; no server is needed."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from qadapt.model import Kind, Quantization, Rescore, Vector
from qadapt.model.address import Address
from qadapt.stores.base import SearchRequest
from qadapt.stores.client_form import ClientCode
from qadapt.stores.qdrant import client_code
from qadapt.stores.qdrant.search import Codes
from qadapt.stores.qdrant.server import rest_search, search, strict_mode
from qadapt.stores.qdrant.server.profile import PROFILE

pytest.importorskip("qdrant_client")

QUERY = np.array([0.5, 0.25, -1.0], dtype=np.float32)
ANSWER = {
    "result": {"points": [{"id": 3, "version": 0, "score": 0.5}]}, "status": "ok", "time": 0.0,
}  # fmt: skip


@dataclass
class Listener:
    """Records each search request; ``url`` is its address."""

    url: str = ""
    requests: list[tuple[str, dict[str, Any], str | None]] = field(default_factory=list)


@pytest.fixture
def listener() -> Iterator[Listener]:
    found = Listener()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer({"title": "qdrant", "version": "1.19.0"})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            found.requests.append((self.path, body, self.headers.get("api-key")))
            self._answer(ANSWER)

        def _answer(self, document: dict[str, Any]) -> None:
            data = json.dumps(document).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            """Keep the test's output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


def code_of(form: str, url: str, request: SearchRequest, name: str = "") -> str:
    sent = client_code.client_search(None, "a b", request)  # type: ignore[arg-type]
    about = ClientCode(Address.parse(f"qdrant+{url}"), "a b", name, Vector(3), request.k, sent)
    written = {each.name: each.write(about) for each in PROFILE.client_forms}[form]
    assert written is not None
    return written


def own_params(request: SearchRequest) -> dict[str, Any]:
    """The parameters of qadapt's own request."""
    codes = Codes(Quantization(Kind.BINARY), 1)
    common = search.template(request, codes, strict_mode.limits({"config": {}}), local=False)
    body = rest_search.as_json(common)
    found: dict[str, Any] = body.get("params", {})
    return found


def run_python(code: str) -> list[Any]:
    defined: dict[str, Any] = {}
    exec(compile(code, "pasted.py", "exec"), defined)  # the code that users paste
    found: list[Any] = defined["search"](QUERY.tolist())
    for thread in threading.enumerate():  # the client asks for the server's version in one
        if "_check_compatibility" in thread.name:
            thread.join()
    return found


def run_shell(code: str) -> list[Any]:
    script = f"{code}\nsearch '{json.dumps(QUERY.tolist())}'"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    return [point["id"] for point in json.loads(done.stdout)["result"]["points"]]


@pytest.mark.parametrize(
    ("form", "run"), [("qdrant-client", run_python), ("rest", run_shell)], ids=["client", "rest"]
)
@pytest.mark.parametrize(
    "request_",
    [
        SearchRequest(10, rescore=Rescore(4)),
        SearchRequest(7, "it's", rescore=Rescore(2.55)),
        SearchRequest(10, rescore=Rescore(1)),
        SearchRequest(10, rescore=Rescore(source="off")),
        SearchRequest(10, rescore=Rescore(3), options={"hnsw_ef": 64, "indexed_only": True}),
    ],
    ids=["4", "2.55 named", "1", "off", "options"],
)
def test_pasted_code_sends_the_parameters_of_qadapt(
    listener: Listener, form: str, run: Callable[[str], list[Any]], request_: SearchRequest
) -> None:
    code = code_of(form, listener.url, request_, request_.vector)
    assert run(code) == [3]
    path, body, key = listener.requests[-1]
    assert path == "/collections/a%20b/points/query" and key is None
    query = body["query"]
    assert (query["nearest"] if isinstance(query, dict) else query) == QUERY.tolist()
    assert body["limit"] == request_.k
    assert body.get("using") == (request_.vector or None)
    sent = {name: value for name, value in body["params"].items() if value is not None}
    sent["quantization"] = {k: v for k, v in sent["quantization"].items() if v is not None}
    assert sent == own_params(request_)


@pytest.mark.parametrize(("form", "run"), [("qdrant-client", run_python), ("rest", run_shell)])
@pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection")
def test_code_reads_the_key_from_the_environment(
    listener: Listener,
    monkeypatch: pytest.MonkeyPatch,
    form: str,
    run: Callable[[str], list[Any]],
) -> None:
    monkeypatch.setenv("QDRANT_API_KEY", "s3cret")
    code = code_of(form, listener.url, SearchRequest(10, rescore=Rescore(4)))
    assert "s3cret" not in code and "QDRANT_API_KEY" in code
    assert run(code) == [3]
    assert listener.requests[-1][2] == "s3cret"
