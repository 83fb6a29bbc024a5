"""A guard measures recall on the user's vectors, and a change that misses it is rolled back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qadapt as qa
from qadapt.api import Collection
from qadapt.errors import (
    ApplyError,
    DimensionError,
    GuardMissedError,
    InputError,
    NonFiniteError,
    PlanError,
    PlanStaleError,
    SpecError,
    ZeroVectorError,
)
from qadapt.evaluation.proof import Proof
from qadapt.planning import journal
from qadapt.planning.guard_result import GuardResult
from qadapt.stores.change import ChangeRequest
from qadapt.testing import Sample

Recall = Callable[..., float]
OFF = "binary:rescore=off"


def state_of(collection: Collection) -> str:
    return str(collection.info().vectors[""].status.state)


def test_recall_is_measured_before_and_after(
    articles: Collection, sample: Sample, recall: Recall
) -> None:
    guard = qa.Guard(0.5, queries=sample.queries, clients="configured")
    change = articles.plan("binary:rescore=2").apply(yes=True, guard=guard)
    assert change.state == "applied"
    assert change.recall_before == pytest.approx(1, abs=0.01)
    assert change.recall_after == pytest.approx(recall(articles), abs=1e-9)
    assert change.recall_after < change.recall_before
    (kept,) = qa.history()
    assert (kept.recall_before, kept.recall_after) == (change.recall_before, change.recall_after)


@pytest.mark.parametrize("where", ["plan", "apply"])
def test_a_missed_guard_rolls_the_change_back(
    articles: Collection,
    sample: Sample,
    recall: Recall,
    rows_of: Callable[[Collection], Any],
    where: str,
) -> None:
    before, rows = articles.info(), rows_of(articles)
    guard = qa.Guard(0.99, k=10, queries=sample.queries)
    with pytest.raises(GuardMissedError) as caught:
        if where == "plan":
            articles.plan(OFF, guard=guard).apply(yes=True)
        else:
            articles.plan(OFF).apply(yes=True, guard=guard)
    assert caught.value.exit_code == 3
    (change,) = qa.history()
    assert change.state == "undone"
    assert change.recall_after < 0.9
    for figure in (f"{change.recall_after:.4f}", "0.99", f"{change.recall_before:.4f}"):
        assert figure in str(caught.value)
    assert "rolled back" in str(caught.value)
    now = articles.info()
    assert now.fingerprint == before.fingerprint
    assert now.vectors[""].status.state is qa.State.ABSENT
    assert rows_of(articles) == rows
    assert recall(articles) == pytest.approx(1, abs=0.01)
    names = [item["event"] for item in journal.find(change.id).events()]
    assert names[-2:] == ["step reversed", "undone"] or names[-1] == "undone"
    assert "applied" not in names
    with pytest.raises(PlanError, match="already undone"):
        change.undo()


def test_the_guard_measures_searches_with_rescoring(articles: Collection, sample: Sample) -> None:
    """The same codes pass once the rescoring is part of the change."""
    guard = qa.Guard(0.97, queries=sample.queries, clients="configured")
    with pytest.raises(GuardMissedError):
        articles.plan(OFF).apply(yes=True, guard=guard)
    change = articles.plan("binary:rescore=20").apply(yes=True, guard=guard)
    assert change.recall_after >= 0.97


def test_clients_without_parameters_are_judged_by_default(
    articles: Collection, sample: Sample
) -> None:
    plan = articles.plan("binary:rescore=20")
    with pytest.raises(GuardMissedError) as caught:
        plan.apply(yes=True, guard=qa.Guard(0.97, queries=sample.queries))
    (missed,) = qa.history()
    measured = missed.outcome
    assert measured.recall_no_params < 0.9 < 0.97 <= measured.recall_after
    for figure in (measured.recall_no_params, measured.recall_after):
        assert f"{figure:.4f}" in caught.value.message
    assert "--guard-clients configured" in caught.value.hint
    assert f"qadapt client-params {articles._store.address} {articles.name}" in caught.value.hint
    guard = qa.Guard(0.97, queries=sample.queries, clients="configured")
    change = articles.plan("binary:rescore=20").apply(yes=True, guard=guard)
    assert change.outcome.recall_no_params == pytest.approx(measured.recall_no_params)
    assert plan.clients is not None and plan.clients.kept_in == "this machine"


def test_clients_without_parameters_have_the_recall_of_the_raw_engine(
    articles: Collection, sample: Sample
) -> None:
    articles.plan("binary:rescore=20").apply(yes=True)
    off = articles.search(sample.queries, k=10, rescore="off").ids.tolist()
    verified = articles.verify(queries=sample.queries)
    result = verified.result("live:rescore=off")
    assert verified.recall_no_params == result.recall == result.recall_no_params
    assert verified.recall.value > result.recall.value
    evaluated = articles.evaluate("binary:rescore=20", queries=sample.queries, concurrency=())
    assert all(each.recall_no_params.value < each.recall.value for each in evaluated.results), (
        "the copy too is searched with and without parameters"
    )
    assert off != articles.search(sample.queries, k=10).ids.tolist()


def test_the_lower_figure_is_judged_where_only_qadapt_searches_the_codes() -> None:
    """With client-side codes, clients without parameters search the original vectors."""
    measured = GuardResult(0.8, "", Proof(), 0.99)
    assert measured.judged(qa.Guard(0.9)) == 0.8
    assert GuardResult(0.99, "", Proof(), 0.8).judged(qa.Guard(0.9)) == 0.8
    assert GuardResult(0.99, "", Proof(), 0.8).judged(qa.Guard(0.9, clients="configured")) == 0.99


def test_unknown_clients_of_a_guard_are_refused() -> None:
    with pytest.raises(SpecError, match="any"):
        qa.Guard(0.9, clients="all")  # type: ignore[arg-type]


def test_a_guard_can_be_text(articles: Collection) -> None:
    plan = articles.plan("scalar", guard="recall@5>=90%")
    assert (plan.guard.recall, plan.guard.k, plan.guard.clients) == (0.9, 5, "any")
    assert plan.apply(yes=True).recall_after >= 0.9
    with pytest.raises(SpecError):
        articles.plan("scalar", guard="recall>0.9")


def test_queries_may_be_a_path(articles: Collection, sample: Sample, tmp_path: Path) -> None:
    path = tmp_path / "queries.npy"
    np.save(path, sample.queries)
    for given in (str(path), path):
        change = articles.plan("binary:rescore=20").apply(
            yes=True, guard=qa.Guard(0.5, queries=given, clients="configured")
        )
        assert change.recall_after is not None
        change.undo()


def test_a_query_path_is_absolute(
    articles: Collection, sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan is applied in another folder: its query file must still be found."""
    np.save(tmp_path / "queries.npy", sample.queries)
    monkeypatch.chdir(tmp_path)
    plan = articles.plan(
        "binary:rescore=20", guard=qa.Guard(0.5, queries="queries.npy", clients="configured")
    )
    text = plan.to_json()
    monkeypatch.chdir("/")
    assert articles._store is plan._store
    again = qa.Plan._of(qa.Plan.from_json(text), articles._store)
    assert again.apply(yes=True).recall_after is not None


