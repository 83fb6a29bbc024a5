"""Servers of the tests end with the tests, even if these are killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from live.server import Server, answer, free_ports

# A server of a few lines. With "stubborn" it only notes SIGTERM.
_CODE = """
import http.server, pathlib, signal, sys
if "stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, lambda *_: pathlib.Path("asked").touch())
http.server.test(http.server.SimpleHTTPRequestHandler, port=int(sys.argv[1]), bind="127.0.0.1")
"""


class Small(Server):
    """A server that is up at once."""

    name = "small"
    patience = 0.5

    def start(self, *words: str) -> Small:
        """Start it on a free port."""
        (self.port,) = free_ports(1)
        command = [sys.executable, "-c", _CODE, str(self.port), *words]
        self.run(command, os.environ)
        self.wait_until(lambda: answer(f"http://127.0.0.1:{self.port}/") is not None, 60)
        return self


@pytest.fixture
def small() -> Iterator[Small]:
    """Not started yet."""
    server = Small()
    yield server
    server.stop()


def there(pid: int) -> bool:
    """Whether the process exists; zombies do not count."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def listens(port: int) -> bool:
    """Whether a process listens on the port."""
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


def within(seconds: float, true: Callable[[], bool]) -> bool:
    """Whether it becomes true in this time."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def test_stop_leaves_nothing(small: Small) -> None:
    small.start()
    small.stop()
    assert not there(small.pid)
    assert not listens(small.port)
    assert not small.folder.exists()


def test_end_and_kill_leave_the_folder(small: Small) -> None:
    small.start()
    (small.folder / "data").write_text("kept")
    small.end()
    assert not there(small.pid)
    first = small.pid
    small.start()
    assert small.pid != first
    small.kill()
    assert not small.running
    assert not there(small.pid)
    assert (small.folder / "data").read_text() == "kept"


def test_a_server_that_ignores_sigterm_is_killed(small: Small) -> None:
    small.start("stubborn")
    small.end()
    assert (small.folder / "asked").exists(), "SIGTERM comes first"
    assert not there(small.pid)


def test_a_server_that_exits_is_reported_with_its_last_output(small: Small) -> None:
    small.run([sys.executable, "-c", "raise SystemExit('no disk')"], os.environ)
    with pytest.raises(RuntimeError, match="no disk"):
        small.wait_until(lambda: False, 60)


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: a signal when the parent dies")
def test_a_server_ends_with_its_keeper(small: Small) -> None:
    small.start()
    assert small._keeper is not None
    small._keeper.kill()
    assert within(10, lambda: not there(small.pid))


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_server_ends_with_the_process_that_started_it(sign: int) -> None:
    code = (
        "import time\n"
        "from live.test_live_keeper import Small\n"
        "server = Small().start()\n"
        "print(server.pid, server.port, server.folder, flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        pid, port, folder = process.stdout.readline().split()
        assert there(int(pid))
        assert listens(int(port))
        process.send_signal(sign)
    assert within(10, lambda: not there(int(pid)))
    assert within(10, lambda: not listens(int(port)))
    assert within(10, lambda: not Path(folder).exists())
