"""A server of the store: requests of ``connection.Http``, executed by ``connection.Files``."""

from __future__ import annotations

import json
import threading
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from qadapt_fifth.connection import Files

KEY = "only-for-tests"


@contextmanager
def serving(folder: Path) -> Iterator[int]:
    """The port of a local server that requires ``KEY``."""
    files = Files(folder)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(lambda _: files.collections())

        def do_POST(self) -> None:
            self._answer(lambda body: files.run(self._name, body["sql"], body["many"]))

        def do_DELETE(self) -> None:
            self._answer(lambda _: files.drop(self._name))

        @property
        def _name(self) -> str:
            return unquote(self.path.removeprefix("/"))

        def _answer(self, made: Any) -> None:
            if self.headers.get("Authorization") != f"Bearer {KEY}":
                return self.send_error(401)
            text = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = json.loads(text, object_hook=lambda found: _blob(found))
            result = json.dumps(
                made(body), default=lambda blob: {"b64": b64encode(blob).decode()}
            ).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(result)))
            self.end_headers()
            self.wfile.write(result)
            return None

        def log_message(self, *_: Any) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _blob(found: dict[str, Any]) -> Any:
    return b64decode(found["b64"]) if set(found) == {"b64"} else found
