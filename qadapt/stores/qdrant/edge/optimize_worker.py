"""A subprocess in which the engine rebuilds one shard: ``python worker.py optimize DIR PARENT``.

It is started as a file, not as a module of qadapt: it imports only the standard library and the
engine, and starts in a tenth of a second.

``optimize()`` holds the GIL until it ends, so in the user's process it would block all other
threads and Ctrl-C. A subprocess can be killed at any time: the engine builds a new segment in
addition to the old one and swaps them, and the next run starts over.

Prints one line of JSON: ``{"ok": true, "optimized": true}``, or ``{"ok": false, "error": "..."}``
with the engine's message.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

# The folder in which the engine builds a segment before the swap.
TEMPORARY = "temp_segments"

_PR_SET_PDEATHSIG = 1


def die_with(parent: int) -> None:
    """Ask the kernel to kill this process when its parent ends for any reason.

    Supported only on Linux; elsewhere an orphan finishes its rebuild and holds the folder until
    then.
    """
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        # The parent ended before the call.
        os.kill(os.getpid(), signal.SIGKILL)


def optimize(folder: Path) -> dict[str, Any]:
    """Open the shard, rebuild segments that differ from the configuration, and close it."""
    import qdrant_edge

    try:
        shard = qdrant_edge.EdgeShard.load(str(folder))
        # Files of a killed rebuild, which the engine never removes. The lock of the loaded shard
        # guarantees that no other process is using them.
        for left in (folder / TEMPORARY).glob("*"):
            shutil.rmtree(left, ignore_errors=True)
        optimized = shard.optimize()
        shard.flush()
        shard.close()
    # The engine raises bare exceptions, and panics with a BaseException: all are reported to the
    # parent, which translates them to errors of qadapt.
    except BaseException as error:  # noqa: BLE001 - this process ends with these words
        return {"ok": False, "error": str(error)}
    return {"ok": True, "optimized": bool(optimized)}


def main(arguments: list[str]) -> int:
    """``optimize DIR PARENT``: the folder, and the process id of the parent."""
    _, folder, parent = arguments
    die_with(int(parent))
    outcome = optimize(Path(folder))
    sys.stdout.write(json.dumps(outcome) + "\n")
    return 0 if outcome["ok"] else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
