"""Recall under filters: ground truth over the rows that match, one figure per filter or value."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import qadapt as qa
from qadapt.api import Collection
from qadapt.errors import InputError, SpecError
from qadapt.evaluation import subsets
from qadapt.evaluation.documents import Evaluation, Verification
from qadapt.testing import clustered

ROWS, DIM, K = 600, 32, 10
# Tenant a has 300 rows, b 200, c 95 and tiny 5.
TENANTS = ["a"] * 300 + ["b"] * 200 + ["c"] * 95 + ["tiny"] * 5


def rows_of(tenant: str) -> list[int]:
    return [at for at, name in enumerate(TENANTS) if name == tenant]


@pytest.fixture
def database(live: Callable[[str], str]) -> Iterator[qa.Database]:
    with qa.open(live("edge")) as opened:
        yield opened


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    return clustered(ROWS, DIM, queries=60).rows


@pytest.fixture
def docs(database: qa.Database, vectors: np.ndarray) -> Collection:
    made = database.create("docs", dim=DIM)
    payloads = [
        {"tenant": name, "year": 2000 + at % 5, **({"tag": ["x", "y"]} if at % 2 else {})}
        for at, name in enumerate(TENANTS)
    ]
    made.write(qa.Batch(range(ROWS), {"": vectors}, payloads))
    return made


def exact(vectors: np.ndarray, queries: np.ndarray, rows: list[int]) -> list[list[int]]:
    """The nearest rows among some rows, by definition in float64."""
    wide = vectors[rows].astype(np.float64)
    wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    asked = queries.astype(np.float64)
    order = np.argsort(-(asked @ wide.T), axis=1)[:, :K]
    return [[rows[at] for at in row] for row in order]


def test_the_ground_truth_has_only_rows_that_match(docs: Collection, vectors: np.ndarray) -> None:
    from qadapt.evaluation.ground_truth import exact_neighbors, queries_of

    store, vector = docs._store, docs.info().vectors[""].vector
    asked = queries_of(store, "docs", "", vector, vectors[:20])
    known = exact_neighbors(
        store, "docs", "", vector, asked, K, lambda _: None, filter={"tenant": "b"}
    )
    assert known.ids == exact(vectors, vectors[:20], rows_of("b"))
    assert known.about.total_rows == known.about.rows == 200
    assert known.about.filter == '{"tenant": "b"}'
    drawn = queries_of(store, "docs", "", vector, 30, filter={"tenant": "b"})
    assert len(drawn) == 30 and set(drawn.own) <= set(rows_of("b"))


def test_the_recall_of_a_lossy_setting_under_a_filter_is_that_of_a_reference(
    docs: Collection, vectors: np.ndarray
) -> None:
    """Binary codes without rescoring; the search and its reference both see tenant b only."""
    docs.plan("binary:rescore=off").apply(yes=True)
    queries = clustered(ROWS, DIM, queries=60).queries
    found = docs.verify(k=K, queries=queries, filter={"tenant": "b"})
    hits = docs.search(queries, k=K, filter={"tenant": "b"})
    true = exact(vectors, queries, rows_of("b"))
    expected = np.mean(
        [len(set(h) & set(t)) / K for h, t in zip(hits.ids.tolist(), true, strict=True)]
    )
    assert found.recall.value == pytest.approx(expected) and expected < 1
    assert found.recall_no_params is not None
    assert found.truth.total_rows == 200 and found.truth.filter == '{"tenant": "b"}'
    assert {each.filter for each in found.results} == {'{"tenant": "b"}'}
    assert Verification.from_json(found.to_json()) == found


def test_each_value_of_a_field_is_measured_and_the_worst_comes_first(docs: Collection) -> None:
    docs.plan("binary:rescore=off").apply(yes=True)
    found = docs.verify(k=K, queries=60, by="tenant")
    measured = {each.filter: each for each in found.results if each.setting == "live"}
    assert set(measured) == {json.dumps({"tenant": t}) for t in ("a", "b", "c", "tiny")}
    assert {each.filter: each.total_rows for each in found.truths} == {
        '{"tenant": "a"}': 300,
        '{"tenant": "b"}': 200,
        '{"tenant": "c"}': 95,
        '{"tenant": "tiny"}': 5,
    }
    proven = [each for name, each in measured.items() if "tiny" not in name]
    lowest = min(each.recall.value for each in proven if each.recall)
    assert found.recall.value == lowest < 1
    first = found.results[0]
    assert first.recall is not None and first.recall.value == lowest
    assert found.results[-1].filter == '{"tenant": "tiny"}'  # proves nothing: last
    assert any("tiny" in note and "proves nothing" in note for note in found.notes)
    assert (found.by, found.by_limit, found.proof.level) == ("tenant", 10, "sufficient")
    text = str(found)
    assert "Filter" in text and '{"tenant": "c"}' in text and "Filter" in found._repr_html_()


def test_the_most_frequent_values_are_measured_up_to_the_limit(docs: Collection) -> None:
    found = docs.verify(k=K, queries=20, by="tenant", by_limit=2)
    assert {each.filter for each in found.truths} == {'{"tenant": "a"}', '{"tenant": "b"}'}
    assert "the 2 most frequent of 4 values of tenant were measured (by_limit, --by-limit)" in (
        found.notes
    )


def test_values_of_lists_and_rows_without_the_field(docs: Collection) -> None:
    found = docs.verify(k=K, queries=20, by="tag")
    assert {each.filter: each.total_rows for each in found.truths} == {
        '{"tag": "x"}': 300,
        '{"tag": "y"}': 300,
    }
    assert "300 of 600 rows have no value of tag and were not measured" in found.notes
    with pytest.raises(InputError, match="no row of 'docs' has a value of 'nothing'"):
        docs.verify(by="nothing")


def test_a_list_of_filters_and_a_filter_of_all_values(docs: Collection) -> None:
    several = docs.verify(k=K, queries=20, filter=[{"year": 2001}, {"tag": {"missing": True}}])
    assert {each.filter for each in several.truths} == {
        '{"year": 2001}',
        '{"tag": {"missing": true}}',
    }
    both = docs.verify(k=K, queries=20, filter={"year": {"gte": 2003}}, by="tenant", by_limit=1)
    (about,) = both.truths
    assert about.total_rows == 120
    assert json.loads(about.filter) == {"all": [{"year": {"gte": 2003}}, {"tenant": "a"}]}


def test_k_larger_than_the_matching_rows_proves_nothing(docs: Collection) -> None:
    found = docs.verify(k=K, queries=20, filter={"tenant": "tiny"})
    assert found.proof.level == "none" and "can find (4 rows at most)" in found.proof.reason
    assert found.recall.value == 1


def test_a_filter_that_matches_no_row_is_an_error(docs: Collection) -> None:
    with pytest.raises(InputError, match='"none"}, so nothing'):
        docs.verify(filter={"tenant": "none"})


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"filter": []}, InputError, "list of filters is empty"),
        ({"filter": [{"a": 1}], "by": "tenant"}, InputError, "conflicts with by"),
        ({"by": ""}, SpecError, "name of a payload field"),
        ({"by": "tenant", "by_limit": 0}, InputError, "by_limit"),
        ({"by_limit": 3}, InputError, "without by"),
        ({"filter": {"exists": "a"}}, SpecError, "is an operator"),
        ({"by": "@"}, InputError, "no partitions or tenants"),
    ],
)
def test_invalid_options_are_refused(
    docs: Collection, options: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        docs.verify(**options)


def test_a_filter_of_the_database_that_loses_rows_is_reported(
    docs: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ground truth cannot show rows that the filter does not find."""
    whole = type(docs._store).count

    def short(store: Any, collection: str, filter: Any = None) -> int:
        return whole(store, collection, filter) - (filter is not None)

    monkeypatch.setattr(type(docs._store), "count", short)
    found = docs.verify(k=K, queries=20, filter={"tenant": "b"})
    lost = "the filter of the database finds 199 rows, and the payloads of 200 rows match"
    assert any(lost in note for note in found.notes)


