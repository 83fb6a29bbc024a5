"""``strategy``: in place, or by a copy and an alias; unsupported strategies are refused."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import qadapt as qa
from qadapt.api import Collection
from qadapt.errors import ApplyError, GuardMissedError, SpecError, StoreError, UnsupportedError
from qadapt.evaluation.proof import Proof
from qadapt.local.settings import read_settings
from qadapt.model import CollectionInfo, Estimate, State, Status, Step, Symbol
from qadapt.planning import journal
from qadapt.planning.apply import apply_plan
from qadapt.planning.guard_result import GuardResult
from qadapt.planning.plan_options import PlanOptions
from qadapt.planning.plan_text import plan_text
from qadapt.planning.planner import make_plan
from qadapt.stores.base import Store, silent
from qadapt.stores.change import ChangePlan, ChangeRequest


def test_a_store_without_the_strategy_is_refused(articles: Collection) -> None:
    with pytest.raises(UnsupportedError, match="only in place"):
        articles.plan("binary", strategy="alias")
    assert articles.plan("binary", strategy="in-place").strategy == "in-place"


def test_an_unknown_strategy_suggests_the_nearest_name(articles: Collection) -> None:
    with pytest.raises(SpecError, match="alais"):
        articles.plan("binary", strategy="alais")  # type: ignore[arg-type]


def test_a_plan_document_contains_the_strategy(articles: Collection) -> None:
    plan = articles.plan("binary", strategy="in-place")
    assert qa.Plan.from_json(plan.to_json()).strategy == "in-place"


def test_an_in_place_request_refuses_a_copy(fake: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store = fake

    def copies(request: ChangeRequest) -> ChangePlan:
        made = {"op": "fake.set", "to": str(request.codes)}
        return ChangePlan((Step(Symbol.RECREATE, "copy it", "flat codes are fixed", made),))

    monkeypatch.setattr(store, "plan_change", copies)
    with pytest.raises(UnsupportedError, match="flat codes are fixed") as refused:
        make_plan(store, "articles", "binary", PlanOptions(strategy="in-place"))
    assert "alias" in str(refused.value.hint)
    for strategy in (None, "alias"):
        plan = make_plan(store, "articles", "binary", PlanOptions(strategy=strategy))
        assert plan.steps[0].symbol is Symbol.RECREATE
        assert plan.strategy == strategy


# -- additional vectors --------------------------------------------------------------


@pytest.fixture
def vector_store(fake: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A store with two vectors: a step creates and quantizes ``b``, and ``""`` does not change."""
    info = fake.info

    def both(collection: str) -> CollectionInfo:
        found = info(collection)
        old = found.vectors[""]
        stays = old.replace(quantization=qa.none(), status=Status(State.ABSENT))
        vectors = {"": stays}
        if fake.quantization != qa.none():
            vectors["b"] = old.replace(name="b")
        return found.replace(vectors=vectors)

    def plan(request: ChangeRequest) -> ChangePlan:
        assert request.strategy == "vector"
        wanted = request.codes
        assert wanted is not None
        assert wanted.rescore is None
        if wanted == qa.none():
            return ChangePlan()
        made = {"op": "fake.set", "to": str(wanted)}
        step = Step(Symbol.BACKGROUND, "add b", "it is fixed", made)
        return ChangePlan((step,), new_vector="b")

    monkeypatch.setattr(fake, "info", both)
    monkeypatch.setattr(fake, "plan_change", plan)
    return fake


def test_a_store_without_additional_vectors_is_refused(tmp_path: Path) -> None:
    with qa.open(f"sqlite-vec:{tmp_path / 'rows.db'}") as database:
        articles = database.create("articles", dim=8)
        articles.write(qa.Batch([1], {"": [[1.0] * 8]}))
        with pytest.raises(UnsupportedError, match="does not add a vector"):
            articles.plan("binary", strategy="vector")


def test_the_new_vector_is_waited_for_and_saved(vector_store: Any) -> None:
    plan = make_plan(vector_store, "articles", "binary:rescore=4", PlanOptions(strategy="vector"))
    assert (plan.vector, plan.new_vector, plan.changed_vector) == ("", "b", "b")
    assert type(plan).from_json(plan.to_json()) == plan
    assert plan.needs_consent
    text = " ".join(plan_text(plan).split())
    assert "the unnamed vector is kept; search the vector 'b'" in text
    done = apply_plan(vector_store, plan, yes=True, progress=silent, guard=None, timeout=5)
    assert (done.state, done.vector) == ("applied", "b")
    assert done.status is not None
    assert done.status.state is State.ACTIVE
    settings = read_settings(vector_store, "articles")
    assert settings.of("b").rescore == qa.Rescore(4)
    assert settings.of("").rescore is None


