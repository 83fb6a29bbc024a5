"""Client-side codes match the database, or they are not used."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.code_index import CodeIndex
from qadapt.errors import (
    BusyError,
    DimensionError,
    InputError,
    IntegrityError,
    NonFiniteError,
    StoreError,
    ZeroVectorError,
)
from qadapt.local import code_freshness
from qadapt.local.state import index_dir

ROWS, DIM = 300, 16


def rows(seed: int = 0, count: int = ROWS) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, DIM)).astype(np.float32)


@pytest.fixture(params=["local", "edge"])
def database(request: pytest.FixtureRequest, live: Callable[[str], str]) -> Iterator[Database]:
    """Stores without native quantization; each is changed by another client below."""
    if request.param == "local":
        yield qa.wrap(pytest.importorskip("qdrant_client").QdrantClient(":memory:"))
        return
    with qa.open(live("edge"), disabled=["native-quantization"]) as opened:
        yield opened


def coded_in(database: Database) -> Collection:
    made = database.create("a", dim=DIM)
    made.write(qa.Batch(range(ROWS), {"": rows()}))
    made.plan("binary:rescore=4", accept="client").apply(yes=True)
    return made


@pytest.fixture
def coded(database: Database) -> Collection:
    return coded_in(database)


def status_of(collection: Collection) -> qa.Status:
    return collection.info().vectors[""].status


def evidence_of(status: qa.Status) -> dict[str, Any]:
    return {item.signal: item.value for item in status.evidence}


def found(collection: Collection, query: np.ndarray) -> Any:
    return collection.search(query, k=1).ids[0, 0]


def test_damaged_codes_are_not_used(coded: Collection) -> None:
    """A flipped bit in any file: the search does not use the codes, or its results are right."""
    rng = np.random.default_rng(4)
    folder = index_dir(coded._store.address, "a", "")
    queries = rows(5, 20)
    settings = {"k": 5, "rescore": qa.Rescore(4, source="int8")}
    right = coded.search(queries, **settings)
    assert right.how.searcher == "qadapt"
    unused = 0
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        for _ in range(30 if content else 0):
            broken = bytearray(content)
            broken[int(rng.integers(len(content)))] ^= 1 << int(rng.integers(8))
            path.write_bytes(broken)
            hits = coded.search(queries, **settings)
            if hits.how.searcher == "qadapt":
                assert hits.ids.tolist() == right.ids.tolist()
                assert hits.scores.tolist() == right.scores.tolist()
            else:
                unused += 1
        path.write_bytes(content)
    assert unused > 70
    assert coded.search(queries, **settings).how.searcher == "qadapt"


def test_scalar_codes_of_4_bits_follow_the_rows(database: Database) -> None:
    made = database.create("a", dim=DIM)
    made.write(qa.Batch(range(20), {"": rows(count=20)}))
    plan = made.plan("scalar:bits=4", accept="client")
    assert any("levels learned for each dimension" in line for line in plan.match.differences)
    plan.apply(yes=True)
    queries = rows(7, 4)
    everything = np.empty((0, DIM), np.float32)
    for start, stop in ((20, 150), (150, ROWS)):  # the codebook is learned again
        made.write(qa.Batch(range(start, stop), {"": rows()[start:stop]}))
    made.write(qa.Batch([5], {"": rows(3, 1)}))
    made.delete([6, 7])
    made.write(qa.Batch(range(20), {"": rows(count=20)}))
    everything = np.concatenate([rows(count=20), rows()[20:]])
    exact = queries @ everything.T / np.linalg.norm(everything, axis=1)
    hits = made.search(queries, k=5, rescore=ROWS / 5)
    assert hits.ids.tolist() == np.argsort(-exact, axis=1)[:, :5].tolist()
    status = status_of(made)
    assert status.state == qa.State.ACTIVE
    with CodeIndex.open(index_dir(made._store.address, "a", ""), read_only=True) as index:
        assert (index.settings.codes, index.settings.bits) == ("scalar", 4)
        assert index.calibration is not None
        assert index.calibration.count >= 100
    estimate = next(step.estimate for step in plan.steps if step.estimate)
    assert estimate.codes_ram == 20 * (DIM // 2 + 8)
    assert estimate.codes_disk == 20 * (DIM // 2 + 8 + DIM)


# -- changes by other clients
# -----------------------------------------------------------------------


def one_replaced(collection: Collection) -> np.ndarray:
    new = rows(9, 1)
    collection._store.write("a", qa.Batch([7], {"": new}))
    return new[0]


def all_replaced(collection: Collection) -> np.ndarray:
    new = rows(9)
    collection._store.write("a", qa.Batch(range(ROWS), {"": new}))
    return new[7]


def two_swapped(collection: Collection) -> np.ndarray:
    old = rows()
    collection._store.write("a", qa.Batch([7, 8], {"": old[[8, 7]]}))
    return old[8]


def one_deleted_one_added(collection: Collection) -> np.ndarray:
    new = rows(9, 1)
    collection._store.delete("a", [3])
    collection._store.write("a", qa.Batch([7_000], {"": new}))
    return new[0]


def one_added(collection: Collection) -> np.ndarray:
    new = rows(9, 1)
    collection._store.write("a", qa.Batch([7_000], {"": new}))
    return new[0]


def one_deleted(collection: Collection) -> np.ndarray:
    collection._store.delete("a", [3])
    return rows()[7]


CHANGES = [one_replaced, all_replaced, two_swapped, one_deleted_one_added, one_added, one_deleted]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_codes_of_other_rows_are_ignored_and_rebuilt(
    coded: Collection, change: Callable[[Collection], np.ndarray]
) -> None:
    _ignored_and_built_again(coded, change)


def test_codes_for_milvus_lite_are_ignored_and_rebuilt(live: Callable[[str], str]) -> None:
    with qa.open(live("milvus-lite")) as database:
        coded = coded_in(database)
        for change in (two_swapped, one_added):
            _ignored_and_built_again(coded, change)


def _ignored_and_built_again(coded: Collection, change: Callable[[Collection], np.ndarray]) -> None:
    status = status_of(coded)
    assert evidence_of(status)["rows compared with the database"] == coded.count()
    query = change(coded)
    right = coded.search(query, k=1, exact=True).ids[0, 0]
    status = status_of(coded)
    assert status.state is qa.State.IGNORED
    assert "another client wrote to it" in status.reason
    assert "qadapt apply" in status.advice
    hits = coded.search(query, k=1)
    assert hits.ids[0, 0] == right
    assert hits.how.scores == "exact"
    assert "client-side codes are not used" in hits.how.notes[0]
    assert status.reason in hits.how.notes[0]
    assert coded.plan("binary:rescore=4", accept="client").apply(yes=True).state == "applied"
    assert status_of(coded).state is qa.State.ACTIVE
    hits = coded.search(query, k=1)
    assert (hits.ids[0, 0], hits.how.searcher) == (right, "qadapt")


@pytest.mark.parametrize("change", [all_replaced, one_deleted_one_added], ids=lambda c: c.__name__)
def test_a_search_detects_changes_of_its_candidates(
    coded: Collection, change: Callable[[Collection], np.ndarray]
) -> None:
    """No status is asked for, and the rows were compared a moment ago."""
    change(coded)
    queries = rows()[3:4]  # the row that is deleted, or has another vector
    right = coded.search(queries, k=3, exact=True).ids
    hits = coded.search(queries, k=3)
    if change is one_deleted_one_added:  # the remaining candidates, and the next ones
        assert 3 not in hits.ids[0].tolist()
        assert None not in hits.ids[0].tolist()
        assert "deleted from the database" in " ".join(hits.how.notes)
        hits = coded.search(queries, k=3)
    assert hits.ids.tolist() == right.tolist()
    assert hits.how.searcher.startswith("store")


def test_a_process_compares_when_it_first_searches(coded: Collection) -> None:
    query = all_replaced(coded)
    code_freshness._compared.clear()  # as in a new process
    hits = coded.search(query, k=1, rescore="4@codes")  # fetches no candidates
    assert hits.ids[0, 0] == 7
    assert "other vectors" in hits.how.notes[0]


def test_a_large_collection_is_compared_by_a_sample_with_a_note(
    coded: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code_freshness, "WHOLE_VALUES", 100 * DIM)
    status = status_of(coded)
    assert status.state is qa.State.ACTIVE
    assert "a random sample of 100 of 300 rows was compared" in status.reason
    assert evidence_of(status)["rows compared with the database"] == 100
    all_replaced(coded)
    assert status_of(coded).state is qa.State.IGNORED


@pytest.mark.parametrize("k", [1, 300])
def test_deleted_candidates_are_replaced_with_filters_and_large_k(
    coded: Collection, k: int
) -> None:
    one_deleted_one_added(coded)
    hits = coded.search(rows()[3], k=k)
    assert hits.ids.shape == (1, k)
    assert 3 not in hits.ids[0].tolist()


# -- writes by qadapt
# -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (np.ones((1, 3)), DimensionError),
        (np.full((1, DIM), np.nan), NonFiniteError),
        (np.zeros((1, DIM)), ZeroVectorError),
        (None, InputError),
    ],
)
def test_rows_that_codes_reject_are_not_stored(
    coded: Collection, wrong: np.ndarray | None, error: type[Exception]
) -> None:
    batch = qa.Batch([999], {} if wrong is None else {"": wrong})
    with pytest.raises(error):
        coded.write(batch)
    assert coded.count() == ROWS
    assert status_of(coded).state is qa.State.ACTIVE


def test_failed_code_updates_are_marked_and_reported(
    coded: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = rows(9, 1)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(IntegrityError) as caught:
        patch.setattr(CodeIndex, "save", full)
        coded.write(qa.Batch([7], {"": new}))
    assert "the rows were written in 'a'" in caught.value.message
    assert "No space left" in caught.value.message
    status = status_of(coded)
    assert status.state is qa.State.IGNORED
    assert "could not be changed" in status.reason
    assert found(coded, new[0]) == 7
    with monkeypatch.context() as patch, pytest.raises(IntegrityError, match="were deleted"):
        coded.plan("binary:rescore=4", accept="client").apply(yes=True)
        patch.setattr(CodeIndex, "save", full)
        coded.delete([7])
    assert found(coded, new[0]) != 7


@pytest.mark.parametrize("far", [0, 1])
def test_a_failed_write_updates_codes_from_the_database(
    coded: Collection, monkeypatch: pytest.MonkeyPatch, far: int
) -> None:
    """Nothing, or half of the rows, is stored when the store fails."""
    new = rows(9, 2)
    whole = type(coded._store).write

    def half(store: Any, name: str, batch: qa.Batch) -> None:
        if far:
            whole(store, name, batch.rows(0, far))
        raise StoreError("the connection was lost")

    with monkeypatch.context() as patch, pytest.raises(StoreError, match="connection was lost"):
        patch.setattr(type(coded._store), "write", half)
        coded.write(qa.Batch([7, 8], {"": new}))
    assert status_of(coded).state is qa.State.ACTIVE
    assert bool(found(coded, new[0]) == 7) is bool(far)
    assert coded.search(new[0], k=1).how.searcher == "qadapt"


def test_a_write_with_unknown_result_marks_the_codes(
    coded: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: Any, **__: Any) -> None:
        raise StoreError("the connection was lost")

    with monkeypatch.context() as patch, pytest.raises(StoreError) as caught:
        patch.setattr(type(coded._store), "write", lost)
        patch.setattr(type(coded._store), "fetch", lost)
        coded.write(qa.Batch([7], {"": rows(9, 1)}))
    assert "marked as outdated" in str(caught.value.hint)
    assert "partially" in status_of(coded).reason


def test_another_writer_is_waited_for_before_the_store_is_touched(
    coded: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qadapt.local.row_writes.PATIENCE", 0.05)
    folder: Path = index_dir(coded._store.address, "a", "")
    with CodeIndex.open(folder), pytest.raises(BusyError):
        coded.write(qa.Batch([999], {"": rows(9, 1)}))
    assert coded.count() == ROWS
    coded.write(qa.Batch([999], {"": rows(9, 1)}))
    assert status_of(coded).state is qa.State.ACTIVE
