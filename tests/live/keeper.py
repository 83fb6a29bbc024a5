"""Separate process that runs one test server, and stops it when the tests end.

    python keeper.py SIGNAL PATIENCE FOLDER COMMAND...

Its standard input is a pipe whose other end the tests hold. When they end (also by kill -9 of
pytest), the kernel closes that end; the server's process group then gets SIGNAL, after PATIENCE
seconds SIGKILL, and FOLDER is deleted. The lines ``end`` and ``kill`` end the server in the same
ways and leave the folder. The server's process id is the one line of standard output, and its own
output is in FOLDER/server.log.

Only the standard library is used: it is run without site-packages.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
import time

_PR_SET_PDEATHSIG = 1


def main(sign: int, patience: float, folder: str, command: list[str]) -> None:
    """Run the server until it ends, or until the tests stop it or end."""
    with open(os.path.join(folder, "server.log"), "ab") as log:  # noqa: PTH123 - quick
        server = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
        )
    print(server.pid, flush=True)
    word: str | None = None
    while word is None and server.poll() is None:
        if select.select([sys.stdin], [], [], 0.1)[0]:
            word = sys.stdin.readline().strip()
    if word != "kill":
        _signal_group(server.pid, sign)
        _wait(server, patience)
    _signal_group(server.pid, signal.SIGKILL)
    server.wait()
    if word == "":
        shutil.rmtree(folder, ignore_errors=True)


def _die_with_parent() -> None:
    """The keeper itself may be killed: then the kernel kills the server."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _signal_group(group: int, sign: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, sign)


def _wait(server: subprocess.Popen[bytes], seconds: float) -> None:
    end = time.monotonic() + seconds
    while server.poll() is None and time.monotonic() < end:
        time.sleep(0.05)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3], sys.argv[4:])
