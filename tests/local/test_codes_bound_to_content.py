"""Client-side codes of databases without codes for it: other content is noticed, and rebuilt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import qadapt as qa
from qadapt.errors import DimensionError

DIM, ROWS = 8, 200
EMBEDDED = {
    "sqlite-vec": "sqlite-vec:{}/notes.db",
    "lancedb": "lancedb:{}",
    "chroma": "chroma:{}",
}


@pytest.mark.parametrize(
    "engine", [*EMBEDDED, "clickhouse", "pgvector", "elasticsearch", "opensearch"]
)
def test_replaced_and_deleted_rows_are_noticed(
    engine: str, live: Callable[[str], str], tmp_path: Path
) -> None:
    address = EMBEDDED[engine].format(tmp_path) if engine in EMBEDDED else live(engine)
    draw = np.random.default_rng(0)
    rows, new = draw.normal(size=(ROWS, DIM)), draw.normal(size=(1, DIM)).astype(np.float32)
    with qa.open(address, disabled=["native-quantization"]) as db:
        notes = db.create("codes-of-content", dim=DIM)
        notes.write(qa.Batch(range(ROWS), {"": rows}))
        notes.plan("binary:rescore=4", accept="client").apply(yes=True)
        assert notes.info().vectors[""].status.state is qa.State.ACTIVE
        notes._store.write(notes.name, qa.Batch([7], {"": new}))  # as another client
        status = notes.info().vectors[""].status
        assert status.state is qa.State.IGNORED
        assert (
            "1 of 200 compared rows have other vectors" in status.reason and "(7)" in status.reason
        )
        assert notes.search(new, k=1).ids.tolist() == [[7]]
        notes.plan("binary:rescore=4", accept="client").apply(yes=True)
        notes._store.delete(notes.name, [3])
        assert notes.info().vectors[""].status.state is qa.State.IGNORED
        hits = notes.search(rows[3], k=3).ids
        assert hits.shape == (1, 3) and 3 not in hits
        with pytest.raises(DimensionError):
            notes.write(qa.Batch([500], {"": np.ones((1, DIM + 1))}))
        assert notes.count() == ROWS - 1
        db.drop(notes.name)
