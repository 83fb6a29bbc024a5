"""kill -9 at any moment of a change: nothing is lost, and it can be completed or rolled back.

Each point is a real process that applies (or undoes) a change and kills itself with SIGKILL at its
N-th event. Events are progress events and, with an audit hook of Python, the moments around each
write to the journal, the settings and the engine's configuration, including the time between an
action and its journal entry. qadapt contains no test code for this.

By default a change is killed at two events of different kinds, with QADAPT_SLOW=1 at every event.

New processes check the state after a kill.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kill_world import DIM, ROWS, SERVER, World, at_each, places, states
from slow import SLOW, moments, some

import qadapt as qa
from qadapt.testing import clustered


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
    # No process remains: a rebuild does not outlive its parent process.
    with qa.open(f"edge:{folder / 'edge'}") as database:
        assert database["articles"].count() == ROWS


NATIVE: dict[str, Any] = {"quantization": "scalar:rescore=4"}
OURS: dict[str, Any] = {
    "quantization": "binary:rescore=4",
    "accept": "client",
    "disabled": ["native-quantization"],
}
# Native codes take one step fewer than those of qadapt.
SPECS = pytest.mark.parametrize(
    "spec", [pytest.param(NATIVE, marks=pytest.mark.long), OURS], ids=["native", "ours"]
)


@pytest.mark.slow
@pytest.mark.timeout(300)
@SPECS
def test_kill_at_events_of_an_apply(world: World, spec: dict[str, Any]) -> None:
    """Every second change is completed by the same plan, the others are rolled back."""
    apply = {"verb": "apply", "queries": str(world.folder / "queries.npy"), **spec}
    stages = world.run(audit=True, **apply)["stages"]
    assert len(stages) >= 15, stages

    told = world.run(verb="undo", **places(spec))
    world.is_original(told)

    def point(stop: int) -> None:
        world.forget()  # rows remain as after all earlier kills
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
            if stop <= stages.index("os.rename .making-") + 1:
                assert states(told) == [], "nothing was begun"
                world.is_original(told)
                return
            assert states(told) == ["interrupted"]
        told = world.run(verb="undo", **places(spec))
        assert states(told) == ["undone"]
        world.is_original(told)

    at_each(stages, point)
    print(f"{len(stages)} kill points of an apply")


@pytest.mark.slow
@pytest.mark.timeout(300)
@SPECS
def test_kill_at_events_of_an_undo(world: World, spec: dict[str, Any]) -> None:
    """Every second undo is completed; otherwise the same plan is applied again."""
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


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_kill_at_random_moments_of_an_apply(world: World) -> None:
    """The history is readable after each kill, and the next apply is applied."""
    started = time.monotonic()
    world.run(verb="apply", quantization="scalar")
    duration = time.monotonic() - started
    rng = random.Random(5)
    interrupted = number = 0
    while number < (30 if SLOW else 2) or (not interrupted and number < 30):
        quantization = ("binary:rescore=4", "scalar:rescore=4")[number % 2]
        world.send(verb="apply", quantization=quantization, kill_after=rng.uniform(0, duration))
        code, text = world.answer()
        assert code in (-signal.SIGKILL, 0), text
        told = world.run(verb="look")
        assert told["rows"] == world.fresh["rows"]
        assert set(states(told)[1:]) <= {"applied", "undone"}, "only the newest one is unfinished"
        interrupted += states(told)[0] == "interrupted"
        if number % 3 == 0:
            told = world.run(verb="apply", quantization="scalar:rescore=6")
            assert told["quantization"].startswith("scalar")
            assert told["status"] == "active"
            assert told["rows"] == world.fresh["rows"]
        number += 1
    assert interrupted, f"none of {number} kills hit a change"


@pytest.mark.long
@pytest.mark.slow
def test_another_plan_after_a_kill_takes_the_first_back(world: World) -> None:
    """Whether it was made before the kill or, as here, from what the kill has left."""
    stages = world.run(verb="apply", audit=True, **NATIVE)["stages"]
    world.is_original(world.run(verb="undo"))

    for stop in some(range(2, len(stages) + 1, 5), 1):
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
    """Its queries are saved with the journal, so they are not needed to complete the change."""
    guard = {"queries": str(world.folder / "queries.npy"), "recall": 0.999}
    coarse = {"quantization": "binary:rescore=off"}
    stages = world.run(verb="apply", audit=True, **coarse)["stages"]
    world.is_original(world.run(verb="undo"))
    world.forget()
    stop = len(stages)  # after the last step, before recall is measured
    world.killed(verb="apply", audit=True, stop=stop, **coarse, **guard)
    world.send(verb="apply", **coarse)  # no guard is named here
    code, text = world.answer()
    assert code == 3, text
    assert text.startswith("GuardMissedError")
    told = world.run(verb="look")
    assert states(told) == ["undone"]
    world.is_original(told)


@pytest.mark.long
def test_a_guard_added_later_is_checked(world: World) -> None:
    """A guard requested after a kill is not ignored."""
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


@pytest.mark.long
@pytest.mark.slow
@SPECS
def test_ctrl_c_is_as_safe_as_a_kill(world: World, spec: dict[str, Any]) -> None:
    """A real SIGINT at events of different kinds."""
    stages = world.run(verb="apply", audit=True, **spec)["stages"]
    world.is_original(world.run(verb="undo", **places(spec)))
    for stop in moments(stages, 2):
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


@pytest.mark.long
def test_a_second_change_at_the_same_time_is_refused(world: World) -> None:
    """One process is stopped during its change; the other one gets an error."""
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
