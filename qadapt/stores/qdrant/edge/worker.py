"""A process that lets the engine rebuild one shard: ``python worker.py optimize DIR PARENT``.

It is started as a file, not as a module of qadapt: with nothing to import but the standard library
and the engine it is at work in a tenth of a second.

``optimize()`` holds the interpreter's lock from its start to its end, so in the user's own process
nothing else would run meanwhile, not even Ctrl-C. Here it can be killed at any moment: the engine
builds a new segment beside the old one and swaps them, and the next run starts again.

Prints one line of JSON: ``{"ok": true, "optimized": true}``, or ``{"ok": false, "error": "..."}``
with the engine's words.
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

# Where the engine builds a segment before it is swapped in.
TEMPORARY = "temp_segments"

_PR_SET_PDEATHSIG = 1


def die_with(parent: int) -> None:
    """Ask the kernel to kill this process when its parent ends, however it ends.

    Linux alone can; elsewhere an orphan finishes its rebuild, and keeps the folder until then.
    """
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        # It ended before it could be asked for.
        os.kill(os.getpid(), signal.SIGKILL)


def optimize(folder: Path) -> dict[str, Any]:
    """Open the shard, rebuild what is not as configured, and close it."""
    import qdrant_edge

    try:
        shard = qdrant_edge.EdgeShard.load(str(folder))
        # What a killed rebuild left behind; the engine never takes it away. The lock that comes
        # with loading says that nobody is at work in there.
        for left in (folder / TEMPORARY).glob("*"):
            shutil.rmtree(left, ignore_errors=True)
        optimized = shard.optimize()
        shard.flush()
        shard.close()
    # The engine raises bare exceptions, and panics with a BaseException: all is told to the
    # parent, which makes errors of qadapt of it.
    except BaseException as error:  # noqa: BLE001 - this process ends with these words
        return {"ok": False, "error": str(error)}
    return {"ok": True, "optimized": bool(optimized)}


def main(arguments: list[str]) -> int:
    """``optimize DIR PARENT``: the folder, and the process id of who waits for it."""
    _, folder, parent = arguments
    die_with(int(parent))
    outcome = optimize(Path(folder))
    sys.stdout.write(json.dumps(outcome) + "\n")
    return 0 if outcome["ok"] else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
