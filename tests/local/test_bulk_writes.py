"""All writes of qadapt update client-side codes, or mark them as out of date."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.errors import StoreError
from qadapt.local import bulk_writes, code_marks, state
from qadapt.local.state import Settings, VectorSettings

ROWS, DIM = 300, 16


def rows(seed: int = 0, count: int = ROWS) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, DIM)).astype(np.float32)


@pytest.fixture
def database() -> Database:
    return qa.wrap(pytest.importorskip("qdrant_client").QdrantClient(":memory:"))


@pytest.fixture
def coded(database: Database) -> Collection:
    made = database.create("a", dim=DIM)
    made.write(qa.Batch(range(ROWS), {"": rows()}))
    made.plan("binary:rescore=4", accept="client").apply(yes=True)
    return made


@pytest.fixture
def source(live: Callable[[str], str]) -> Iterator[str]:
    """The address of a collection of 50 other rows, some of them with ids of the target."""
    address = live("edge")
    with qa.open(address) as opened:
        opened.create("s", dim=DIM).write(qa.Batch(range(280, 330), {"": rows(5, 50)}))
    yield f"{address}#s"


def status_of(collection: Collection) -> qa.Status:
    return collection.info().vectors[""].status


def by_codes(collection: Collection, query: np.ndarray) -> Any:
    hits = collection.search(query, k=1)
    assert hits.how.searcher == "qadapt"
    return hits.ids[0, 0]


def test_a_row_written_by_an_alias_is_in_the_codes(database: Database, coded: Collection) -> None:
    database.switch_alias("other", "a")
    database["other"].write(qa.Batch([7], {"": rows(9, 1)}))
    assert by_codes(coded, rows(9, 1)[0]) == 7
    database["other"].delete([7])
    assert status_of(coded).state is qa.State.ACTIVE
    assert by_codes(coded, rows(9, 1)[0]) != 7


def test_codes_made_for_an_alias_follow_writes_to_the_collection(database: Database) -> None:
    made = database.create("a", dim=DIM)
    made.write(qa.Batch(range(ROWS), {"": rows()}))
    database.switch_alias("other", "a")
    alias = database["other"]
    alias.plan("binary:rescore=4", accept="client").apply(yes=True)
    made.write(qa.Batch([7], {"": rows(9, 1)}))
    assert by_codes(alias, rows(9, 1)[0]) == 7


def test_a_switched_alias_does_not_move_its_codes(database: Database) -> None:
    for name, seed in (("a", 0), ("b", 1)):
        database.create(name, dim=DIM).write(qa.Batch(range(ROWS), {"": rows(seed)}))
    database.switch_alias("other", "a")
    alias = database["other"]
    alias.plan("binary:rescore=4", accept="client").apply(yes=True)
    database.switch_alias("other", "a")
    assert code_marks.outdated(alias._store, "other", "") is None
    database.switch_alias("other", "b")
    assert "was switched to the collection 'b'" in str(
        code_marks.outdated(alias._store, "other", "")
    )
    assert alias.search(rows(1)[3], k=1).ids[0, 0] == 3


def test_a_copy_into_a_collection_rebuilds_its_codes(coded: Collection, source: str) -> None:
    moved = qa.migrate(source, coded, allow=["existing-target"], check="off")
    assert moved.state == "done"
    assert status_of(coded).state is qa.State.ACTIVE
    assert by_codes(coded, rows(5, 50)[0]) == 280
    assert by_codes(coded, rows(5, 50)[40]) == 320


def test_an_interrupted_copy_leaves_codes_out_of_date(
    coded: Collection, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = type(coded._store).write

    def half(store: Any, name: str, batch: qa.Batch) -> None:
        if name == "a":
            whole(store, name, batch.rows(0, 10))
            raise StoreError("the disk is full")
        whole(store, name, batch)

    with monkeypatch.context() as patch, pytest.raises(StoreError, match="disk is full"):
        patch.setattr(type(coded._store), "write", half)
        qa.migrate(source, coded, allow=["existing-target"], check="off")
    status = status_of(coded)
    assert status.state is qa.State.IGNORED
    assert "`qadapt migrate` is copying rows" in status.reason
    qa.migrate(source, coded, allow=["existing-target"], check="off")
    assert status_of(coded).state is qa.State.ACTIVE
    assert by_codes(coded, rows(5, 50)[40]) == 320


def test_an_import_into_a_collection_updates_its_codes(coded: Collection, tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", rows(5, 50))
    (tmp_path / "rows.npy.ids").write_text("\n".join(map(str, range(280, 330))), encoding="utf-8")
    qa.import_file(tmp_path / "rows.npy", coded, add=True)
    assert status_of(coded).state is qa.State.ACTIVE
    assert by_codes(coded, rows(5, 50)[40]) == 320


def test_a_copy_to_a_new_collection_does_not_inherit_codes(
    database: Database, coded: Collection, source: str
) -> None:
    coded._store.drop("a")  # by another client
    qa.migrate(source, (database, "a"))
    assert state.read_settings(coded._store.address, "a") == Settings()


def test_codes_that_cannot_be_rebuilt_report_the_reason(database: Database) -> None:
    vectors = {"x": qa.Vector(DIM), "y": qa.Vector(DIM)}
    made = database.create("two", vectors=vectors)
    made.write(qa.Batch(range(ROWS), {"x": rows(), "y": rows(1)}))
    made.plan("binary", vector="x", accept="client").apply(yes=True)
    bulk_writes.suspend(made._store, "two", "a copy is under way")
    made._store.write("two", qa.Batch([900], {"y": rows(9, 1)}))
    assert bulk_writes.resume(made._store, "two", lambda _: None) == ["x"]
    assert "1 row has no vector 'x'" in made.info().vectors["x"].status.reason
    assert state.read_settings(made._store.address, "two").of("x") != VectorSettings()
