"""After a change of the datatype, a guard measures against the vectors before the change."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import qadapt as qa
from qadapt.api import Database
from qadapt.errors import IntegrityError
from qadapt.model import Metric, Plan, Vector
from qadapt.planning import guard_truth, journal
from qadapt.planning.guard import measure_guard, missed

ROWS, DIM = 400, 16


def silent(_: Any) -> None:
    return


@pytest.fixture
def rows() -> np.ndarray:
    """Differences of 0.1 around 1000, where float16 has steps of 0.5."""
    return np.asarray(
        1000 + 0.1 * np.random.default_rng(0).standard_normal((ROWS, DIM)), dtype=np.float32
    )


def create(database: Database, datatype: Any, metric: str, rows: np.ndarray) -> None:
    collection = database.create("articles", dim=DIM, metric=metric, datatype=datatype)
    collection.write(qa.Batch(range(ROWS), {"": rows}))


def plan_of(database: Database, datatype: Any, metric: str, guard: qa.Guard) -> Plan:
    """A plan of the change; its steps are carried out by the test."""
    plan = database["articles"].plan("binary")
    target = Vector(DIM, Metric.of(metric), datatype)
    return replace(plan, target_vector=target, guard=guard)


def true_recall(before: np.ndarray, after: np.ndarray, k: int) -> float:
    """Recall@k of exact searches over rounded vectors, by plain numpy."""

    def nearest(rows: np.ndarray) -> np.ndarray:
        wide = rows.astype(np.float64)
        gaps = ((before.astype(np.float64)[:, None] - wide[None]) ** 2).sum(axis=2)
        np.fill_diagonal(gaps, np.inf)  # the query itself
        return np.argsort(gaps, axis=1)[:, :k]

    right, found = nearest(before), nearest(after)
    return float(np.mean([len(set(a) & set(b)) / k for a, b in zip(right, found, strict=True)]))


@pytest.mark.parametrize("queries", ["sampled", "given"])
def test_a_guard_finds_the_loss_of_a_smaller_datatype(
    database: Database, rows: np.ndarray, queries: str
) -> None:
    create(database, "float32", "euclidean", rows)
    given = rows + np.float32(0.001) if queries == "given" else ROWS
    record = journal.begin(plan_of(database, "float16", "euclidean", qa.Guard(0.9, queries=ROWS)))
    if queries == "given":
        np.save(record.folder / "asked.npy", given)
        guard = qa.Guard(0.9, queries=str(record.folder / "asked.npy"))
        record = journal.begin(replace(record.plan, guard=guard, id=journal.new_id()))
    store = database._store
    before = measure_guard(store, record, "before", silent)
    assert before is not None and before.recall == pytest.approx(1, abs=0.001)
    database.drop("articles")
    create(database, "float16", "euclidean", rows)
    after = measure_guard(store, record, "after", silent)
    assert after is not None
    assert after.recall < 0.5
    if queries == "sampled":
        rounded = rows.astype(np.float16).astype(np.float32)
        assert after.recall == pytest.approx(true_recall(rows, rounded, 10), abs=0.05)
    assert after.ground_truth == before.ground_truth == "original vectors (float32)"
    assert "below the guard of 0.9 (it was" in missed(record.plan, before, after)


def test_a_larger_datatype_is_compared_with_the_vectors_before_it(
    database: Database, rows: np.ndarray
) -> None:
    create(database, "float16", "euclidean", rows)
    record = journal.begin(plan_of(database, "float32", "euclidean", qa.Guard(0.9, queries=100)))
    measure_guard(database._store, record, "before", silent)
    stored = next(iter(database["articles"].read(page=ROWS))).vectors[""]
    database.drop("articles")
    create(database, "float32", "euclidean", stored)
    after = measure_guard(database._store, record, "after", silent)
    assert after is not None
    assert after.ground_truth == "vectors before the change (float16)"


def test_another_metric_is_judged_by_the_new_metric(database: Database, rows: np.ndarray) -> None:
    shifted = rows - 999
    create(database, "float32", "dot", shifted)
    record = journal.begin(plan_of(database, "float16", "euclidean", qa.Guard(0.9, queries=100)))
    measure_guard(database._store, record, "before", silent)
    database.drop("articles")
    create(database, "float16", "euclidean", shifted)
    after = measure_guard(database._store, record, "after", silent)
    assert after is not None and after.recall > 0.95


def test_a_lost_ground_truth_is_an_error(database: Database, rows: np.ndarray) -> None:
    create(database, "float32", "euclidean", rows)
    record = journal.begin(plan_of(database, "float16", "euclidean", qa.Guard(0.9, queries=100)))
    measure_guard(database._store, record, "before", silent)
    path = record.folder / guard_truth.FILE
    for content in (b"", b"[]", b'{"source": "articles"}', b"\xff"):
        path.write_bytes(content)
        with pytest.raises(IntegrityError, match="ground truth of the guard"):
            measure_guard(database._store, record, "after", silent)
    path.unlink()
    with pytest.raises(IntegrityError) as caught:
        measure_guard(database._store, record, "after", silent)
    assert f"qadapt undo {record.id}" in str(caught.value)


def test_each_tenant_is_compared_with_its_vectors_before_the_change(
    database: Database, rows: np.ndarray
) -> None:
    """float16 loses the differences of the tenant `far`, and keeps those of `near`."""
    both = np.concatenate([rows, rows - np.float32(1000)])

    def made(datatype: Any) -> None:
        collection = database.create("articles", dim=DIM, metric="euclidean", datatype=datatype)
        tenants = [{"tenant": "far" if at < ROWS else "near"} for at in range(2 * ROWS)]
        collection.write(qa.Batch(range(2 * ROWS), {"": both}, tenants))

    made("float32")
    guard = qa.Guard(0.9, queries=ROWS, by="tenant")
    record = journal.begin(plan_of(database, "float16", "euclidean", guard))
    before = measure_guard(database._store, record, "before", silent)
    assert before is not None and before.recall == pytest.approx(1, abs=0.001)
    former = guard_truth.load(database._store, record)
    assert {each.truth.about.filter for each in former} == {
        '{"tenant": "far"}',
        '{"tenant": "near"}',
    }
    assert {each.truth.about.total_rows for each in former} == {ROWS}
    database.drop("articles")
    made("float16")
    after = measure_guard(database._store, record, "after", silent)
    assert after is not None and after.filter == '{"tenant": "far"}'
    rounded = rows.astype(np.float16).astype(np.float32)
    assert after.recall == pytest.approx(true_recall(rows, rounded, 10), abs=0.05)
    assert ' for {"tenant": "far"}, below the guard' in missed(record.plan, before, after)
