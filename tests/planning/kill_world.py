"""A collection and a state folder for processes that are killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from slow import moments

ROWS, DIM = 600, 64


# Reads one job per line and runs each in a process forked before anything was opened; returns the
# exit code and the output of the job. "stop" is the event at which a job kills itself. The number
# of polls during a rebuild depends on the machine: two events of each are counted.
SERVER = r"""
import hashlib, json, os, signal, sys, time
import numpy as np
import qadapt as qa
import qadapt.cli, qadapt.evaluation.verify, qadapt.code_index, qadapt.planning.apply
import qadapt.stores.qdrant.edge.store, qdrant_edge

def main(job, out):
    stages = []

    def sign(what):
        if what.startswith("waiting") or (what == "rebuilding" and stages[-2:] == [what, what]):
            return
        stages.append(what)
        if len(stages) == job.get("stop"):
            os.kill(os.getpid(), signal.SIGKILL)
        if len(stages) == job.get("pause"):
            os.write(out, b"paused\n")
            while True:  # not signal.pause(): a signal just before it would be waited for again
                time.sleep(0.01)

    def writing():
        frame = sys._getframe()
        while frame is not None and frame.f_code.co_name not in ("add", "begin"):
            frame = frame.f_back
        return frame is not None

    def audit(event, values):
        if event not in ("open", "os.rename", "os.remove", "sqlite3.connect"):
            return
        if not isinstance(values[0], (str, os.PathLike)):
            return
        name = os.fspath(values[0])
        if event == "open" and not (values[2] or 0) & (os.O_WRONLY | os.O_RDWR):
            return
        if event == "sqlite3.connect" and not writing():
            return
        for part in ("journal.sqlite", ".making-", "edge_config.json", "settings", "indexes"):
            if part in name:
                sign(f"{event} {part}")
                return

    if job.get("audit"):
        sys.addaudithook(audit)

    def fingerprint(collection):
        held = {}
        for batch in collection.read():
            for at, key in enumerate(batch.ids):
                held[str(key)] = [batch.vectors[""][at].tobytes().hex(), batch.payloads[at]]
        text = json.dumps(held, sort_keys=True)
        return [hashlib.sha256(text.encode()).hexdigest(), len(held)]

    told = {}
    progress = lambda event: sign(event.stage)
    disabled = job.get("disabled", [])
    if job["verb"] == "apply":
        with qa.open(job["address"], disabled=disabled) as db:
            guard = None
            if "queries" in job:
                guard = qa.Guard(job.get("recall", 0.3), queries=np.load(job["queries"]))
            plan = db["articles"].plan(job["quantization"], accept=job.get("accept", "differs"))
            change = plan.apply(yes=True, progress=progress, guard=guard)
            told.update(state=change.state, id=change.id, after=change.recall_after)
    elif job["verb"] == "undo":
        change = qa.undo(job.get("change"), progress=progress)
        told.update(state=change.state, id=change.id)
    told["stages"] = list(stages)
    with qa.open(job["address"], disabled=disabled) as db:
        collection = db["articles"]
        told["history"] = [[each.id, each.state] for each in qa.history()]
        told["rows"] = fingerprint(collection)
        info = collection.info()
        vector = info.vectors[""]
        told["status"] = str(vector.status.state)
        told["quantization"] = str(vector.quantization)
        told["config"] = info.fingerprint
        if vector.status.state != "ignored":
            hits = collection.search(np.load(job["probes"]), k=10)
            told["hits"] = hits.ids.tolist()
            told["how"] = [hits.how.searcher, hits.how.rescorer, hits.how.scores]
    os.write(out, json.dumps(told).encode() + b"\n")

for line in sys.stdin:
    job = json.loads(line)
    read, write = os.pipe()
    child = os.fork()
    if not child:
        code = 0
        try:
            os.close(read)
            os.setsid()
            main(job, write)
        except BaseException as error:
            os.write(write, f"{type(error).__name__}: {error}".encode())
            code = getattr(error, "exit_code", 1)
        os._exit(code)
    os.close(write)
    if "pause" in job:
        print(json.dumps([child, os.read(read, 100).decode()]), flush=True)
        sys.stdin.readline()
    if "kill_after" in job:
        time.sleep(job["kill_after"])
        os.kill(child, signal.SIGKILL)
    with os.fdopen(read) as pipe:
        text = pipe.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(json.dumps([code, text]), flush=True)
