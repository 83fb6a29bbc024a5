"""The journal: what is on disk, and what is made of it after a crash."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corruptions import execute

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.errors import IntegrityError, NotFoundError, PlanError
from qadapt.model import Match, Plan, Server, Step, Symbol
from qadapt.planning import journal
from qadapt.planning.change_record import ChangeRecord


def plan(name: str = "20260101T000000000-aaaa", collection: str = "articles") -> Plan:
    step = Step(Symbol.BACKGROUND, "build", "because", {"op": "set"}, {"op": "unset"})
    return Plan(
        id=name,
        created="2026-01-01T00:00:00.000+00:00",
        address="edge:/data",
        collection=collection,
        vector="",
        server=Server("edge", "0.9.0", "in process"),
        current=qa.none(),
        requested=qa.binary(),
        target=qa.binary(),
        match=Match.of(),
        accept="differs",
        fingerprint="f",
        count=3,
        dim=4,
        steps=(step, step),
    )


def test_the_plan_is_on_disk_with_the_first_event(state_folder: Path) -> None:
    record = journal.begin(plan())
    key = journal.key("edge:/data", "articles")
    assert record.folder == state_folder / "changes" / key / plan().id
    assert record.plan == plan()
    assert [item["event"] for item in record.events()] == ["started"]


def test_events_are_in_order_with_their_time() -> None:
    record = journal.begin(plan())
    record.add("step started", step=0, action="naïve ☃ \udcff")
    record.add("step done", step=0)
    events = ChangeRecord(record.folder).events()
    assert [item["event"] for item in events] == ["started", "step started", "step done"]
    assert events[1]["action"] == "naïve ☃ \udcff"
    assert [item["at"] for item in events] == sorted(item["at"] for item in events)


def test_a_record_is_a_file_for_its_owner_only(state_folder: Path) -> None:
    record = journal.begin(plan(), np.ones((1, 4)))
    record.add("step started", step=0)
    for path in (state_folder / "changes").rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path
    assert sorted(os.listdir(record.folder)) == ["journal.sqlite", "queries.npy"]


def test_a_modified_event_is_an_error_that_names_the_record() -> None:
    record = journal.begin(plan())
    record.add("step started", step=0)
    execute(record.folder, "UPDATE records SET value = 'x' WHERE kind = 'event' AND key = '0'")
    with pytest.raises(IntegrityError, match=record.id):
        record.events()


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ([], "interrupted"),
        (["step started"], "interrupted"),
        (["step started", "step done", "status read"], "interrupted"),
        (["step started", "step done", "applied"], "applied"),
        (["step started", "failed"], "failed"),
        (["step started", "failed", "resumed"], "interrupted"),
        (["step started", "failed", "resumed", "applied"], "applied"),
        (["applied", "undo started"], "interrupted"),
        (["applied", "undo started", "step reversed"], "interrupted"),
        (["applied", "undo started", "step reversed", "undone"], "undone"),
        (["undone"], "undone"),
    ],
)
def test_the_state_is_read_from_the_events(events: list[str], state: str) -> None:
    record = journal.begin(plan())
    for event in events:
        record.add(event, step=0)
    assert record.state == state


def test_steps_started_done_and_reversed() -> None:
    record = journal.begin(plan())
    record.add("step started", step=0)
    record.add("step done", step=0)
    record.add("step started", step=1)
    assert (record.started_steps(), record.done_steps()) == ({0, 1}, {0})
    record.add("undo started")
    assert record.undoing
    record.add("step reversed", step=1)
    assert (record.started_steps(), record.done_steps()) == ({0}, {0})
    record.add("step reversed", step=0)
    record.add("undone")
    assert (record.started_steps(), record.done_steps()) == (set(), set())
    assert not record.undoing


def test_a_plan_applied_twice_starts_again() -> None:
    """What the first application measured and did is no longer so."""
    record = journal.begin(plan())
    record.add("recall after", recall=0.5)
    record.add("undo started")
    record.add("undone")
    again = journal.begin(plan())
    assert again.id == record.id
    assert again.state == "interrupted"
    assert not again.undoing
    assert again.last("recall after") is None
    assert again.last("undo started") is None
    assert len(again.events()) == 5, "the whole story stays on disk"


def test_records_are_in_the_order_in_which_they_were_begun(state_folder: Path) -> None:
    """Not in the order in which they were planned."""
    late, early = plan("20260102T000000000-bbbb"), plan("20260101T000000000-aaaa")
    journal.begin(late).add("undone")
    journal.begin(early)
    assert [record.id for record in journal.records()] == [early.id, late.id]
    left = journal.pending("edge:/data", "articles")
    assert left is not None
    assert left.id == early.id


def test_only_unfinished_changes_are_pending() -> None:
    assert journal.pending("edge:/data", "articles") is None
    record = journal.begin(plan())
    assert journal.pending("edge:/data", "articles") is not None
    assert journal.pending("edge:/data", "books") is None
    assert journal.pending("edge:/other", "articles") is None
    record.add("applied", fingerprint="g")
    assert journal.pending("edge:/data", "articles") is None


def test_a_folder_without_a_journal_is_reported_as_damaged() -> None:
    """A record appears whole, so one without its file has lost it."""
    folder = journal.folder_of(plan())
    folder.mkdir(parents=True)
    assert list(journal.records()) == []
    (damaged,) = qa.history().damaged
    assert (damaged.id, damaged.problem) == (plan().id, "journal.sqlite does not exist")


def test_an_unfinished_record_is_ignored_and_removed(state_folder: Path) -> None:
    """A crash before the folder is renamed: the change was not started."""
    left = state_folder / "changes" / ("a" * 24) / ".making-20260101T000000000-eeee"
    left.mkdir(parents=True)
    (left / "journal.sqlite").write_text("{", encoding="utf-8")
    assert qa.history() == [] and not qa.history().damaged
    journal.begin(plan())
    assert not left.exists()
    assert [record.id for record in journal.records()] == [plan().id]


def test_a_record_of_an_earlier_development_version_is_named(state_folder: Path) -> None:
    """It blocks its collection only, and can be abandoned."""
    old = state_folder / "changes" / "20260101T000000000-ffff"
    mark = state_folder / "by_collection" / journal.key("edge:/data", "articles") / old.name
    for folder in (old, mark.parent):
        folder.mkdir(parents=True)
    mark.touch()
    (old / "plan.json").write_text(plan(old.name).to_json(), encoding="utf-8")
    (old / "journal.jsonl").write_text('{"event": "begun"}\n', encoding="utf-8")
    (damaged,) = qa.history().damaged
    assert "earlier development version" in damaged.problem
    assert damaged.hint.endswith(f"qadapt history --abandon {old.name}")
    with pytest.raises(IntegrityError, match="earlier development version"):
        journal.pending("edge:/data", "articles")
    assert journal.pending("edge:/data", "books") is None
    assert (Path(qa.abandon(old.name).path) / "plan.json").exists()
    assert journal.pending("edge:/data", "articles") is None


def test_an_id_belongs_to_one_collection() -> None:
    journal.begin(plan())
    with pytest.raises(PlanError, match="another collection"):
        journal.begin(plan(collection="books"))


def test_a_damaged_plan_is_an_error_that_names_the_folder() -> None:
    record = journal.begin(plan())
    execute(record.folder, "UPDATE records SET value = '{' WHERE key = 'plan'")
    with pytest.raises(IntegrityError, match=record.id) as caught:
        _ = record.plan
    assert str(record.folder) in str(caught.value)


def test_a_change_is_found_by_the_beginning_of_its_id() -> None:
    first = journal.begin(plan("20260101T000000000-aaaa"))
    second = journal.begin(plan("20260101T000000000-aaab"))
    longer = journal.begin(plan("20260101T000000000-aaabc"))
    assert journal.find("20260101T000000000-aaaa").id == first.id
    assert journal.find(second.id).id == second.id, "a whole id wins over a longer one"
    assert journal.find(longer.id).id == longer.id
    with pytest.raises(NotFoundError, match="20260101"):
        journal.find("20260101")
    with pytest.raises(NotFoundError, match="nothing-like-it"):
        journal.find("nothing-like-it")


def test_ids_sort_by_time_and_are_unique() -> None:
    made = [journal.new_id() for _ in range(200)]
    assert len(set(made)) == 200
    stamps = [name.split("-")[0] for name in made]
    assert stamps == sorted(stamps)


def test_each_step_is_in_the_journal_before_it_is_done(
    articles: Collection, events: Callable[[str], list[dict[str, Any]]]
) -> None:
    plan = articles.plan("scalar:rescore=4", guard=qa.Guard(0.1, queries=10))
    actions = [step.action for step in plan.steps]
    config = articles.info().config
    seen: list[tuple[str, list[str]]] = []

    def watch(progress: Any) -> None:
        known = [item["event"] for item in events(plan.id)]
        seen.append((progress.stage, known))
        if progress.unit == "steps":
            last = events(plan.id)[-1]
            assert (last["event"], last["step"]) == ("step started", actions.index(progress.stage))
            if last["step"] == 0:
                assert articles.info().config == config, "done before it was written down"

    plan.apply(yes=True, progress=watch)
    assert [stage for stage, _ in seen if stage in actions] == actions
    assert seen[0][1] == ["started"]
    steps = ["step started", "step done"] * len(actions)
    assert [item["event"] for item in events(plan.id)] == [
        "started",
        "recall before",
        *steps,
        "status read",
        "recall after",
        "applied",
    ]


def test_an_undo_is_in_the_journal_before_it_is_done(
    articles: Collection, events: Callable[[str], list[dict[str, Any]]]
) -> None:
    change = articles.plan("scalar:rescore=4").apply(yes=True)
    applied = len(events(change.id))
    told: list[list[str]] = []
    change.undo(
        progress=lambda _: told.append([item["event"] for item in events(change.id)][applied:])
    )
    assert told[0] == ["undo started"]
    taken = ["step reversed"] * 2
    assert [item["event"] for item in events(change.id)][applied:] == [
        "undo started",
        *taken,
        "undone",
    ]
    order = [item["step"] for item in events(change.id) if item["event"] == "step reversed"]
    assert order == [1, 0], "last first"


@pytest.mark.parametrize(
    "text",
    [
        "qdrant+http://HUSH@fake:1",
        "qdrant+http://fake:1?api_key=HUSH",
        "qdrant+http://fake:1?key_env=MY_KEY",
    ],
)
def test_no_key_is_in_a_plan_a_journal_or_a_settings_file(
    text: str,
    fake_at: Callable[..., Any],
    state_texts: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MY_KEY", "HUSH")
    plan = Database(fake_at(text))["articles"].plan("binary:rescore=4")
    change = plan.apply(yes=True)
    written = state_texts()
    assert journal.find(change.id).events()
    assert "fake:1" in written
    for shown in (written, plan.to_json(), str(plan), repr(plan), repr(change), str(change.plan)):
        assert "HUSH" not in shown


@pytest.mark.parametrize("verb", [qa.undo, qa.abandon])
def test_an_empty_id_does_not_select_the_only_change(verb: Callable[[str], Any]) -> None:
    """Every id starts with an empty prefix."""
    record = journal.begin(plan())
    with pytest.raises(NotFoundError, match="id of the change is empty"):
        verb("")
    assert record.folder.is_dir()
