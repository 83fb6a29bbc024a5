"""A guard judges the lowest recall of its filters."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

import qadapt as qa
from qadapt.api import Collection
from qadapt.errors import GuardMissedError, SpecError
from qadapt.model.spec import parse_spec

ROWS, DIM = 600, 32


@pytest.fixture
def docs(live: Callable[[str], str]) -> Iterator[Collection]:
    """Tenant `easy` has well separated vectors; those of `hard` differ in magnitudes only.

    Binary codes without rescoring find the neighbors of `easy`, and not those of `hard`.
    """
    random = np.random.default_rng(0)
    easy = np.repeat(np.where(random.random((50, DIM)) < 0.5, -1.0, 1.0), 6, axis=0)
    easy = easy + 0.01 * random.standard_normal(easy.shape)
    hard = 1 + 0.3 * random.random((300, DIM))
    rows = np.concatenate([easy, hard]).astype(np.float32)
    with qa.open(live("edge")) as opened:
        made = opened.create("docs", dim=DIM, metric="cosine")
        tenants = [{"tenant": "easy" if at < 300 else "hard"} for at in range(ROWS)]
        made.write(qa.Batch(range(ROWS), {"": rows}, tenants))
        yield made


def test_the_worst_tenant_is_judged(docs: Collection) -> None:
    easy = qa.Guard(0.9, k=5, queries=60, filter={"tenant": "easy"})
    plan = docs.plan("binary:rescore=off", guard=easy)
    change = plan.apply(yes=True)
    assert change.state == "applied" and change.outcome.recall_after == 1
    change.undo()
    plan = docs.plan("binary:rescore=off", guard=qa.Guard(0.9, k=5, queries=60, by="tenant"))
    with pytest.raises(GuardMissedError) as caught:
        plan.apply(yes=True)
    assert ' for {"tenant": "hard"}, below the guard' in str(caught.value)
    assert docs.info().vectors[""].quantization.kind == qa.Kind.NONE


def test_plans_and_specs_keep_the_filters(docs: Collection) -> None:
    guard = qa.Guard(0.9, filter={"exists": {"eq": "a"}, "year": {"gte": 1}}, by="tenant")
    plan = docs.plan("scalar", guard=guard)
    assert qa.Plan.from_json(plan.to_json()).guard == guard
    text = " ".join(str(plan).split())
    assert 'for clients without search parameters with {"all": [' in text
    assert "and each value of tenant, else the change is rolled back" in text
    spec = parse_spec(
        "store: 'edge:./data'\n"
        "collections:\n"
        "  docs:\n"
        "    quantization: scalar\n"
        "    guard: {recall@10: 0.9, filter: {topic: art}, by: tenant, by_limit: 3}\n"
    )
    found = spec.stores[0].collections["docs"].guard
    assert found == qa.Guard(0.9, filter={"topic": "art"}, by="tenant", by_limit=3)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"filter": {"exists": "a"}}, "is an operator"),
        ({"filter": object()}, "cannot be saved in a plan"),
        ({"filter": []}, "list of filters"),
        ({"filter": [{"a": 1}], "by": "b"}, "cannot have `by`"),
        ({"by": ""}, "must be a payload field"),
        ({"by_limit": 0}, "by_limit"),
    ],
)
def test_invalid_filters_of_a_guard_are_refused(options: dict[str, object], says: str) -> None:
    with pytest.raises(SpecError, match=says):
        qa.Guard(0.9, **options)  # type: ignore[arg-type]
