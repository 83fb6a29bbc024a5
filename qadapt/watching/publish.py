"""Metrics on a loopback port or in a text file."""

from __future__ import annotations

import http.server
import ipaddress
import threading
from pathlib import Path
from typing import Any, Protocol

from qadapt.durable import atomic_write
from qadapt.errors import SpecError, StorageError
from qadapt.watching.openmetrics import CONTENT_TYPE

PATH = "/metrics"


class Publisher(Protocol):
    """Makes the newest metrics available."""

    where: str

    def publish(self, text: str) -> None:
        """Replace the metrics."""

    def close(self) -> None:
        """Stop."""


def publisher(target: str) -> Publisher:
    """The publisher of ``HOST:PORT``, ``:PORT`` or a file name.

    Raises:
        SpecError: the host is not a loopback address.
        StorageError: the port is in use.
    """
    host, colon, port = target.rpartition(":")
    if colon and port.isdecimal():
        return MetricsServer(host.strip("[]") or "127.0.0.1", int(port))
    return MetricsFile(Path(target))


class MetricsFile:
    """A text file that is replaced atomically, such as for the collector of node_exporter."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.where = str(path)

    def publish(self, text: str) -> None:
        """Replace the file.

        Raises:
            StorageError
        """
        try:
            atomic_write(self._path, text)
            self._path.chmod(0o644)  # the program that reads it is usually another user
        except OSError as error:
            raise StorageError.of(error, f"cannot write the metrics to {self._path}") from error

    def close(self) -> None:
        """Keep the file: its timestamps tell how old it is."""


class MetricsServer:
    """An HTTP server on a loopback address with the path ``/metrics``."""

    def __init__(self, host: str, port: int) -> None:
        _check_loopback(host)
        self._text = "# EOF\n"
        try:
            self._server = http.server.ThreadingHTTPServer((host, port), self._handler())
        except (OSError, OverflowError) as error:
            raise StorageError(
                f"cannot listen on {host}:{port}: {error}", hint="use another port: --metrics :9465"
            ) from error
        self._server.daemon_threads = True
        self.where = f"http://{host}:{self._server.server_port}{PATH}"
        threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()

    def publish(self, text: str) -> None:
        """Replace the text of the next response."""
        self._text = text

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            timeout = 10  # seconds for a client that sends nothing

            def do_GET(self) -> None:
                found = self.path.partition("?")[0] == PATH
                body = owner._text.encode() if found else f"see {PATH}\n".encode()
                self.send_response(200 if found else 404)
                self.send_header("Content-Type", CONTENT_TYPE if found else "text/plain")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Requests are not logged."""

        return Handler


def _check_loopback(host: str) -> None:
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise SpecError(
            f"metrics are published on a loopback address only; {host} is none",
            hint="use --metrics 127.0.0.1:9464, or --metrics FILE.prom",
        )