def test_queries_in_an_array_are_kept_with_the_change(articles: Collection, sample: Sample) -> None:
    guard = qa.Guard(0.5, queries=sample.queries.astype(np.float64), clients="configured")
    change = articles.plan("binary:rescore=20").apply(yes=True, guard=guard)
    kept = journal.find(change.id).plan.guard.queries
    assert Path(kept).parent == journal.find(change.id).folder
    np.testing.assert_array_equal(np.load(kept), sample.queries)


# -- invalid queries ---------------------------------------------------------------------


def bad(name: str, folder: Path, dim: int) -> tuple[Any, type[Exception]]:
    np.savez(folder / "queries.npz", q=np.ones((3, dim)))
    np.save(folder / "words.npy", np.array(["a", "b"]))
    (folder / "torn.npy").write_bytes(b"\x93NUMPY")
    nan = np.ones((3, dim))
    nan[1, 2] = np.nan
    given: dict[str, tuple[Any, type[Exception]]] = {
        "no such file": (str(folder / "missing.npy"), InputError),
        "npz": (str(folder / "queries.npz"), InputError),
        "a file of words": (str(folder / "words.npy"), InputError),
        "a torn file": (str(folder / "torn.npy"), InputError),
        "wrong dimension": (np.ones((3, dim + 1)), DimensionError),
        "nan": (nan, NonFiniteError),
        "zero vectors": (np.zeros((3, dim)), ZeroVectorError),
        "words": (["a", "b"], InputError),
        "ragged": ([[1.0, 2.0], [1.0]], InputError),
        "none at all": (np.ones((0, dim)), InputError),
        "a path to an array of no rows": (str(folder / "empty.npy"), InputError),
    }
    np.save(folder / "empty.npy", np.ones((0, dim)))
    return given[name]


