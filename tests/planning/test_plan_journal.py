"""The journal: what is on disk, and what is made of it after a crash."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.errors import IntegrityError, NotFoundError
from qadapt.model import Match, Plan, Server, Step, Symbol
from qadapt.planning import journal


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


def lines(record: journal.ChangeRecord) -> list[str]:
    return (record.folder / "journal.jsonl").read_text(encoding="utf-8").splitlines()


def test_the_plan_is_on_disk_before_the_first_event(state_folder: Path) -> None:
    record = journal.begin(plan())
    assert record.folder == state_folder / "changes" / plan().id
    assert record.plan == plan()
    assert [item["event"] for item in record.events()] == ["begun"]


def test_events_are_one_line_each_in_order_with_their_time() -> None:
    record = journal.begin(plan())
    record.add("step begun", step=0, action="naïve ☃")
    record.add("step done", step=0)
    events = [json.loads(line) for line in lines(record)]
    assert [item["event"] for item in events] == ["begun", "step begun", "step done"]
    assert events[1]["action"] == "naïve ☃"
    assert [item["at"] for item in events] == sorted(item["at"] for item in events)
    assert record.events() == events


@pytest.mark.parametrize("torn", [b"{", b'{"at": "2026', b'{"event": "applied"}', b"\xff\xc3"])
def test_a_torn_last_line_is_left_out_and_cut_off_by_the_next(torn: bytes) -> None:
    record = journal.begin(plan())
    record.add("step begun", step=0)
    with (record.folder / "journal.jsonl").open("ab") as file:
        file.write(torn)
    again = journal.ChangeRecord(record.folder)
    assert [item["event"] for item in again.events()] == ["begun", "step begun"]
    assert again.state == "interrupted"
    again.add("step done", step=0)
    assert [item["event"] for item in again.events()] == ["begun", "step begun", "step done"]
    assert len(lines(again)) == 3


def test_a_damaged_line_in_the_middle_is_an_error_of_ours() -> None:
    record = journal.begin(plan())
    record.add("step begun", step=0)
    path = record.folder / "journal.jsonl"
    path.write_bytes(b"garbage\n" + path.read_bytes())
    with pytest.raises(IntegrityError, match=record.id):
        record.events()


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ([], "interrupted"),
        (["step begun"], "interrupted"),
        (["step begun", "step done", "seen"], "interrupted"),
        (["step begun", "step done", "applied"], "applied"),
        (["step begun", "failed"], "failed"),
        (["step begun", "failed", "resumed"], "interrupted"),
        (["step begun", "failed", "resumed", "applied"], "applied"),
        (["applied", "undo begun"], "interrupted"),
        (["applied", "undo begun", "step taken back"], "interrupted"),
        (["applied", "undo begun", "step taken back", "undone"], "undone"),
        (["undone"], "undone"),
    ],
)
def test_the_state_is_read_from_the_events(events: list[str], state: str) -> None:
    record = journal.begin(plan())
    for event in events:
        record.add(event, step=0)
    assert record.state == state


def test_steps_begun_done_and_taken_back() -> None:
    record = journal.begin(plan())
    record.add("step begun", step=0)
    record.add("step done", step=0)
    record.add("step begun", step=1)
    assert (record.started_steps(), record.done_steps()) == ({0, 1}, {0})
    record.add("undo begun")
    assert record.undoing
    record.add("step taken back", step=1)
    assert (record.started_steps(), record.done_steps()) == ({0}, {0})
    record.add("step taken back", step=0)
    record.add("undone")
    assert (record.started_steps(), record.done_steps()) == (set(), set())
    assert not record.undoing


def test_a_plan_applied_a_second_time_begins_afresh() -> None:
    """What the first application measured and did is no longer so."""
    record = journal.begin(plan())
    record.add("recall after", recall=0.5)
    record.add("undo begun")
    record.add("undone")
    again = journal.begin(plan())
    assert again.id == record.id
    assert again.state == "interrupted"
    assert not again.undoing
    assert again.last("recall after") is None
    assert again.last("undo begun") is None
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


def test_only_what_was_left_open_is_pending() -> None:
    assert journal.pending("edge:/data", "articles") is None
    record = journal.begin(plan())
    assert journal.pending("edge:/data", "articles") is not None
    assert journal.pending("edge:/data", "books") is None
    assert journal.pending("edge:/other", "articles") is None
    record.add("applied", fingerprint="g")
    assert journal.pending("edge:/data", "articles") is None


def test_a_folder_without_events_is_told_as_damaged(state_folder: Path) -> None:
    """A record appears whole, so one without its events has lost them."""
    folder = state_folder / "changes" / "20260101T000000000-cccc"
    folder.mkdir(parents=True)
    (folder / "plan.json").write_text(plan(folder.name).to_json(), encoding="utf-8")
    (state_folder / "changes" / "20260101T000000000-dddd").mkdir()
    assert list(journal.records()) == []
    told = {item.id: item.problem for item in qa.history().damaged}
    assert "journal.jsonl" in told["20260101T000000000-cccc"]
    assert told["20260101T000000000-dddd"] == "its folder is empty"


def test_a_record_that_was_just_being_made_is_no_change(state_folder: Path) -> None:
    """A crash before the folder has its name: nothing was begun, and the next one clears it."""
    left = state_folder / "changes" / ".making-20260101T000000000-eeee"
    left.mkdir(parents=True)
    (left / "plan.json").write_text("{", encoding="utf-8")
    assert qa.history() == [] and not qa.history().damaged
    journal.begin(plan())
    assert not left.exists()
    assert [record.id for record in journal.records()] == [plan().id]


def test_a_damaged_plan_is_named_with_what_to_do() -> None:
    record = journal.begin(plan())
    (record.folder / "plan.json").write_text("{", encoding="utf-8")
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


def test_ids_sort_by_time_and_do_not_meet() -> None:
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
            assert (last["event"], last["step"]) == ("step begun", actions.index(progress.stage))
            if last["step"] == 0:
                assert articles.info().config == config, "done before it was written down"

    plan.apply(yes=True, progress=watch)
    assert [stage for stage, _ in seen if stage in actions] == actions
    assert seen[0][1] == ["begun"]
    steps = ["step begun", "step done"] * len(actions)
    assert [item["event"] for item in events(plan.id)] == [
        "begun",
        "recall before",
        *steps,
        "seen",
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
    assert told[0] == ["undo begun"]
    taken = ["step taken back"] * 2
    assert [item["event"] for item in events(change.id)][applied:] == [
        "undo begun",
        *taken,
        "undone",
    ]
    order = [item["step"] for item in events(change.id) if item["event"] == "step taken back"]
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
