"""A real Chroma server for the tests: ``chroma run`` of the package chromadb.

QADAPT_TEST_CHROMA_URL=chroma+http://...   a server that runs already
"""

from __future__ import annotations

import importlib.metadata
import os
import sys
from pathlib import Path

from live import Unavailable
from live.server import Server, answer, free_ports

_START = 90.0


class ChromaServer(Server):
    """A running server on 127.0.0.1, with ``kill()`` and ``start()``.

    Attributes:
        version: of the package; the server reports another one.

    Raises:
        Unavailable: without the package.
    """

    name = "chroma"

    def __init__(self) -> None:
        # Not by importing it, which would take a second.
        try:
            self.version = importlib.metadata.version("chromadb")
        except importlib.metadata.PackageNotFoundError:
            raise Unavailable("the package chromadb is not installed") from None
        super().__init__()
        self.port = 0

    @property
    def url(self) -> str:
        """Its address for qadapt."""
        return f"chroma+http://127.0.0.1:{self.port}"

    def start(self) -> ChromaServer:
        """Start it, again on the same folder and port, and wait until it answers."""
        self.port = self.port or free_ports(1)[0]
        program = Path(sys.executable).with_name("chroma")
        words = ["run", "--path", str(self.folder / "data"), "--host", "127.0.0.1"]
        environment = {**os.environ, "ANONYMIZED_TELEMETRY": "False"}
        try:
            self.run([str(program), *words, "--port", str(self.port)], environment)
            beat = f"http://127.0.0.1:{self.port}/api/v2/heartbeat"
            self.wait_until(lambda: answer(beat) is not None, _START)
        except BaseException:
            self.stop()
            raise
        return self