def test_values_of_a_large_collection_come_from_a_sample(
    docs: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subsets, "SCANNED", 400)
    found = docs.verify(k=K, queries=20, by="tenant", by_limit=2)
    assert any("the frequencies are those of 400 sampled rows" in note for note in found.notes)
    assert {each.total_rows for each in found.truths} == {300, 200}


def test_candidates_are_measured_under_each_filter(docs: Collection) -> None:
    settings = ("binary:rescore=off", "none")
    found = docs.evaluate(*settings, k=K, queries=30, by="tenant", by_limit=2, concurrency=())
    copies = [each for each in found.results if each.where == "copy"]
    assert [(each.filter, each.setting) for each in copies].count(
        ('{"tenant": "a"}', "binary:rescore=off")
    ) == 1
    assert len(copies) == 4 and all(each.recall is not None for each in copies)
    lossy = [each for each in copies if each.setting == "binary:rescore=off"]
    lowest = min(each.recall.value for each in lossy if each.recall)
    result = found.result("binary:rescore=off")
    assert result.recall is not None and result.recall.value == lowest < 1
    assert found.results[0].filter == result.filter
    plain = [each.recall.value for each in copies if each.setting == "none" and each.recall]
    assert plain == [1, 1]
    assert Evaluation.from_json(found.to_json()) == found


