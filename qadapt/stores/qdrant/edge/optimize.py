"""Rebuilds in a subprocess, with progress and a time limit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from qadapt.errors import StoreError, StoreTimeoutError
from qadapt.stores.base import OnProgress, Progress
from qadapt.stores.qdrant.edge import optimize_worker, schema, segment_files
from qadapt.stores.qdrant.edge.errors import translate
from qadapt.stores.qdrant.edge.status import codes_while_growing

# Seconds between two polls, each of which reports progress.
POLL_SECONDS = 0.1

STAGE = "rebuilding"


def rebuild(folder: Path, progress: OnProgress, timeout: float) -> None:
    """Let the engine rebuild segments that differ from the shard's configuration.

    Args:
        folder: the shard, closed in this process.
        progress: called about ten times per second, even without changes.
        timeout: in seconds.

    Raises:
        StoreTimeoutError: not finished in time; the unfinished work is discarded.
        BusyError: another process has the shard open.
        StoreError: the engine's message, or how its process ended.
    """
    deadline = time.monotonic() + timeout
    with _worker(folder) as (child, output, errors):
        while True:
            progress(_snapshot(folder))
            try:
                child.wait(POLL_SECONDS)
                break
            except subprocess.TimeoutExpired:
                pass
            if time.monotonic() > deadline:
                raise StoreTimeoutError(
                    f"the rebuild of {folder.name!r} did not finish within {timeout:g} seconds "
                    "and was stopped; no rows were lost",
                    hint="try again with a longer --timeout; the rebuild starts over",
                )
        outcome = _outcome(output)
        if outcome is None:
            raise StoreError(
                f"the rebuild of {folder.name!r} ended unexpectedly (exit code "
                f"{child.returncode}): "
                f"{_tail(errors) or 'the system may be out of memory or disk space'}",
                hint="run `qadapt apply` again to finish it; no rows were lost",
            )
    if not outcome["ok"]:
        error = translate(outcome["error"], f"rebuild {folder.name!r}")
        if "not enough space" in error.message.lower():
            error.hint = f"free space on the disk of {folder}, then run the command again"
        raise error
    progress(_snapshot(folder))


@contextmanager
def _worker(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes], IO[bytes]]]:
    """The subprocess, which ends with this block."""
    # Files instead of pipes: the engine may write more than a pipe holds.
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(
            [
                sys.executable,
                optimize_worker.__file__,
                "optimize",
                str(folder.absolute()),
                str(os.getpid()),
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            # Ctrl-C in a terminal reaches the whole process group; here the parent decides.
            start_new_session=True,
            env=_environment(),
        )
        try:
            yield child, output, errors
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()


def _environment() -> Mapping[str, str]:
    """This process's environment with the same import path, without the folder of the worker's
    file."""
    places = [place or os.getcwd() for place in sys.path]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(places), "PYTHONSAFEPATH": "1"}


def _snapshot(folder: Path) -> Progress:
    """The number of segments' vectors that match the configuration."""
    wanted = schema.read(folder)
    done = total = 0
    for name, segments in segment_files.read(folder).items():
        if name not in wanted["vectors"]:
            continue
        target = schema.quantization_config(wanted, name)
        growing = not target or codes_while_growing(target)
        for segment in segments:
            if segment.indexed or (growing and not segment.empty):
                total += 1
                done += segment.matches(target)
    return Progress(STAGE, done, total, "segments")


def _outcome(output: IO[bytes]) -> dict[str, Any] | None:
    output.seek(0)
    lines = output.read().splitlines()
    try:
        found = json.loads(lines[-1]) if lines else None
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _tail(errors: IO[bytes]) -> str:
    errors.seek(0)
    lines = errors.read().decode("utf-8", "replace").strip().splitlines()
    return " / ".join(lines[-3:])
