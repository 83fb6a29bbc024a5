"""A plan is refused if it is stale, or without required confirmation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from plan_helpers import python

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.errors import ConsentRequiredError, NotFoundError, PlanStaleError
from qadapt.testing import Sample


def test_a_plan_is_stale_when_another_plan_was_applied(articles: Collection) -> None:
    early = articles.plan("scalar")
    articles.plan("binary").apply(yes=True)
    with pytest.raises(PlanStaleError, match="changed since") as caught:
        early.apply(yes=True)
    assert caught.value.exit_code == 4
    assert articles.info().vectors[""].quantization.kind is qa.Kind.BINARY
    assert len(qa.history()) == 1, "a refused plan creates no change"


def test_a_plan_is_stale_when_another_process_changed_it(
    address: str, database: Database, articles: Collection
) -> None:
    early = articles.plan("scalar")
    database._store.close()
    program = (
        "import sys, qadapt as qa\n"
        "with qa.open(sys.argv[1]) as db:\n"
        "    print(db['articles'].plan('binary').apply(yes=True).state)\n"
    )
    assert python(program, address) == "applied\n"
    with pytest.raises(PlanStaleError):
        early.apply(yes=True)


def test_a_plan_is_stale_when_only_the_rescoring_changed(articles: Collection) -> None:
    articles.plan("binary:rescore=4").apply(yes=True)
    early = articles.plan("scalar")
    articles.plan("binary:rescore=8").apply(yes=True)
    with pytest.raises(PlanStaleError):
        early.apply(yes=True)


def test_rows_written_since_do_not_make_a_plan_stale(
    articles: Collection, sample: Sample, recall: Callable[..., float]
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


def test_without_confirmation_nothing_is_changed_and_steps_are_listed(
    articles: Collection, rows_of: Callable[[Collection], Any], recall: Callable[..., float]
) -> None:
    before, rows = articles.info(), rows_of(articles)
    plan = articles.plan("scalar:rescore=4")
    assert plan.needs_consent
    with pytest.raises(ConsentRequiredError) as caught:
        plan.apply()
    assert caught.value.exit_code == 4
    for step in plan.steps:
        assert (step.action in str(caught.value)) == step.needs_consent
    assert "searches and writes are blocked" in str(caught.value)
    assert "yes=True" in str(caught.value)
    assert articles.info() == before
    assert rows_of(articles) == rows
    assert qa.history() == []


def test_an_irreversible_step_needs_confirmation(fake: Any) -> None:
    fake.reverse = None
    plan = Database(fake)["articles"].plan("binary")
    with pytest.raises(ConsentRequiredError, match="cannot be rolled back"):
        plan.apply()
    assert fake.requests == []
    assert plan.apply(yes=True).state == "applied"
