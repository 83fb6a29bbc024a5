"""Shared parts of test servers: keeper, folder, free ports, waiting."""

from __future__ import annotations

import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_KEEPER = Path(__file__).with_name("keeper.py")
_PORTS = range(15_000, 30_000)  # below what the kernel gives to outgoing connections
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Server:
    """A server process in a separate folder; both are removed when this process ends.

    Attributes:
        folder: its data, its configuration and ``server.log``.
        pid: of the server process (of its process group too); 0 before it was started.
    """

    name = "server"
    sign = signal.SIGTERM
    patience = 15.0

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"qadapt-{self.name}-"))
        self.pid = 0
        self._keeper: subprocess.Popen[str] | None = None

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._keeper is not None and self._keeper.poll() is None

    def run(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start the process under a keeper."""
        arguments = [str(int(self.sign)), str(self.patience), str(self.folder), *command]
        self._keeper = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_KEEPER), *arguments],
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self._keeper.stdout is not None
        self.pid = int(self._keeper.stdout.readline())

    def wait_until(self, ready: Callable[[], bool], seconds: float) -> None:
        """Wait for a server that was started.

        Raises:
            RuntimeError: it ended, or is not ready in time; with its last output.
        """
        end = time.monotonic() + seconds
        while not ready():
            if not self.running:
                raise RuntimeError(f"{self.name} ended while starting: {self.last_words()}")
            if time.monotonic() > end:
                raise RuntimeError(
                    f"{self.name} is not ready after {seconds:g} s: {self.last_words()}"
                )
            time.sleep(0.2)

    def last_words(self) -> str:
        """The end of its log."""
        log = self.folder / "server.log"
        return log.read_text(errors="replace")[-2000:] if log.exists() else ""

    def end(self) -> None:
        """End the process by its signal; the folder stays."""
        self._tell("end\n")

    def kill(self) -> None:
        """``kill -9``; the folder stays."""
        self._tell("kill\n")

    def stop(self) -> None:
        """End the process and delete the folder."""
        self._tell("")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _tell(self, word: str) -> None:
        if self._keeper is None:
            return
        keeper, self._keeper = self._keeper, None
        try:
            keeper.communicate(word, timeout=self.patience + 30)
        finally:
            keeper.kill()  # the server goes with it
            keeper.wait()


def answer(url: str, headers: Mapping[str, str] | None = None) -> bytes | None:
    """Response of a GET request; None without a response, or after an error."""
    try:
        with _DIRECT.open(
            urllib.request.Request(url, headers=dict(headers or {})), timeout=5
        ) as got:
            return bytes(got.read())
    except (urllib.error.URLError, OSError):
        return None


def free_ports(count: int) -> list[int]:
    """Iterate over free ports."""
    for _ in range(1000):
        first = random.SystemRandom().randrange(_PORTS.start, _PORTS.stop - count)
        ports = list(range(first, first + count))
        if all(_free(port) for port in ports):
            return ports
    raise RuntimeError(f"no {count} free ports in {_PORTS}")


def _free(port: int) -> bool:
    with socket.socket() as tried:
        try:
            tried.bind(("", port))
        except OSError:
            return False
    return True
