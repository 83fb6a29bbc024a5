"""A waiting optimizer: recorded on 1.19.0 (``restart``), killed during a build."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from qdrant_helpers import NEW, PATH, RecordedSequence, ok, recording, refused

import qadapt as qa
from qadapt.api import Database
from qadapt.errors import AuthError, StoreTimeoutError
from qadapt.stores.base import Progress, silent
from qadapt.stores.polling import Deadline
from qadapt.stores.qdrant.server import vector_index
from qadapt.stores.qdrant.server.status import STALLED

ASLEEP = tuple(f"restart/04_20_s_later_{what}" for what in ("info", "optimizations", "telemetry"))
STILL = tuple(
    f"restart/06_3_s_after_empty_patch_{what}" for what in ("info", "optimizations", "telemetry")
)
AWAKE = tuple(
    f"restart/08_3_s_after_optimizers_patch_{what}"
    for what in ("info", "optimizations", "telemetry")
)
DONE = tuple(f"restart/09_green_{what}" for what in ("info", "optimizations", "telemetry"))
BUILDING = tuple(f"restart/02_building_{what}" for what in ("info", "optimizations", "telemetry"))
KILLED = "/collections/killed"


class Killed(RecordedSequence):
    """Grey until ``optimizers_config`` is sent: an empty PATCH had no effect."""

    def turns(self, body: Mapping[str, Any]) -> bool:
        return self.at == 0 and "optimizers_config" in body


def killed(*first: Any) -> Killed:
    """The recordings, from the restart to green."""
    return Killed("killed", [list(first or [ASLEEP]), [AWAKE, AWAKE, DONE]], 20_000, NEW)


def test_queued_optimizations_do_not_count_as_running() -> None:
    status = killed().store().info("killed").vectors[""].status
    values = {each.signal: each.value for each in status.evidence}
    assert values["GET /optimizations: running"] == 0
    assert values["GET /optimizations: queued"] == 1
    assert status.state is qa.State.BUILDING
    assert f"{STALLED} (status grey)" in status.reason
    assert "run `qadapt apply`, which triggers the optimizer" in status.advice


def test_apply_triggers_the_optimizer_of_a_grey_collection() -> None:
    server = killed(ASLEEP)
    killed_ = Database(server.store())["killed"]
    plan = killed_.plan("product:ratio=16")
    assert [step.action for step in plan.steps] == [
        "trigger the optimizer and wait until product:ratio=16 is built"
    ]
    nudge = recording("restart/07_patch_optimizers", NEW)["request"]["body"]
    assert plan.steps[0].request["body"] == nudge == {"optimizers_config": {}}
    seen: list[Progress] = []
    change = plan.apply(yes=True, progress=seen.append, timeout=20)
    assert change.state == "applied"
    assert server.writes() == [("PATCH", KILLED, nudge)]
    assert any(each.stage.startswith(vector_index.TRIGGERING) for each in seen)
    assert killed_.info().vectors[""].status.state is qa.State.ACTIVE


def test_inspecting_and_planning_send_no_patch() -> None:
    server = killed()
    killed_ = Database(server.store())["killed"]
    killed_.info()
    killed_.plan("product:ratio=16")
    assert server.writes() == []


def test_an_empty_patch_does_not_trigger_the_optimizer() -> None:
    sent = recording("restart/05_patch_empty", NEW)["request"]["body"]
    assert sent == {}
    info = recording(STILL[0], NEW)["response"]["body"]["result"]
    assert info["status"] == "grey"
    assert sent != vector_index.EMPTY_OPTIMIZERS_CONFIG


def test_a_key_that_may_not_trigger_the_optimizer_changes_nothing() -> None:
    server = killed(ASLEEP)
    inner = server.reply

    def reply(request: Any, path: str) -> Any:
        return refused(403, "Forbidden") if request.method == "PATCH" else inner(request, path)

    server.reply = reply  # type: ignore[method-assign]
    with pytest.raises(AuthError) as caught:
        Database(server.store())["killed"].plan("product:ratio=16").apply(yes=True, timeout=20)
    assert str(caught.value.hint).startswith("nothing was changed; ")
    assert "undo" not in str(caught.value.hint)
    assert [change.state for change in qa.history()] == ["undone"]


class Looks(Deadline):
    """A deadline that passes after a number of polls, independent of the speed of the machine."""

    def __init__(self, seconds: float) -> None:
        super().__init__(3600)
        self.seconds, self.count = seconds, 0

    @property
    def passed(self) -> bool:
        self.count += 1
        return self.count > 3 * vector_index.STUCK


def test_running_optimizer_is_not_triggered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(vector_index, "Deadline", Looks)
    server = Killed("killed", [[BUILDING]], 20_000, NEW)
    request = {"op": "qdrant.patch", "vector": "", "body": {}}
    with pytest.raises(StoreTimeoutError, match="yellow") as caught:
        server.store().run("killed", request, silent, 5)
    assert len(server.bodies("GET", KILLED)) > 3 * vector_index.STUCK
    assert server.writes() == []
    assert "continues to build" in str(caught.value.hint)


class Deaf(RecordedSequence):
    """Always grey, as with max_optimization_threads 0."""

    def turns(self, body: Mapping[str, Any]) -> bool:
        return False


def test_timeout_reports_that_the_optimizer_did_not_start() -> None:
    server = Deaf("killed", [[ASLEEP]], 20_000, NEW)
    request = {"op": "qdrant.patch", "vector": "", "body": {}}
    with pytest.raises(
        StoreTimeoutError, match="optimizations are queued but none is running"
    ) as caught:
        server.store().run("killed", request, silent, 0.5)
    assert "max_optimization_threads" in str(caught.value.hint)
    assert "continues to build" not in str(caught.value.hint)
    bodies = server.bodies("PATCH", KILLED)
    assert bodies and all(body == {"optimizers_config": {}} for body in bodies)
    assert len(bodies) <= 1 + len(server.bodies("GET", KILLED)) // vector_index.STUCK


def test_an_idle_yellow_collection_is_triggered_after_a_delay() -> None:
    """All optimization threads of the server may be busy with other collections."""
    server = killed(ASLEEP)
    inner = server.reply

    def reply(request: Any, path: str) -> Any:
        found = inner(request, path)
        if (request.method, path, server.at) == ("GET", KILLED, 0):
            body = recording(ASLEEP[0], NEW)["response"]["body"]["result"]
            return ok({**body, "status": "yellow"})
        return found

    server.reply = reply  # type: ignore[method-assign]
    request = {"op": "qdrant.patch", "vector": "", "body": {}}
    server.store().run("killed", request, silent, 20)
    order = [(method, path) for method, path, _ in server.sent if path == KILLED]
    assert order.index(("PATCH", KILLED)) >= vector_index.STUCK
    assert PATH != KILLED