def test_a_copy_of_a_sample_has_its_own_ground_truth(docs: Collection) -> None:
    found = docs.evaluate(
        "none", k=5, queries=30, filter={"tenant": "a"}, copy_rows=200, concurrency=(), live=False
    )
    assert found.copy_truth is not None and 0 < found.copy_truth.total_rows < 200
    assert found.truth.total_rows == 300
    assert found.result("none").recall == qa_figure(1.0, found)


def qa_figure(value: float, found: Evaluation) -> Any:
    recall = found.result("none").recall
    assert recall is not None and recall.value == value
    return recall


def test_a_native_filter_is_measured_on_the_live_collection(docs: Collection) -> None:
    import qdrant_edge as edge

    own = edge.Filter(must=[edge.FieldCondition(key="tenant", match=edge.MatchValue("b"))])
    found = docs.evaluate(k=K, queries=20, filter=own, concurrency=())
    assert found.truth.total_rows == 200
    with pytest.raises(InputError, match="cannot be searched with a native filter"):
        docs.evaluate("scalar", k=K, queries=20, filter=own, concurrency=())


def test_predictions_under_a_filter_are_near_the_engine(docs: Collection) -> None:
    settings = ("binary:rescore=off", "scalar:rescore=off")
    said = docs.simulate(*settings, k=K, queries=60, by="tenant", by_limit=2)
    seen = docs.evaluate(
        *settings, k=K, queries=60, by="tenant", by_limit=2, concurrency=(), live=False
    )
    measured = {(each.setting, each.filter): each.recall for each in seen.results}
    assert len(said.results) == len(measured) == 4
    for each in said.results:
        found = measured[each.setting, each.filter]
        assert each.recall is not None and found is not None
        assert abs(each.recall.value - found.value) < 0.05, each.setting
    assert said.result("binary:rescore=off") == said.results[0]
    assert any("learned from the rows that match" in note for note in said.notes)


def test_advice_meets_the_target_for_each_tenant(docs: Collection) -> None:
    target = qa.Target(0.9, k=K)
    found = docs.advise(target, queries=60, by="tenant", by_limit=2, codes=["scalar"], timeout=60)
    assert found.best is not None and found.confirmed
    rows = [each for each in found.results if each.setting == found.best.setting]
    both = {each.filter for each in rows if each.where == "copy"}
    assert both == {'{"tenant": "a"}', '{"tenant": "b"}'}
    assert min(each.recall.value for each in rows if each.recall) >= 0.9
    from qadapt.model.spec import parse_spec

    guard = parse_spec(found.spec).stores[0].collections["docs"].guard
    assert guard is not None and (guard.by, guard.by_limit, guard.recall) == ("tenant", 2, 0.9)