@pytest.mark.parametrize(
    "name",
    [
        "no such file",
        "npz",
        "a file of words",
        "a torn file",
        "wrong dimension",
        "nan",
        "zero vectors",
        "words",
        "ragged",
        "none at all",
        "a path to an array of no rows",
    ],
)
def test_bad_queries_are_refused_before_anything_is_done(
    articles: Collection, tmp_path: Path, name: str
) -> None:
    before = articles.info()
    queries, error = bad(name, tmp_path, before.vectors[""].dim)
    with pytest.raises(error) as caught:
        articles.plan("binary").apply(yes=True, guard=qa.Guard(0.5, queries=queries))
    assert isinstance(caught.value, InputError)
    assert articles.info() == before
    assert all(change.state == "undone" for change in qa.history()), "no change remains applied"
    if name in ("no such file", "zero vectors", "words"):  # a path, an array, a list
        assert articles.plan("binary").apply(yes=True).state == "applied", "and nothing blocks it"


@pytest.mark.parametrize("recall", [0, -0.1, 1.5, "0.9", None])
def test_an_invalid_guard_is_refused(recall: Any) -> None:
    with pytest.raises(SpecError):
        qa.Guard(recall)


# -- undo ----------------------------------------------------------------------------------------


def test_a_block_that_fails_undoes_the_change(articles: Collection) -> None:
    with pytest.raises(RuntimeError), articles.plan("binary").apply(yes=True) as change:
        assert state_of(articles) == "active"
        raise RuntimeError
    assert change.state == "undone"
    assert state_of(articles) == "absent"
    with articles.plan("binary").apply(yes=True) as change:
        pass
    assert change.state == "applied"
    assert state_of(articles) == "active"


def test_a_failed_block_after_an_undo_changes_nothing(articles: Collection) -> None:
    with pytest.raises(RuntimeError), articles.plan("binary").apply(yes=True) as change:
        change.undo()
        raise RuntimeError
    assert change.state == "undone"


def test_history_is_newest_first_and_undo_takes_the_newest(
    articles: Collection, database: Any
) -> None:
    first = articles.plan("scalar").apply(yes=True)
    second = articles.plan("binary").apply(yes=True)
    assert [each.id for each in qa.history()] == [second.id, first.id]
    assert [each.outcome.requested for each in qa.history()] == ["binary", "scalar"]
    with pytest.raises(PlanError, match="newer change") as caught:
        first.undo()
    assert second.id in str(caught.value)
    database._store.close()  # one process or connection at a time may open the folder
    assert qa.undo().id == second.id
    assert [each.state for each in qa.history()] == ["undone", "applied"]
    assert qa.undo(first.id[:-1]).id == first.id
    assert state_of(articles) == "absent"
    with pytest.raises(qa.QadaptError, match="no change to undo"):
        qa.undo()
    with pytest.raises(PlanError, match="already undone"):
        first.undo()


