"""``strategy``: in place, or by a copy and an alias; what a store cannot do is refused."""

from __future__ import annotations

import pytest

import qadapt as qa
from qadapt.api import Collection
from qadapt.errors import SpecError, UnsupportedError
from qadapt.model import CollectionInfo, Quantization, Step, Symbol
from qadapt.planning.planner import make_plan
from qadapt.stores.base import Store


def test_a_store_without_that_way_says_so(articles: Collection) -> None:
    with pytest.raises(UnsupportedError, match="in place alone"):
        articles.plan("binary", strategy="alias")
    assert articles.plan("binary", strategy="in-place").strategy == "in-place"


def test_an_unknown_strategy_names_the_nearest(articles: Collection) -> None:
    with pytest.raises(SpecError, match="alais"):
        articles.plan("binary", strategy="alais")  # type: ignore[arg-type]


def test_a_plan_keeps_it_in_its_document(articles: Collection) -> None:
    plan = articles.plan("binary", strategy="in-place")
    assert qa.Plan.from_json(plan.to_json()).strategy == "in-place"


def test_a_copy_is_not_done_in_place(fake: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store = fake

    def copies(info: CollectionInfo, vector: str, wanted: Quantization) -> list[Step]:
        request = {"op": "fake.set", "to": str(wanted)}
        return [Step(Symbol.RECREATE, "copy it", "flat codes are fixed", request, None)]

    monkeypatch.setattr(store, "steps", copies)
    monkeypatch.setattr(store, "alias_steps", copies)
    with pytest.raises(UnsupportedError, match="flat codes are fixed") as refused:
        make_plan(store, "articles", "binary", strategy="in-place")
    assert "alias" in str(refused.value.hint)
    for strategy in (None, "alias"):
        plan = make_plan(store, "articles", "binary", strategy=strategy)
        assert plan.steps[0].symbol is Symbol.RECREATE
        assert plan.strategy == strategy
