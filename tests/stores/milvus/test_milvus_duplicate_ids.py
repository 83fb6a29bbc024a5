"""Duplicate primary keys: the server stores both rows but returns one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from milvus_helpers import NAME, carry_out, plan

import qadapt as qa
from qadapt.api import Database
from qadapt.errors import StoreError, UnsupportedError
from qadapt.model import Batch, Vector
from qadapt.stores.milvus import duplicate_ids, rows
from qadapt.stores.milvus.store import MilvusStore

VECTORS = np.random.default_rng(0).standard_normal((40, 4)).astype(np.float32)


def insert(store: MilvusStore, ids: list[int]) -> None:
    """Insert rows without upsert."""
    layout = store.reader.read_again(NAME)
    batch = Batch(ids, {"": -VECTORS[ids]})
    native = rows.native_rows(layout, batch, layout.keys.checked(ids))
    store.connection.client.insert(NAME, native)


def test_duplicate_keys_are_reported_before_a_copy(
    server: MilvusStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.create(NAME, {"": Vector(4)}, {})
    server.write(NAME, Batch(range(40), {"": VECTORS}))
    assert server.hidden_rows(NAME) == (0, ())
    insert(server, [3, 20])
    insert(server, [20, 39])
    assert server.count(NAME) == 44
    assert sum(len(page) for page in server.read(NAME)) == 40
    # Ranges of keys are halved over several pages.
    monkeypatch.setattr(rows, "WINDOW", 16)
    assert server.hidden_rows(NAME) == (4, (3, 20, 39))
    assert duplicate_ids.find(server.connection, server.reader.layout(NAME), 1).rows_checked < 40
    monkeypatch.undo()

    database = Database(server)
    target = f"edge:{tmp_path / 'copy'}#copy"
    planned = qa.plan_migration((database, NAME), target)
    assert [(loss.name, loss.detail) for loss in planned.losses] == [
        ("duplicate-ids", "4: 3, 20, 39")
    ]
    with pytest.raises(UnsupportedError, match="duplicate-ids: 4: 3, 20, 39"):
        qa.migrate((database, NAME), target)
    done = qa.migrate((database, NAME), target, allow=["duplicate-ids"])
    assert done.metrics.rows == 40
    exported = qa.export_file((database, NAME), tmp_path / "rows.parquet")
    assert (exported.rows, exported.hidden, exported.hidden_ids) == (40, 4, (3, 20, 39))

    # Sign bits in a second collection have one row per key and would never be complete.
    (step,) = plan(server, "binary")
    with pytest.raises(StoreError, match=r"4 rows of .* keys: 3, 20, 39") as caught:
        carry_out(server, [step])
    assert "collection.write(collection.fetch([3, 20, 39]))" in str(caught.value.hint)
    server.write(NAME, server.fetch(NAME, [3, 20, 39]))
    carry_out(server, [step])
    assert server.count(NAME) == 40


def test_lite_replaces_the_row_of_an_existing_key(lite: MilvusStore) -> None:
    lite.create(NAME, {"": Vector(4)}, {})
    lite.write(NAME, Batch(range(40), {"": VECTORS}))
    insert(lite, [3, 20])
    assert lite.count(NAME) == 40
    assert lite.hidden_rows(NAME) == (0, ())