def test_undo_restores_the_earlier_quantization(articles: Collection, sample: Sample) -> None:
    articles.plan("scalar:rescore=3").apply(yes=True)
    before = articles.info()
    articles.plan("binary:rescore=8").apply(yes=True).undo()
    now = articles.info()
    assert now.fingerprint == before.fingerprint
    assert now.vectors[""].quantization == before.vectors[""].quantization
    assert now.vectors[""].status.state is qa.State.ACTIVE
    assert articles.search(sample.queries).how.oversampling == 3


def test_undo_is_refused_after_a_change_by_another_client(articles: Collection) -> None:
    change = articles.plan("scalar").apply(yes=True)
    store = articles._store
    # A change by another client, without a plan.
    (step, *_) = store.plan_change(ChangeRequest(store.inspect("articles"), "", qa.binary())).steps
    store.run("articles", step.request, lambda _: None, 60)
    with pytest.raises(PlanStaleError, match="by another client"):
        change.undo()
    assert qa.history()[0].state == "applied"
    assert articles.info().vectors[""].quantization.kind is qa.Kind.BINARY


def test_a_plan_can_be_applied_again_once_it_was_undone(
    articles: Collection, sample: Sample
) -> None:
    """And is measured anew: what a guard saw the first time is not taken for what it is now."""
    plan = articles.plan(
        "binary:rescore=2", guard=qa.Guard(0.3, queries=sample.queries, clients="configured")
    )
    assert plan.apply(yes=True).undo().state == "undone"
    # A guard that the codes miss, which was not measured the first time.
    strict = qa.Guard(0.999, queries=sample.queries)
    with pytest.raises(GuardMissedError):
        plan.apply(yes=True, guard=strict)
    assert plan.apply(yes=True).state == "applied"
    assert [each.state for each in qa.history()] == ["applied"]


def test_dropping_a_collection_removes_its_changes(
    database: Any, articles: Collection, sample: Sample
) -> None:
    """An unfinished change must not affect another collection of the same name."""

    def stop(progress: Any) -> None:
        if progress.stage == "rebuilding":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        articles.plan("binary:rescore=4").apply(yes=True, progress=stop)
    assert qa.history()[0].state == "interrupted"
    database.drop("articles")
    assert qa.history()[0].state == "undone"
    anew = database.create("articles", dim=sample.rows.shape[1])
    anew.write(qa.Batch(range(len(sample.rows)), {"": sample.rows}))
    plan = anew.plan("binary:rescore=4")
    assert plan.current == qa.none()
    assert not any("unfinished" in note for note in plan.notes)
    assert plan.apply(yes=True).id == plan.id


# -- steps that fail -----------------------------------------------------------------------------


def test_a_failed_step_can_be_completed_or_rolled_back(fake: Any) -> None:
    collection = qa.Database(fake)["articles"]
    fake.failing["fake.set"] = qa.errors.StoreError("no disk", hint="buy one")
    with pytest.raises(ApplyError, match="no disk") as caught:
        collection.plan("binary").apply(yes=True)
    (change,) = qa.history()
    assert change.state == "failed"
    for words in ("buy one", f"qadapt undo {change.id}", "apply again"):
        assert words in str(caught.value)
    fake.failing.clear()
    again = collection.plan("binary").apply(yes=True)
    assert (again.id, again.state) == (change.id, "applied")
    assert again.undo().state == "undone"
    assert fake.quantization == qa.none()


def test_an_irreversible_change_can_be_completed(fake: Any) -> None:
    """A failed undo must not prevent completing the change."""
    fake.reverse = None
    collection = qa.Database(fake)["articles"]
    fake.failing["fake.set"] = qa.errors.StoreError("no disk")
    with pytest.raises(ApplyError):
        collection.plan("binary").apply(yes=True)
    (change,) = qa.history()
    with pytest.raises(PlanError, match="cannot be rolled back"):
        qa.Change(change.outcome, fake).undo()
    fake.failing.clear()
    again = collection.plan("binary").apply(yes=True)
    assert (again.id, again.state) == (change.id, "applied")
