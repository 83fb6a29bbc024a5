"""The engine's change counter finds one replaced row in a large collection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.local import change_counters, code_freshness
from qadapt.stores.change_counter import ChangeCounter
from qadapt.stores.weaviate import change_counter

ROWS, DIM = 300, 16


def rows(seed: int = 0, count: int = ROWS) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, DIM)).astype(np.float32)


@pytest.fixture(params=["local", "edge", "milvus-lite"])
def database(
    request: pytest.FixtureRequest, live: Callable[[str], str], tmp_path: Path
) -> Iterator[Database]:
    """Stores with a change counter."""
    if request.param == "local":
        client = pytest.importorskip("qdrant_client").QdrantClient(path=str(tmp_path / "local"))
        with closing(client):
            yield qa.wrap(client)
        return
    with qa.open(live(request.param), disabled=["native-quantization"]) as opened:
        yield opened


@pytest.fixture
def collection(database: Database) -> Collection:
    made = database.create("a", dim=DIM)
    made.write(qa.Batch(range(ROWS), {"": rows()}))
    return made


@pytest.fixture
def coded(collection: Collection, monkeypatch: pytest.MonkeyPatch) -> Collection:
    """A collection that counts as large: a status draws few rows of it."""
    collection.plan("binary:rescore=4", accept="client").apply(yes=True)
    monkeypatch.setattr(code_freshness, "WHOLE_VALUES", 10 * DIM)
    monkeypatch.setattr(code_freshness, "FEWEST_ROWS", 1)
    monkeypatch.setattr(code_freshness, "SEARCH_ROWS", 1)
    monkeypatch.setattr("random.sample", lambda ids, n: list(ids)[:n])  # never the row replaced
    return collection


def counter_of(collection: Collection) -> ChangeCounter:
    found = collection._store.change_counter(collection.name)
    assert found is not None
    return found


def status_of(collection: Collection) -> qa.Status:
    return collection.info().vectors[""].status


def signal(status: qa.Status, name: str) -> Any:
    return {item.signal: item.value for item in status.evidence}[name]


def replace_one(collection: Collection) -> np.ndarray:
    """Another client replaces the last row."""
    new = rows(9, 1)
    collection._store.write(collection.name, qa.Batch([ROWS - 1], {"": new}))
    return new[0]


def test_the_counter_moves_with_each_change_and_with_no_read(collection: Collection) -> None:
    seen = [counter_of(collection).value]

    def moved() -> bool:
        seen.append(counter_of(collection).value)
        return seen[-1] not in seen[:-1]

    store = collection._store
    for _ in range(3):
        store.write("a", qa.Batch([7], {"": rows(9, 1)}))
        assert moved()
    store.write("a", qa.Batch([7_000, 7_001], {"": rows(9, 2)}))
    assert moved()
    store.delete("a", [7])
    assert moved()
    collection.count()
    collection.fetch([1, 2])
    collection.info()
    collection.search(rows(1, 1), k=3)
    assert len(list(collection.read())) > 0
    assert counter_of(collection).value == seen[-1]


def test_a_recreated_collection_has_another_counter(
    database: Database, collection: Collection
) -> None:
    former = counter_of(collection).value
    database.drop("a")
    made = database.create("a", dim=DIM)
    made.write(qa.Batch(range(ROWS), {"": rows()}))
    assert counter_of(made).value != former


def test_one_replaced_row_of_a_large_collection_is_found_by_a_status(coded: Collection) -> None:
    status = status_of(coded)
    assert status.state is qa.State.ACTIVE
    assert "no other client changed a row" in status.reason
    assert "10 of 300 rows" in status.reason
    assert str(signal(status, "change counter")).endswith(": unchanged")
    replace_one(coded)
    status = status_of(coded)
    assert status.state is qa.State.IGNORED
    assert f"({ROWS - 1})" in status.reason
    assert str(signal(status, "change counter")).endswith(": changed")


@pytest.mark.parametrize("bound", [code_freshness.SEARCH_VALUES, 0])
def test_a_search_finds_the_change_or_does_not_use_the_codes(
    coded: Collection, bound: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code_freshness, "SEARCH_VALUES", bound)
    query = replace_one(coded)
    code_freshness._compared.clear()  # as in a new process, or a minute later
    hits = coded.search(query, k=1, rescore="4@codes")  # fetches no candidates
    assert hits.ids[0, 0] == ROWS - 1
    words = "other vectors" if bound else "too large to compare during a search"
    assert words in hits.how.notes[0]


def test_rows_rewritten_by_another_client_are_compared_once(coded: Collection) -> None:
    coded._store.write("a", qa.Batch([5], {"": rows()[5:6]}))
    status = status_of(coded)
    assert status.state is qa.State.ACTIVE
    assert signal(status, "rows compared with the database") == ROWS
    assert signal(status_of(coded), "rows compared with the database") == 10


def test_writes_of_qadapt_are_accounted_for(coded: Collection) -> None:
    coded.write(qa.Batch([1, 5_000], {"": rows(3, 2)}))
    coded.delete([2])
    coded.delete([2])
    status = status_of(coded)
    assert status.state is qa.State.ACTIVE
    assert signal(status, "rows compared with the database") == 10
    replace_one(coded)
    coded.write(qa.Batch([1], {"": rows(4, 1)}))  # does not hide the write of the other client
    assert status_of(coded).state is qa.State.IGNORED


def test_a_write_of_another_client_during_a_write_is_not_accounted_for(
    coded: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = type(coded._store).write

    def both(store: Any, name: str, batch: qa.Batch) -> None:
        whole(store, name, batch)
        whole(store, name, qa.Batch([ROWS - 1], {"": rows(9, 1)}))

    if coded._store.name == "edge":
        pytest.skip("only one client can open an edge collection")
    with monkeypatch.context() as patch:
        patch.setattr(type(coded._store), "write", both)
        coded.write(qa.Batch([1], {"": rows(4, 1)}))
    assert status_of(coded).state is qa.State.IGNORED


def test_a_write_while_codes_are_built_is_found(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, read = collection._store, type(collection._store).read
    seeds = iter(range(10, 20))

    def raced(self: Any, *args: Any, **named: Any) -> Iterator[qa.Batch]:
        yield from read(self, *args, **named)
        # Another vector after each of the two passes that a build makes.
        store.write("a", qa.Batch([ROWS - 1], {"": rows(next(seeds), 1)}))

    from qadapt.local import client_codes

    monkeypatch.setattr("random.sample", lambda ids, n: list(ids)[:n])
    with monkeypatch.context() as patch:
        patch.setattr(type(store), "read", raced)
        client_codes.build_and_register(store, "a", "", qa.binary(), lambda _: None)
    monkeypatch.setattr(code_freshness, "WHOLE_VALUES", 10 * DIM)
    assert status_of(collection).state is qa.State.IGNORED


def test_a_store_without_a_counter_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    database = qa.wrap(pytest.importorskip("qdrant_client").QdrantClient(":memory:"))
    made = database.create("a", dim=DIM)
    made.write(qa.Batch(range(ROWS), {"": rows()}))
    made.plan("binary:rescore=4", accept="client").apply(yes=True)
    monkeypatch.setattr(code_freshness, "WHOLE_VALUES", 100 * DIM)
    status = status_of(made)
    assert "the database has no change counter: a random sample of 100 of 300 rows" in status.reason
    assert signal(status, "change counter") == "none"


def test_a_damaged_record_makes_a_status_compare_all_rows(coded: Collection) -> None:
    for text in ("", "{", "[]", '{"format": 2}', '{"format": 1, "value": 3}'):
        change_counters._path(coded._store, "a", "").write_text(text, encoding="utf-8")
        assert signal(status_of(coded), "rows compared with the database") == ROWS, text
        assert signal(status_of(coded), "rows compared with the database") == 10


@pytest.mark.parametrize(
    ("deletion", "number", "written", "deleted", "right"),
    [
        ("row", 5, 5, 0, True),
        ("row", 6, 5, 0, False),
        ("row", 3, 0, 3, True),
        ("row", 1, 0, 0, False),
        ("call", 1, 0, 3, True),
        ("call", 2, 0, 3, False),
        ("call", 5, 5, 0, True),
    ],
)
def test_a_write_accounts_for_its_rows_only(
    deletion: Any, number: int, written: int, deleted: int, right: bool
) -> None:
    before = ChangeCounter("n", "1", number=10, deletion=deletion)
    after = ChangeCounter("n", "2", number=10 + number, deletion=deletion)
    assert after.accounted(before, written=written, deleted=deleted) is right
    assert not ChangeCounter("n", "2").accounted(before, written=written, deleted=deleted)


def test_weaviate_reports_rows_written_since(live: Callable[[str], str]) -> None:
    with qa.open(live("weaviate"), disabled=["native-quantization"]) as database:
        name = "ChangeCounter"
        if name in database.collections():
            database.drop(name)
        made = database.create(name, dim=DIM)
        store = made._store
        ids = [f"00000000-0000-0000-0000-{row:012d}" for row in range(1, 201)]
        assert counter_of(made).value == "0"
        made.write(qa.Batch(ids, {"": rows(0, 200)}))
        former = counter_of(made)
        assert (former.name, former.complete) == (change_counter.NAME, False)
        made.search(rows(1, 1), k=3)
        assert counter_of(made) == former
        store.write(name, qa.Batch([ids[7]], {"": rows(9, 1)}))
        assert int(counter_of(made).value) > int(former.value)
        pages = store.changed_since(name, counter_of(made))
        assert pages is not None
        assert [list(page) for page in pages] == [[ids[7]]]
        database.drop(name)
