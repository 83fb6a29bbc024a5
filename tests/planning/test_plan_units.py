"""Parts of a change without a database: the journal's values, conflicts, interrupted changes."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest
from test_plan_journal import plan

import qadapt as qa
from qadapt.local import client_operations
from qadapt.model import Guard, Step, Symbol
from qadapt.planning import apply, conflicts, events, journal

CLIENT, NATIVE = {"op": "client"}, {"op": "native"}


@pytest.fixture(autouse=True)
def client_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_operations, "is_client_operation", lambda each: each == CLIENT)


def test_ids_start_with_the_time_in_milliseconds() -> None:
    assert re.fullmatch(r"\d{8}T\d{9}-[0-9a-f]{8}", journal.new_id())


@pytest.mark.parametrize(
    ("value", "kind", "valid"),
    [
        (0, int, True),
        (-1, int, False),
        (True, int, False),
        (2**53 - 1, int, True),
        (2**53, int, False),
        (0.0, float, True),
        (1, float, True),
        (1.5, float, False),
        (float("nan"), float, False),
        ("x", str, True),
        (1, str, False),
    ],
)
def test_values_of_an_event_are_checked(value: Any, kind: type, valid: bool) -> None:
    assert bool(events._is(value, kind)) == valid


class Record:
    """A record of a change with some started steps."""

    undoing = False

    def __init__(self, steps: list[tuple[Any, Any]], **changes: Any) -> None:
        made = tuple(Step(Symbol.CLIENT, "build", "because", ask, back) for ask, back in steps)
        self.plan = plan().replace(steps=made, **changes)
        self.events: list[tuple[str, int]] = []

    def started_steps(self) -> set[int]:
        return set(range(len(self.plan.steps)))

    def add(self, event: str, *, step: int) -> None:
        self.events.append((event, step))


def test_client_steps_of_a_replaced_change_are_rolled_back_last_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ran: list[Any] = []
    monkeypatch.setattr(client_operations, "run", lambda *asked: ran.append(asked[2]))
    record: Any = Record([(CLIENT, CLIENT), (NATIVE, NATIVE), (CLIENT, CLIENT)])
    store: Any = None
    conflicts.withdraw(store, record, lambda _: None, 1.0)
    assert [step for _, step in record.events] == [2, 1, 0]
    assert ran == [CLIENT, CLIENT]


def test_a_replaced_change_of_several_native_steps_is_left_unfinished() -> None:
    record: Any = Record([(NATIVE, NATIVE), (NATIVE, NATIVE)])
    store: Any = None
    conflicts.withdraw(store, record, lambda _: None, 1.0)
    assert record.events == []


@pytest.mark.parametrize(
    ("left", "now", "same"),
    [
        (None, None, True),
        (Guard(0.9, k=10), None, True),
        (None, Guard(0.9, k=10), False),
        (Guard(0.9, k=10), Guard(0.9, k=10), True),
        (Guard(0.9, k=10), Guard(0.8, k=10), False),
        (Guard(0.9, k=10), Guard(0.9, k=20), False),
    ],
)
def test_an_interrupted_change_is_completed_if_its_guard_is_the_same(
    left: Guard | None, now: Guard | None, same: bool
) -> None:
    record: Any = Record([(NATIVE, NATIVE)], guard=left)
    assert apply._same(record, plan(), now) is same


def test_an_interrupted_change_to_something_else_is_not_completed() -> None:
    record: Any = Record([(NATIVE, NATIVE)])
    other = plan().replace(requested=qa.scalar())
    assert not apply._same(record, other, None)
    record.undoing = True
    assert not apply._same(record, plan(), None)


def test_a_plan_from_before_an_interrupted_change_stays_valid_after_its_rollback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fingerprint = ["changed"]
    monkeypatch.setattr(
        apply.collection_info, "info", lambda *_: SimpleNamespace(fingerprint=fingerprint[0])
    )
    rolled_back: list[Any] = []
    monkeypatch.setattr(apply, "_roll_back", lambda *asked: rolled_back.append(asked[1]))
    again = plan("another")
    monkeypatch.setattr(apply, "plan_again", lambda *_: again)
    left: Any = Record([(NATIVE, NATIVE)])
    store: Any = None
    mine = plan()
    assert apply._without(store, left, mine, lambda _: None, 1.0) is mine
    fingerprint[0] = mine.fingerprint
    made = apply._without(store, left, mine, lambda _: None, 1.0)
    assert (made.id, made.created) == (mine.id, mine.created)
    assert rolled_back == [left, left]