"""


def copy_with_holes(source: str, target: str) -> None:
    """A copy of what is in a file: the engine's files are 130 MB of holes and 1 MB of data."""
    with Path(source).open("rb") as old, Path(target).open("wb") as new:
        size, at = os.fstat(old.fileno()).st_size, 0
        while at < size:
            try:
                start = os.lseek(old.fileno(), at, os.SEEK_DATA)
            except OSError:  # nothing but a hole up to the end
                break
            at = os.lseek(old.fileno(), start, os.SEEK_HOLE)
            os.pwrite(new.fileno(), os.pread(old.fileno(), at - start, start), start)
        new.truncate(size)


@dataclass
class World:
    """A collection on disk and a state folder, copied at the start of each point.

    Attributes:
        folder: where everything is.
        server: forks a process for each job.
        truth: the exact ids of the probes.
        fresh: state of the collection before any change.
    """

    folder: Path
    server: subprocess.Popen[str]
    truth: np.ndarray
    fresh: dict[str, Any]

    def send(self, **job: Any) -> None:
        assert self.server.stdin is not None
        probes = str(self.folder / "queries.npy")
        whole = {"address": f"edge:{self.folder / 'edge'}", "probes": probes, **job}
        self.server.stdin.write(json.dumps(whole) + "\n")
        self.server.stdin.flush()

    def send_line(self) -> None:
        """Resume the server after its job was stopped."""
        assert self.server.stdin is not None
        self.server.stdin.write("\n")
        self.server.stdin.flush()

    def answer(self) -> tuple[int, str]:
        assert self.server.stdout is not None
        code, text = json.loads(self.server.stdout.readline())
        return code, text

    def run(self, **job: Any) -> dict[str, Any]:
        """Output of a new process, which must succeed."""
        self.send(**job)
        code, text = self.answer()
        assert code == 0, text
        told: dict[str, Any] = json.loads(text)
        return told

    def killed(self, **job: Any) -> None:
        """A new process that kills itself."""
        self.send(**job)
        code, text = self.answer()
        assert code == -signal.SIGKILL, text

    def restore(self, name: str) -> None:
        """Restore a saved state by name."""
        for part in ("edge", "state"):
            shutil.rmtree(self.folder / part, ignore_errors=True)
            kept = self.folder / f"{part}.{name}"
            shutil.copytree(kept, self.folder / part, copy_function=copy_with_holes)

    def keep(self, name: str) -> None:
        for part in ("edge", "state"):
            place = self.folder / f"{part}.{name}"
            shutil.copytree(self.folder / part, place, copy_function=copy_with_holes)

    def forget(self) -> None:
        """Begin with an empty history."""
        shutil.rmtree(self.folder / "state")
        (self.folder / "state").mkdir()

    def recall(self, told: dict[str, Any]) -> float:
        found = zip(told["hits"], self.truth.tolist(), strict=True)
        return float(np.mean([len(set(row) & set(right)) / 10 for row, right in found]))

    def is_original(self, told: dict[str, Any]) -> None:
        """As before any change: rows bit by bit, configuration, exact answers."""
        assert told["rows"] == self.fresh["rows"]
        assert told["config"] == self.fresh["config"]
        assert (told["status"], told["quantization"]) == ("absent", "none")
        assert told["how"] == ["store", "none", "exact"]
        assert self.recall(told) == 1


def states(told: dict[str, Any]) -> list[str]:
    return [state for _, state in told["history"]]


def places(spec: dict[str, Any]) -> dict[str, Any]:
    return {"disabled": spec.get("disabled", [])}


def at_each(stages: list[str], point: Callable[[int], None]) -> None:
    """Call ``point`` for events, and report the event of a failure."""
    for stop in moments(stages, 2):
        stage = stages[stop - 1]
        try:
            point(stop)
        except AssertionError as error:
            words = f"killed at sign of life {stop} of {len(stages)}: {stage}"
            raise AssertionError(f"{words}\n{error}") from error
