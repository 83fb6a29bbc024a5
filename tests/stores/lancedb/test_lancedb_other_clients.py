"""Other clients that change a table between two requests of qadapt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lancedb_helpers import DIM, ROWS

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.errors import NotFoundError, StoreError
from qadapt.stores.lancedb import rows, vector_index
from qadapt.stores.lancedb.connection import manifest
from qadapt.testing.data import Sample


@pytest.fixture
def other(folder: Path) -> Iterator[Database]:
    with qa.open(f"lancedb:{folder}") as database:
        yield database


def once(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, act: Callable[[], Any]) -> None:
    """Run ``act`` after the first call of a function."""
    original = getattr(module, name)

    def replaced(*arguments: Any, **named: Any) -> Any:
        found = original(*arguments, **named)
        monkeypatch.setattr(module, name, original)
        act()
        return found

    monkeypatch.setattr(module, name, replaced)


@pytest.mark.parametrize("before", [[], [ROWS]], ids=["first write", "known table"])
def test_an_id_that_two_clients_add_at_the_same_time_is_one_row(
    articles: Collection,
    other: Database,
    raw: Any,
    sample: Sample,
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    before: list[int],
) -> None:
    if before:
        articles.write(qa.Batch(before, {"": sample.rows[:1]}))
    else:
        articles = qa.open(f"lancedb:{folder}")["articles"]
    theirs = qa.Batch([5_000, 5_001], {"": sample.rows[2:4]})
    once(monkeypatch, rows, "to_arrow", lambda: other["articles"].write(theirs))
    articles.write(qa.Batch([5_000, 5_002], {"": sample.rows[4:6]}))
    handle = raw.open_table("articles")
    assert [handle.count_rows(f"id = {each}") for each in (5_000, 5_001, 5_002)] == [1, 1, 1]
    assert handle.count_rows() == ROWS + len(before) + 3
    assert np.array_equal(articles.fetch([5_000]).vectors[""], sample.rows[4:5])
    articles.write(qa.Batch([5_001], {"": sample.rows[6:7]}))
    assert raw.open_table("articles").count_rows("id = 5001") == 1


def test_other_ids_of_another_client_are_not_written_again(
    articles: Collection, raw: Any, sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = raw.open_table("articles")
    row = theirs.search().where("id = 0").to_arrow().drop_columns(["id"])
    row = row.append_column("id", [[9_000]]).select(theirs.schema.names)
    once(monkeypatch, rows, "to_arrow", lambda: theirs.add(row))
    version = theirs.version
    articles.write(qa.Batch([8_000, 9_500], {"": sample.rows[:2]}))
    theirs.checkout_latest()
    assert (theirs.version, theirs.count_rows()) == (version + 2, ROWS + 3)


def test_an_undo_keeps_rows_that_are_written_while_it_runs(
    articles: Collection, other: Database, sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    articles.plan("rotational:bits=4").apply(yes=True)
    change = articles.plan("scalar").apply(yes=True)
    theirs = qa.Batch([7_000], {"": sample.rows[:1]})
    once(monkeypatch, vector_index, "unchanged_through", lambda: other["articles"].write(theirs))
    change.undo()
    vector = articles.info().vectors[""]
    assert (vector.quantization, vector.status.state) == (qa.rotational(bits=4), qa.State.ACTIVE)
    assert (articles.count(), articles.fetch([7_000]).ids) == (ROWS + 1, [7_000])


def test_a_second_write_during_an_undo_is_an_error(
    articles: Collection, raw: Any, sample: Sample
) -> None:
    """Two restored versions would hide the rows of one of two writes."""

    class Busy:
        """A handle with a commit of another client before each ``restore``."""

        def __init__(self) -> None:
            self.handle = raw.open_table("articles")

        def restore(self, version: int) -> None:
            raw.open_table("articles").delete("id = 0 OR id = 1")
            self.handle.restore(version)

        @property
        def version(self) -> int:
            return int(self.handle.version)

    handle = Busy()
    with pytest.raises(StoreError, match="other clients changed the table"):
        vector_index._restored(handle, handle.version, handle.version)


def test_changes_of_other_clients_are_seen_in_the_files(
    articles: Collection, other: Database, raw: Any, sample: Sample, folder: Path
) -> None:
    store = articles._store
    version = store.layout("articles").version  # type: ignore[attr-defined]
    assert store.layout("articles") is store.layout("articles")  # type: ignore[attr-defined]
    assert manifest(store.connection, "articles", version) is not None  # type: ignore[attr-defined]
    assert manifest(store.connection, "articles", version - 1) is None  # type: ignore[attr-defined]
    other["articles"].write(qa.Batch([ROWS], {"": sample.rows[:1]}))
    assert manifest(store.connection, "articles", version) is None  # type: ignore[attr-defined]
    assert articles.count() == ROWS + 1
    handle = raw.open_table("articles")
    handle.tags.create("kept", handle.version)
    assert manifest(store.connection, "articles", handle.version) is None  # type: ignore[attr-defined]
    assert articles.count() == ROWS + 1


def test_a_table_that_another_client_has_created_again_is_another_one(
    articles: Collection, other: Database, sample: Sample
) -> None:
    """Its version is the same."""
    version = articles._store.layout("articles").version  # type: ignore[attr-defined]
    other.drop("articles")
    with pytest.raises(NotFoundError):
        articles.count()
    made = other.create("articles", dim=DIM, metric="cosine")
    made.write(qa.Batch([10], {"": sample.rows[:1]}))
    assert articles.count() == 1
    assert articles._store.layout("articles").version == version  # type: ignore[attr-defined]
    articles.write(qa.Batch([10], {"": sample.rows[1:2]}))
    assert (articles.count(), other["articles"].count()) == (1, 1)
