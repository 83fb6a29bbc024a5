"""Waiting distinguishes pending, ignored and failed. On a fake store, because engines cannot be
forced into these states."""

from __future__ import annotations

from typing import Any

import pytest

import qadapt as qa
from qadapt.errors import ApplyError, BusyError, StoreTimeoutError
from qadapt.local.state import exclusive
from qadapt.model import State, Status

pytestmark = pytest.mark.usefixtures("quick")

BUILDING = Status(State.BUILDING, "2 of 5 segments", 0.4)
IGNORED = Status(State.IGNORED, "under the threshold", advice="write more rows")
ACTIVE = Status(State.ACTIVE)


def apply(fake: Any, **how: Any) -> qa.Change:
    return qa.Database(fake)["articles"].plan("binary").apply(yes=True, **how)


def test_waiting_reports_the_progress_of_a_build(fake: Any) -> None:
    fake.looks = [Status(State.BUILDING, progress=share / 10) for share in range(10)] + [ACTIVE]
    told: list[Any] = []
    change = apply(fake, progress=told.append)
    assert (change.state, change.status.state) == ("applied", State.ACTIVE)
    waits = [event.done for event in told if event.stage.startswith("waiting")]
    assert waits == [share / 10 for share in range(10)]


def test_an_ignored_setting_is_an_error_with_the_rule(fake: Any) -> None:
    """https://github.com/qdrant/qdrant/issues/6125: quantization that silently has no effect."""
    fake.looks = [IGNORED]
    with pytest.raises(ApplyError, match="ignores binary: under the threshold") as caught:
        apply(fake)
    assert "write more rows" in str(caught.value)
    (change,) = qa.history()
    assert change.state == "failed"
    assert f"qadapt undo {change.id}" in str(caught.value)


def test_a_temporary_ignored_state_does_not_end_the_wait(fake: Any) -> None:
    """While segments are replaced, an engine may appear to do nothing."""
    fake.looks = [IGNORED, IGNORED, BUILDING, IGNORED, IGNORED, ACTIVE]
    assert apply(fake).state == "applied"


def test_the_timeout_reports_the_last_state(fake: Any) -> None:
    fake.looks = [BUILDING]
    with pytest.raises(ApplyError, match="building after 0 seconds: 2 of 5 segments") as caught:
        apply(fake, timeout=0)
    assert isinstance(caught.value.__cause__, StoreTimeoutError)
    assert qa.history()[0].state == "failed"
    fake.looks = [ACTIVE]
    assert apply(fake).state == "applied", "and the same plan completes it"


def test_an_unobservable_state_is_not_active(fake: Any) -> None:
    fake.looks = [Status(State.UNKNOWN, "the server tells nothing")]
    change = apply(fake)
    assert (change.state, change.status.state) == ("applied", State.UNKNOWN)


def test_an_undo_may_end_in_an_ignored_state(fake: Any) -> None:
    """Undo to a setting that the engine ignored before is complete."""
    collection = qa.Database(fake)["articles"]
    collection.plan("scalar").apply(yes=True)
    fake.reverse = {"op": "fake.set", "to": "scalar"}
    change = collection.plan("binary").apply(yes=True)
    fake.looks = [IGNORED]
    assert change.undo().state == "undone"
    assert change.status.state is State.IGNORED
    assert fake.quantization == qa.scalar()


def test_an_unverified_undo_is_not_undone(fake: Any) -> None:
    change = apply(fake)
    fake.reverse = {}
    fake.run = lambda *_: None  # the engine accepts the request and does nothing
    fake.looks = [ACTIVE]
    with pytest.raises(StoreTimeoutError):
        change.undo(timeout=0)
    assert qa.history()[0].state == "interrupted"


def test_only_one_change_at_a_time(fake: Any) -> None:
    plan = qa.Database(fake)["articles"].plan("binary")
    with exclusive(fake.address, "articles"):
        with pytest.raises(BusyError):
            plan.apply(yes=True)
        assert (fake.requests, qa.history()) == ([], [])
    change = plan.apply(yes=True)
    with exclusive(fake.address, "articles"), pytest.raises(BusyError):
        change.undo()
    assert change.undo().state == "undone"


def test_ctrl_c_in_a_callback_leaves_it_interrupted_and_the_lock_free(fake: Any) -> None:
    def stop(_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        apply(fake, progress=stop)
    assert [each.state for each in qa.history()] == ["interrupted"]
    assert apply(fake).state == "applied"
    assert len(qa.history()) == 1
