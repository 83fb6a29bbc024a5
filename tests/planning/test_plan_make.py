"""A plan is data, changes nothing, and lists differences from the request."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from plan_helpers import python, state_of

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.errors import InputError, NotFoundError, SpecError, UnsupportedError
from qadapt.local.state import read_settings
from qadapt.model import MatchLevel, Symbol
from qadapt.testing import Sample

# -- a plan is data ------------------------------------------------------------------------------


def test_plan_json_round_trip(articles: Collection) -> None:
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


def test_a_saved_plan_opens_its_address_in_a_new_process(
    database: Database, articles: Collection, tmp_path: Path
) -> None:
    path = tmp_path / "plan.json"
    path.write_text(articles.plan("scalar:rescore=3").to_json(), encoding="utf-8")
    database._store.close()
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


def test_an_invalid_plan_file_is_refused(tmp_path: Path) -> None:
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


def test_queries_in_an_array_cannot_be_saved_and_the_hint_names_a_path(
    articles: Collection, sample: Sample
) -> None:
    plan = articles.plan("scalar", guard=qa.Guard(0.5, queries=sample.queries))
    assert "recall@10>=0.5" in str(plan)
    with pytest.raises(InputError, match="queries") as caught:
        plan.to_json()
    assert ".npy" in str(caught.value)


def test_the_printed_plan_shows_steps_reasons_and_rollback(articles: Collection) -> None:
    plan = articles.plan("scalar:rescore=4")
    text = str(plan)
    for word in (plan.id, "articles", "none  ->  scalar:rescore=4", "why", "rollback", "searches"):
        assert word in text
    for step in plan.steps:
        assert f"  {step.symbol.value:<4}{step.action.split()[0]}" in text
        assert step.symbol.meaning in " ".join(text.split())
    assert "7 bits, not 8" in text
    assert "2 steps to apply; 1 needs confirmation." in text
    lines = [line for line in text.splitlines() if plan.address not in line]
    assert max(map(len, lines)) <= 80


# -- nothing to do -------------------------------------------------------------------------------


def test_an_existing_configuration_needs_no_step(articles: Collection) -> None:
    articles.plan("binary:rescore=4").apply(yes=True)
    plan = articles.plan("binary:rescore=4")
    assert [step.symbol for step in plan.steps] == [Symbol.NOTHING]
    assert not plan.changes
    assert not plan.needs_consent
    assert "Nothing to do." in str(plan)
    known = [change.id for change in qa.history()]
    change = plan.apply()  # without steps no confirmation is needed
    assert change.state == "nothing"
    assert change.status.state is qa.State.ACTIVE
    assert [each.id for each in qa.history()] == known
    with pytest.raises(NotFoundError):
        _ = change.plan


def test_none_is_planned_from_none(articles: Collection) -> None:
    change = articles.plan("none").apply()
    assert (change.state, change.status.state) == ("nothing", qa.State.ABSENT)


def test_only_the_rescoring_changes(articles: Collection) -> None:
    """A change of qadapt's settings rebuilds nothing and needs no confirmation."""
    articles.plan("binary:rescore=4").apply(yes=True)
    plan = articles.plan("binary:rescore=2")
    assert [step.symbol for step in plan.steps] == [Symbol.CLIENT]
    assert not plan.needs_consent
    change = plan.apply()
    assert articles.search(np.ones(articles.info().vectors[""].dim)).how.oversampling == 2
    change.undo()
    assert articles.search(np.ones(articles.info().vectors[""].dim)).how.oversampling == 4
    assert state_of(articles) == "active"


def test_none_resets_the_default_rescoring(articles: Collection) -> None:
    articles.plan("binary:rescore=4").apply(yes=True)
    articles.plan("none").apply(yes=True)
    vector = articles.info().vectors[""]
    assert (vector.quantization, vector.status.state) == (qa.none(), qa.State.ABSENT)
    assert read_settings(articles._store.address, "articles").vectors == {}


# -- accepted matches -----------------------------------------------------------------------


def test_differences_are_reported_and_exact_rejects_them(articles: Collection) -> None:
    plan = articles.plan("scalar")
    assert plan.match.level is MatchLevel.DIFFERS
    assert plan.match.differences
    assert plan.target != plan.requested
    with pytest.raises(UnsupportedError, match="only an approximation of scalar: 7 bits") as caught:
        articles.plan("scalar", accept="exact")
    assert "accept='differs'" in str(caught.value)
    assert articles.plan("binary", accept="exact").match.level is MatchLevel.EXACT
    # The engine has the planned configuration.
    plan.apply(yes=True)
    found = articles.info().vectors[""].quantization
    assert found.codes_only == plan.target.codes_only


def test_an_unsupported_request_is_refused_with_an_alternative(articles: Collection) -> None:
    for accept in ("exact", "differs", "client"):
        with pytest.raises(UnsupportedError, match="edge does not support scalar:bits=6") as caught:
            articles.plan("scalar:bits=6", accept=accept)
        assert caught.value.hint


def test_native_quantization_is_preferred_to_client_side_codes(articles: Collection) -> None:
    plan = articles.plan("binary", accept="client")
    assert all(step.symbol is not Symbol.CLIENT for step in plan.steps)


def test_client_side_codes_are_offered_and_used_only_if_accepted(
    address: str, database: Database, articles: Collection
) -> None:
    database._store.close()
    with qa.open(address, disabled=["native-quantization"]) as without:
        collection = without["articles"]
        for accept in ("exact", "differs"):
            with pytest.raises(UnsupportedError, match="disabled by the user") as caught:
                collection.plan("binary", accept=accept)
            assert "accept='client'" in str(caught.value)
        with pytest.raises(UnsupportedError) as caught:
            collection.plan("product", accept="client")
        assert "accept='client'" not in str(caught.value), "this suggestion would be refused"
        plan = collection.plan("binary:rescore=4", accept="client")
        assert [step.symbol for step in plan.steps] == [Symbol.CLIENT] * 2
        assert plan.disabled == ("native-quantization",)


@pytest.mark.parametrize("accept", ["", "exactly", "differ", None])
def test_an_unknown_accept_is_refused(articles: Collection, accept: Any) -> None:
    with pytest.raises(SpecError, match="accept") as caught:
        articles.plan("binary", accept=accept)
    assert "exact, differs, client" in str(caught.value)


@pytest.mark.parametrize("text", ["binray", "binary:bits=3", "scalar:query_bits=4", "", "scalar:x"])
def test_an_invalid_quantization_is_refused(articles: Collection, text: str) -> None:
    with pytest.raises(SpecError):
        articles.plan(text)
