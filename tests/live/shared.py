"""One ladder for all workers of pytest-xdist: the controller owns it, workers ask over loopback.

So an engine is started once per run, and ends with the controller, not with the first worker that
requested it.
"""

from __future__ import annotations

import json
import socket
import socketserver
import threading
from dataclasses import asdict

from live import Unavailable
from live.ladder import Found, Ladder


class Desk(socketserver.ThreadingTCPServer):
    """Answers the workers; one line with the engine's name in, one document of JSON out."""

    daemon_threads = True

    def __init__(self, ladder: Ladder) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.ladder = ladder
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])

    def close(self) -> None:
        """Answer no more."""
        self.shutdown()
        self.server_close()


class _Answer(socketserver.StreamRequestHandler):
    server: Desk

    def handle(self) -> None:
        engine = self.rfile.readline().decode().strip()
        try:
            told = asdict(self.server.ladder.find(engine))
        except Unavailable as reason:
            told = {"unavailable": str(reason)}
        except Exception as error:  # noqa: BLE001 - sent to the worker
            told = {"failed": f"{type(error).__name__}: {error}"}
        self.wfile.write(json.dumps(told).encode())


class RemoteLadder:
    """The controller's ladder, as a worker sees it."""

    def __init__(self, port: int) -> None:
        self._port = port

    def find(self, engine: str) -> Found:
        """See ``Ladder.find``.

        Raises:
            Unavailable, RuntimeError
        """
        with socket.create_connection(("127.0.0.1", self._port)) as desk:
            desk.sendall(f"{engine}\n".encode())
            with desk.makefile("rb") as lines:
                told = json.load(lines)
        if "unavailable" in told:
            raise Unavailable(told["unavailable"])
        if "failed" in told:
            raise RuntimeError(told["failed"])
        return Found(**told)

    def stop(self) -> None:
        """The controller does that."""
