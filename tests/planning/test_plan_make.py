"""A plan is data, changes nothing by itself, and is refused when it no longer fits."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.errors import (
    ConsentRequired,
    InputError,
    NotFoundError,
    PlanStale,
    SpecError,
    UnsupportedError,
)
from qadapt.local.state import read_settings
from qadapt.model import Level, Symbol
from qadapt.planning import journal
from qadapt.testing import Sample

Recall = Callable[..., float]


def python(program: str, *arguments: str) -> str:
    """What a new process prints."""
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def state_of(collection: Collection, vector: str = "") -> str:
    return str(collection.info().vectors[vector].status.state)


# -- a plan is data ------------------------------------------------------------------------------


def test_a_plan_goes_to_json_and_back(articles: Collection) -> None:
    plan = articles.plan(qa.binary(rescore=4), guard=qa.Guard(0.5, queries=20))
    again = qa.Plan.from_json(plan.to_json())
    assert again == plan
    assert str(again) == str(plan)
    assert qa.Plan.from_dict(plan.to_dict()) == plan
    assert (plan.requested, plan.current, plan.collection) == (
        qa.binary(rescore=4),
        qa.none(),
        "articles",
    )
    assert plan.count == articles.count()


def test_planning_changes_nothing(
    articles: Collection, state_folder: Path, rows_of: Callable[[Collection], Any]
) -> None:
    before, rows = articles.info(), rows_of(articles)
    for text in ("scalar", "binary:rescore=4", "rotational", "none"):
        articles.plan(text)
    assert articles.info() == before
    assert rows_of(articles) == rows
    assert [path for path in state_folder.rglob("*") if path.is_file()] == []


def test_a_saved_plan_opens_its_own_address_in_a_new_process(
    database: Database, articles: Collection, tmp_path: Path
) -> None:
    path = tmp_path / "plan.json"
    path.write_text(articles.plan("scalar:rescore=3").to_json(), encoding="utf-8")
    database.close()
    program = (
        "import sys, qadapt as qa\n"
        "change = qa.load_plan(sys.argv[1]).apply(yes=True)\n"
        "print(change.state, change.status.state)\n"
    )
    assert python(program, str(path)) == "applied active\n"
    vector = articles.info().vectors[""]
    assert vector.status.state is qa.State.ACTIVE
    assert vector.quantization.kind is qa.Kind.SCALAR
    assert vector.default_rescore == qa.Rescore(3)


def test_a_plan_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        qa.load_plan(tmp_path / "nothing.json")
    for text in ("", "{", "[]", "{}", '{"format": 1}'):
        (tmp_path / "plan.json").write_text(text, encoding="utf-8")
        with pytest.raises(SpecError):
            qa.load_plan(tmp_path / "plan.json")


def test_a_plan_of_a_later_format_is_refused(articles: Collection) -> None:
    document = articles.plan("scalar").to_dict()
    with pytest.raises(SpecError, match="format 2"):
        qa.Plan.from_dict({**document, "format": 2})


def test_queries_in_an_array_cannot_be_saved_and_the_error_says_what_can(
    articles: Collection, sample: Sample
) -> None:
    plan = articles.plan("scalar", guard=qa.Guard(0.5, queries=sample.queries))
    assert "recall@10>=0.5" in str(plan)
    with pytest.raises(InputError, match="queries") as caught:
        plan.to_json()
    assert ".npy" in str(caught.value)


def test_the_printed_plan_says_what_why_and_how_back(articles: Collection) -> None:
    plan = articles.plan("scalar:rescore=4")
    text = str(plan)
    for word in (plan.id, "articles", "none  ->  scalar:rescore=4", "why", "reverse", "searches"):
        assert word in text
    for step in plan.steps:
        assert f"  {step.symbol.value:<4}{step.action.split()[0]}" in text
        assert step.symbol.meaning in " ".join(text.split())
    assert "7 bits, not 8" in text
    assert "2 steps to apply, 1 of them only with your consent." in text
    lines = [line for line in text.splitlines() if plan.address not in line]
    assert max(map(len, lines)) <= 80


# -- nothing to do -------------------------------------------------------------------------------


def test_what_is_so_already_needs_nothing(articles: Collection) -> None:
    articles.plan("binary:rescore=4").apply(yes=True)
    plan = articles.plan("binary:rescore=4")
    assert [step.symbol for step in plan.steps] == [Symbol.NOTHING]
    assert not plan.changes
    assert not plan.needs_consent
    assert "Nothing to do." in str(plan)
    known = [change.id for change in qa.history()]
    change = plan.apply()  # no consent is needed for nothing
    assert change.state == "nothing"
    assert change.status.state is qa.State.ACTIVE
    assert [each.id for each in qa.history()] == known
    with pytest.raises(NotFoundError):
        _ = change.plan


def test_none_is_planned_from_none(articles: Collection) -> None:
    change = articles.plan("none").apply()
    assert (change.state, change.status.state) == ("nothing", qa.State.ABSENT)


def test_only_the_rescoring_changes(articles: Collection) -> None:
    """A change of what qadapt remembers rebuilds nothing and needs no consent."""
    articles.plan("binary:rescore=4").apply(yes=True)
    plan = articles.plan("binary:rescore=2")
    assert [step.symbol for step in plan.steps] == [Symbol.CLIENT]
    assert not plan.needs_consent
    change = plan.apply()
    assert articles.search(np.ones(articles.info().vectors[""].dim)).how.oversampling == 2
    change.undo()
    assert articles.search(np.ones(articles.info().vectors[""].dim)).how.oversampling == 4
    assert state_of(articles) == "active"


def test_back_to_none_forgets_the_rescoring_too(articles: Collection) -> None:
    articles.plan("binary:rescore=4").apply(yes=True)
    articles.plan("none").apply(yes=True)
    vector = articles.info().vectors[""]
    assert (vector.quantization, vector.status.state) == (qa.none(), qa.State.ABSENT)
    assert read_settings(articles._store.address, "articles").vectors == {}


# -- how far a plan may go -----------------------------------------------------------------------


def test_a_cousin_is_told_and_exact_refuses_it(articles: Collection) -> None:
    plan = articles.plan("scalar")
    assert plan.match.level is Level.DIFFERS
    assert plan.match.differences
    assert plan.target != plan.requested
    with pytest.raises(UnsupportedError, match="only a cousin of scalar: 7 bits") as caught:
        articles.plan("scalar", accept="exact")
    assert "accept='differs'" in str(caught.value)
    assert articles.plan("binary", accept="exact").match.level is Level.EXACT
    # What was planned is what the engine then has.
    plan.apply(yes=True)
    found = articles.info().vectors[""].quantization
    assert found.codes_only == plan.target.codes_only


def test_what_nobody_has_is_refused_with_what_would_do(articles: Collection) -> None:
    for accept in ("exact", "differs", "client"):
        with pytest.raises(UnsupportedError, match="edge has no scalar:bits=4") as caught:
            articles.plan("scalar:bits=4", accept=accept)
        assert caught.value.hint


def test_client_is_not_taken_where_the_store_does_it_itself(articles: Collection) -> None:
    plan = articles.plan("binary", accept="client")
    assert all(step.symbol is not Symbol.CLIENT for step in plan.steps)


def test_our_own_codes_are_offered_and_taken_only_when_accepted(
    address: str, database: Database, articles: Collection
) -> None:
    database.close()
    with qa.open(address, disabled=["native-quantization"]) as without:
        collection = without["articles"]
        for accept in ("exact", "differs"):
            with pytest.raises(UnsupportedError, match="switched off by the user") as caught:
                collection.plan("binary", accept=accept)
            assert "accept='client'" in str(caught.value)
        with pytest.raises(UnsupportedError) as caught:
            collection.plan("product", accept="client")
        assert "accept='client'" not in str(caught.value), "an offer that would be refused"
        plan = collection.plan("binary:rescore=4", accept="client")
        assert [step.symbol for step in plan.steps] == [Symbol.CLIENT] * 2
        assert plan.disabled == ("native-quantization",)


@pytest.mark.parametrize("accept", ["", "exactly", "differ", None])
def test_an_unknown_accept_is_refused(articles: Collection, accept: Any) -> None:
    with pytest.raises(SpecError, match="accept") as caught:
        articles.plan("binary", accept=accept)
    assert "exact, differs, client" in str(caught.value)


@pytest.mark.parametrize("text", ["binray", "binary:bits=3", "scalar:query_bits=4", "", "scalar:x"])
def test_a_quantization_that_is_none_is_refused(articles: Collection, text: str) -> None:
    with pytest.raises(SpecError):
        articles.plan(text)


# -- several vectors -----------------------------------------------------------------------------


@pytest.fixture
def books(database: Database, sample: Sample) -> Collection:
    """Two vectors."""
    dim = sample.rows.shape[1]
    vectors = {"title": qa.Vector(dim), "body": qa.Vector(dim, "dot")}
    collection = database.create("books", vectors=vectors)
    columns = {"title": sample.rows, "body": sample.rows[::-1]}
    collection.write(qa.Batch(range(len(sample.rows)), columns))
    return collection


def test_with_two_vectors_one_must_be_named(books: Collection) -> None:
    with pytest.raises(SpecError, match="say which") as caught:
        books.plan("scalar")
    assert "title" in str(caught.value)
    assert "body" in str(caught.value)
    with pytest.raises(NotFoundError, match="'titel'"):
        books.plan("scalar", vector="titel")


def test_two_vectors_change_one_by_one(books: Collection, sample: Sample) -> None:
    first = books.plan("scalar:rescore=2", vector="title").apply(yes=True)
    assert (state_of(books, "title"), state_of(books, "body")) == ("active", "absent")
    second = books.plan("binary:rescore=4", vector="body").apply(yes=True)
    assert (state_of(books, "title"), state_of(books, "body")) == ("active", "active")
    how = books.search(sample.queries, vector="title").how
    assert (how.oversampling, how.rescore_from) == (2, "collection")
    assert books.search(sample.queries, vector="body").how.oversampling == 4
    second.undo()
    assert (state_of(books, "title"), state_of(books, "body")) == ("active", "absent")
    assert books.search(sample.queries, vector="title").how.oversampling == 2
    first.undo()
    assert (state_of(books, "title"), state_of(books, "body")) == ("absent", "absent")


def test_a_change_of_one_vector_stands_on_the_other_vectors_change(books: Collection) -> None:
    """The configuration is one: what was changed first is undone last, and the error says so."""
    first = books.plan("scalar", vector="title").apply(yes=True)
    second = books.plan("binary", vector="body").apply(yes=True)
    with pytest.raises(qa.QadaptError, match="newer change") as caught:
        first.undo()
    assert second.id in str(caught.value)


# -- stale plans ---------------------------------------------------------------------------------


def test_a_plan_is_stale_when_another_plan_was_applied(articles: Collection) -> None:
    early = articles.plan("scalar")
    articles.plan("binary").apply(yes=True)
    with pytest.raises(PlanStale, match="changed since") as caught:
        early.apply(yes=True)
    assert caught.value.exit_code == 4
    assert articles.info().vectors[""].quantization.kind is qa.Kind.BINARY
    assert len(qa.history()) == 1, "a refused plan leaves no change behind"


def test_a_plan_is_stale_when_another_process_changed_it(
    address: str, database: Database, articles: Collection
) -> None:
    early = articles.plan("scalar")
    database.close()
    program = (
        "import sys, qadapt as qa\n"
        "with qa.open(sys.argv[1]) as db:\n"
        "    print(db['articles'].plan('binary').apply(yes=True).state)\n"
    )
    assert python(program, address) == "applied\n"
    with pytest.raises(PlanStale):
        early.apply(yes=True)


def test_a_plan_is_stale_when_only_the_rescoring_changed(articles: Collection) -> None:
    articles.plan("binary:rescore=4").apply(yes=True)
    early = articles.plan("scalar")
    articles.plan("binary:rescore=8").apply(yes=True)
    with pytest.raises(PlanStale):
        early.apply(yes=True)


def test_rows_written_since_do_not_make_a_plan_stale(
    articles: Collection, sample: Sample, recall: Recall
) -> None:
    plan = articles.plan("binary:rescore=10")
    articles.write(qa.Batch([10_000], {"": sample.rows[:1]}))
    articles.delete([10_000])
    assert plan.apply(yes=True).state == "applied"
    assert recall(articles) > 0.9


def test_a_plan_of_a_dropped_collection_is_refused(
    database: Database, articles: Collection
) -> None:
    plan = articles.plan("binary")
    database.drop("articles")
    with pytest.raises(NotFoundError, match="articles"):
        plan.apply(yes=True)
    assert qa.history() == []


# -- consent -------------------------------------------------------------------------------------


def test_without_consent_nothing_is_changed_and_the_steps_are_listed(
    articles: Collection, rows_of: Callable[[Collection], Any], recall: Recall
) -> None:
    before, rows = articles.info(), rows_of(articles)
    plan = articles.plan("scalar:rescore=4")
    assert plan.needs_consent
    with pytest.raises(ConsentRequired) as caught:
        plan.apply()
    assert caught.value.exit_code == 4
    for step in plan.steps:
        assert (step.action in str(caught.value)) == step.needs_consent
    assert "searches and writes stop" in str(caught.value)
    assert "yes=True" in str(caught.value)
    assert articles.info() == before
    assert rows_of(articles) == rows
    assert qa.history() == []


def test_a_step_without_a_way_back_needs_consent(fake: Any) -> None:
    fake.reverse = None
    plan = Database(fake)["articles"].plan("binary")
    with pytest.raises(ConsentRequired, match="no way back"):
        plan.apply()
    assert fake.requests == []
    assert plan.apply(yes=True).state == "applied"


# -- the journal goes first ----------------------------------------------------------------------


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


# -- secrets -------------------------------------------------------------------------------------


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
