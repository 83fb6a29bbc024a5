"""A saved rescoring after another client removed the quantization: ignored, and no verb fails."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qadapt as qa

NOTE = "the default search parameter rescore=2 is ignored: the vector has no quantization"


def lance(store: Any) -> None:
    store.connection.client.open_table("notes").drop_index("vector_idx")


def lite(store: Any) -> None:
    client = store.connection.client
    (index,) = client.list_indexes("notes")
    client.release_collection("notes")
    client.drop_index("notes", index)
    params = client.prepare_index_params()
    params.add_index("vector", index_type="HNSW", metric_type="COSINE", params={"M": 16})
    client.create_index("notes", params)
    client.load_collection("notes")


@pytest.mark.parametrize(
    ("engine", "remove"), [("lancedb", lance), ("milvus-lite", lite)], ids=["lancedb", "lite"]
)
def test_no_verb_fails(
    engine: str, remove: Callable[[Any], None], live: Callable[[str], str], tmp_path: Path
) -> None:
    address = live(engine) if engine == "milvus-lite" else f"{engine}:{tmp_path / 'data'}"
    with qa.open(address) as db:
        notes = db.create("notes", dim=16)
        notes.write(qa.Batch(range(300), {"": np.random.default_rng(0).normal(size=(300, 16))}))
        notes.plan("scalar:rescore=2", accept="differs").apply(yes=True)
        remove(db._store)
    with qa.open(address) as db:
        notes = db["notes"]
        assert NOTE in " ".join(notes.info().vectors[""].notes)
        assert NOTE in " ".join(each.message for each in notes.doctor().findings)
        assert notes.verify(queries=10).recall is not None
        assert notes.cost() and notes.evaluate(queries=10).results
        qa.export_file(f"{address}#notes", tmp_path / "notes.parquet")
        done = qa.migrate(f"{address}#notes", f"edge:{tmp_path / 'copy'}#notes")
        assert done.check is not None and done.check.passed
        notes.plan("none").apply(yes=True)
        assert notes.info().vectors[""].notes == ()
        undone = notes.plan("scalar:rescore=2", accept="differs").apply(yes=True).undo()
        assert undone.state == "undone"
        assert notes.info().vectors[""].is_plain
