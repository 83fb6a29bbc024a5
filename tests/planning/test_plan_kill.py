"""kill -9 at every moment of a change: nothing is lost, and either way on leads to its end.

Each point is a real process that applies (or undoes) a change and kills itself with SIGKILL at its
N-th sign of life. Signs of life are the progress events and, through an audit hook of Python, the
moments around each write to the journal, the settings and the engine's configuration, so that the
time between a deed and its entry in the journal is met as well. Nothing in qadapt knows of it.

What comes after a kill is looked at in processes that are new too.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qadapt as qa
from qadapt.testing import clustered

ROWS, DIM = 600, 64

# Reads one job a line and runs each in a process of its own, forked before anything was opened;
# answers with the exit code and what the job told. "stop" is the sign of life at which a job kills
# itself. How often a rebuild is looked at depends on the machine: two signs of each are counted.
SERVER = r"""
import hashlib, json, os, signal, sys
import numpy as np
import qadapt as qa
import qadapt.cli, qadapt.evaluation.verify, qadapt.index, qadapt.planning.runner
import qadapt.stores.edge.store, qdrant_edge

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
            signal.pause()

    def audit(event, values):
        if event not in ("open", "os.rename", "os.remove"):
            return
        if not isinstance(values[0], (str, os.PathLike)):
            return
        name = os.fspath(values[0])
        if event == "open" and not (values[2] or 0) & (os.O_WRONLY | os.O_RDWR):
            return
        for part in ("journal.jsonl", "plan.json", "edge_config.json", "settings", "indexes"):
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
    """A collection on disk and a state folder, which each point begins with a copy of.

    Attributes:
        folder: where everything is.
        server: what forks a process for each job.
        truth: the exact ids of the probes.
        fresh: what a look at the collection tells before any change.
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
        """Let the server go on, whose job has stood still."""
        assert self.server.stdin is not None
        self.server.stdin.write("\n")
        self.server.stdin.flush()

    def answer(self) -> tuple[int, str]:
        assert self.server.stdout is not None
        code, text = json.loads(self.server.stdout.readline())
        return code, text

    def run(self, **job: Any) -> dict[str, Any]:
        """What a new process tells; it must end well."""
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
        """Everything as it was when it was kept under a name."""
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


@pytest.fixture
def world(live: Callable[[str], str], tmp_path: Path) -> Iterator[World]:
    live("edge")
    sample = clustered(ROWS, DIM, queries=40)
    folder = tmp_path / "world"
    (folder / "state").mkdir(parents=True)
    np.save(folder / "queries.npy", sample.queries)
    with qa.open(f"edge:{folder / 'edge'}") as database:
        collection = database.create("articles", dim=DIM)
        payloads = [{"row": row} for row in range(ROWS)]
        collection.write(qa.Batch(range(ROWS), {"": sample.rows}, payloads))
    with subprocess.Popen(
        [sys.executable, "-c", SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "QADAPT_STATE_DIR": str(folder / "state")},
    ) as server:
        made = World(folder, server, sample.truth, {})
        made.fresh = made.run(verb="look")
        made.is_original(made.fresh)
        yield made
        assert server.stdin is not None
        server.stdin.close()
    # Nobody is left at work: a rebuild does not outlive the process that asked for it.
    with qa.open(f"edge:{folder / 'edge'}") as database:
        assert database["articles"].count() == ROWS


NATIVE: dict[str, Any] = {"quantization": "scalar:rescore=4"}
OURS: dict[str, Any] = {
    "quantization": "binary:rescore=4",
    "accept": "client",
    "disabled": ["native-quantization"],
}
SPECS = pytest.mark.parametrize("spec", [NATIVE, OURS], ids=["native", "ours"])


def states(told: dict[str, Any]) -> list[str]:
    return [state for _, state in told["history"]]


def places(spec: dict[str, Any]) -> dict[str, Any]:
    return {"disabled": spec.get("disabled", [])}


def at_each(stages: list[str], point: Callable[[int], None]) -> None:
    """Call ``point`` for each sign of life, and say at which it failed."""
    for stop, stage in enumerate(stages, start=1):
        try:
            point(stop)
        except AssertionError as error:
            words = f"killed at sign of life {stop} of {len(stages)}: {stage}"
            raise AssertionError(f"{words}\n{error}") from error


@pytest.mark.timeout(300)
@SPECS
def test_kill_at_every_sign_of_life_of_an_apply(world: World, spec: dict[str, Any]) -> None:
    """Every second change is finished by the same plan, the others are taken back."""
    apply = {"verb": "apply", "queries": str(world.folder / "queries.npy"), **spec}
    stages = world.run(audit=True, **apply)["stages"]
    assert len(stages) >= 15, stages

    told = world.run(verb="undo", **places(spec))
    world.is_original(told)

    def point(stop: int) -> None:
        world.forget()  # the rows stay where all the kills before have left them
        world.killed(audit=True, stop=stop, **apply)
        if stop % 2 == 0:
            told = world.run(**apply)
            assert told["state"] == "applied"
            assert states(told) == ["applied"]
            assert told["status"] == "active"
            assert told["rows"] == world.fresh["rows"]
            assert told["how"][1] != "none"
            assert world.recall(told) > 0.3
        else:
            told = world.run(verb="look", **places(spec))
            assert told["rows"] == world.fresh["rows"]
            if stop <= stages.index("open journal.jsonl") + 1:
                assert states(told) == [], "nothing was begun"
                world.is_original(told)
                return
            assert states(told) == ["interrupted"]
        told = world.run(verb="undo", **places(spec))
        assert states(told) == ["undone"]
        world.is_original(told)

    at_each(stages, point)
    print(f"{len(stages)} kill points of an apply")


@pytest.mark.timeout(300)
@SPECS
def test_kill_at_every_sign_of_life_of_an_undo(world: World, spec: dict[str, Any]) -> None:
    """Every second undo is finished; the others give way to the same plan, applied anew."""
    apply = {"verb": "apply", **spec}
    world.run(**apply)
    world.keep("applied")
    stages = world.run(verb="undo", audit=True, **places(spec))["stages"]
    assert len(stages) >= 8, stages

    def point(stop: int) -> None:
        world.restore("applied")
        world.killed(verb="undo", audit=True, stop=stop, **places(spec))
        if stop % 2:
            told = world.run(verb="look", **places(spec))
            assert told["rows"] == world.fresh["rows"]
            assert states(told) == ["applied" if stop == 1 else "interrupted"]
        else:
            told = world.run(**apply)
            assert told["state"] == "applied"
            assert states(told)[0] == "applied"
            assert set(states(told)[1:]) <= {"undone"}
            assert told["status"] == "active"
            assert told["rows"] == world.fresh["rows"]
        told = world.run(verb="undo", **places(spec))
        assert set(states(told)) == {"undone"}
        world.is_original(told)

    at_each(stages, point)
    print(f"{len(stages)} kill points of an undo")


def test_another_plan_after_a_kill_takes_the_first_back(world: World) -> None:
    """Whether it was made before the kill or, as here, from what the kill has left."""
    stages = world.run(verb="apply", audit=True, **NATIVE)["stages"]
    world.is_original(world.run(verb="undo"))

    for stop in range(2, len(stages) + 1, 5):
        world.forget()
        world.killed(verb="apply", audit=True, stop=stop, **NATIVE)
        told = world.run(verb="apply", quantization="binary:rescore=6")
        assert told["state"] == "applied"
        assert states(told)[0] == "applied"
        assert set(states(told)[1:]) <= {"undone"}
        assert told["quantization"].startswith("binary")
        assert (told["status"], told["rows"]) == ("active", world.fresh["rows"])
        told = world.run(verb="undo")
        assert set(states(told)) == {"undone"}
        world.is_original(told)


def test_a_guard_survives_a_kill(world: World) -> None:
    """Its queries lie beside the journal: who finishes the change need not have them."""
    guard = {"queries": str(world.folder / "queries.npy"), "recall": 0.999}
    coarse = {"quantization": "binary:rescore=off"}
    stages = world.run(verb="apply", audit=True, **coarse)["stages"]
    world.is_original(world.run(verb="undo"))
    world.forget()
    stop = len(stages)  # behind the last step, before the recall that comes after it
    world.killed(verb="apply", audit=True, stop=stop, **coarse, **guard)
    world.send(verb="apply", **coarse)  # no guard is named here
    code, text = world.answer()
    assert code == 3, text
    assert text.startswith("GuardMissed")
    told = world.run(verb="look")
    assert states(told) == ["undone"]
    world.is_original(told)


def test_a_guard_that_comes_later_is_not_left_out(world: World) -> None:
    """A change killed without a guard is not finished as if the guard had not been asked for."""
    coarse = {"quantization": "binary:rescore=off"}
    stages = world.run(verb="apply", audit=True, **coarse)["stages"]
    world.is_original(world.run(verb="undo"))
    world.forget()
    world.killed(verb="apply", audit=True, stop=len(stages) - 1, **coarse)
    queries = str(world.folder / "queries.npy")
    world.send(verb="apply", **coarse, queries=queries, recall=0.999)
    code, text = world.answer()
    assert code == 3, text
    told = world.run(verb="look")
    assert set(states(told)) == {"undone"}
    world.is_original(told)


@pytest.mark.parametrize("spec", [NATIVE, OURS], ids=["native", "ours"])
def test_ctrl_c_is_as_safe_as_a_kill(world: World, spec: dict[str, Any]) -> None:
    """A real SIGINT while it waits at a sign of life, at the first of each kind."""
    stages = world.run(verb="apply", audit=True, **spec)["stages"]
    world.is_original(world.run(verb="undo", **places(spec)))
    for stop in sorted({stages.index(stage) + 1 for stage in stages}):
        world.forget()
        world.send(verb="apply", audit=True, pause=stop, **spec)
        child, word = world.answer()
        assert word == "paused\n"
        os.kill(child, signal.SIGINT)
        world.send_line()
        code, text = world.answer()
        assert (code, text.split(":")[0]) == (1, "KeyboardInterrupt"), stages[stop - 1]
        told = world.run(verb="apply", **spec)
        assert (told["state"], told["status"]) == ("applied", "active")
        assert told["rows"] == world.fresh["rows"]
        told = world.run(verb="undo", **places(spec))
        assert set(states(told)) == {"undone"}
        world.is_original(told)


def test_a_second_change_at_the_same_time_is_refused(world: World) -> None:
    """One process stands still in the midst of its change; the other one is told so."""
    stages = world.run(verb="apply", audit=True, **OURS)["stages"]
    world.is_original(world.run(verb="undo", **places(OURS)))
    world.forget()
    world.send(verb="apply", audit=True, pause=stages.index("open settings") + 1, **OURS)
    child, _ = world.answer()
    with qa.open(f"edge:{world.folder / 'edge'}", disabled=OURS["disabled"]) as database:
        with pytest.raises(qa.QadaptError) as caught:
            database["articles"].plan("binary", accept="client").apply(yes=True)
        assert isinstance(caught.value, qa.errors.BusyError), caught.value
    os.kill(child, signal.SIGKILL)
    world.send_line()
    assert world.answer()[0] == -signal.SIGKILL
    told = world.run(verb="undo", **places(OURS))
    assert states(told) == ["undone"]
    world.is_original(told)