def measured(value: float) -> tuple[GuardResult, list[Any]]:
    return GuardResult(value, "float32", Proof()), []


def test_a_guard_compares_the_old_vector_and_the_new(
    vector_store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def recall(store: Store, collection: str, name: str, *_: Any) -> Any:
        asked.append(name)
        return measured(1.0)

    monkeypatch.setattr("qadapt.planning.guard.guard_recall", recall)
    plan = make_plan(vector_store, "articles", "binary", PlanOptions(strategy="vector"))
    guard = qa.Guard(0.5, queries=2)
    apply_plan(vector_store, plan, yes=True, progress=silent, guard=guard, timeout=5)
    assert asked == ["", "b"]


def test_a_missed_guard_of_an_irreversible_change_keeps_it(
    vector_store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qadapt.planning.guard.guard_recall", lambda *_: measured(0.25))
    guard = qa.Guard(0.5, queries=2)
    plan = make_plan(
        vector_store, "articles", "binary", PlanOptions(strategy="vector", guard=guard)
    )
    assert "else apply fails and the change is kept" in " ".join(plan_text(plan).split())
    with pytest.raises(GuardMissedError, match="cannot be rolled back and is kept"):
        apply_plan(vector_store, plan, yes=True, progress=silent, guard=None, timeout=5)
    assert journal.find(plan.id).state == "applied"


def test_a_failed_irreversible_change_offers_no_undo(vector_store: Any) -> None:
    plan = make_plan(vector_store, "articles", "binary", PlanOptions(strategy="vector"))
    vector_store.failing["fake.set"] = StoreError("it broke")
    with pytest.raises(ApplyError, match="it broke") as failed:
        apply_plan(vector_store, plan, yes=True, progress=silent, guard=None, timeout=5)
    assert "apply again" in str(failed.value.hint)
    assert "undo" not in str(failed.value.hint)
    vector_store.failing.clear()
    again = make_plan(vector_store, "articles", "binary", PlanOptions(strategy="vector"))
    done = apply_plan(vector_store, again, yes=True, progress=silent, guard=None, timeout=5)
    assert done.id == plan.id


def test_an_existing_configuration_adds_no_vector(vector_store: Any) -> None:
    plan = make_plan(vector_store, "articles", "none", PlanOptions(strategy="vector"))
    assert plan.new_vector is None
    assert not plan.changes


def test_a_new_vector_keeps_its_metric(vector_store: Any) -> None:
    with pytest.raises(UnsupportedError, match="same metric and datatype"):
        make_plan(
            vector_store, "articles", "binary", PlanOptions(metric="cosine", strategy="vector")
        )


def test_an_in_place_refusal_suggests_the_strategy(
    fake: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def copies(request: ChangeRequest) -> ChangePlan:
        return ChangePlan((Step(Symbol.RECREATE, "copy it", "fixed", {"op": "fake.set"}),))

    monkeypatch.setattr(fake, "plan_change", copies)
    for has in (False, True):
        traits = replace(fake.traits, adds_vectors=has)
        monkeypatch.setattr(type(fake), "profile", replace(fake.profile, traits=traits))
        with pytest.raises(UnsupportedError) as refused:
            make_plan(fake, "articles", "binary", PlanOptions(strategy="in-place"))
        assert ("strategy='vector'" in str(refused.value.hint)) is has


def test_a_plan_names_its_vector_and_what_it_blocks(articles: Collection) -> None:
    plan = articles.plan("scalar")
    waiting = replace(plan.steps[0], estimate=Estimate(stops="searches"))
    text = plan_text(replace(plan, steps=(waiting,)))
    assert "blocks" in text
    assert "vector ''" not in text
    free = replace(plan.steps[0], estimate=Estimate(stops="nothing"))
    text = plan_text(replace(plan, vector="title", steps=(free,)))
    assert "vector 'title', " in text
    assert not re.search(r"^ +blocks", text, re.MULTILINE)
