"""Sign bits in a second collection follow the rows of the first."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from milvus_helpers import NAME

import qadapt as qa
from qadapt.api import Database
from qadapt.model import State
from qadapt.stores.milvus import binary_sidecar, rows
from qadapt.stores.milvus.store import MilvusStore
from qadapt.testing import Sample


def test_the_bits_of_all_deleted_rows_are_deleted_in_batches() -> None:
    deleted: list[tuple[str, str]] = []
    connection: Any = SimpleNamespace(
        client=SimpleNamespace(delete=lambda name, filter: deleted.append((name, filter))),
        call=lambda doing, function, *args, **named: function(*args, **named),
    )
    layout: Any = SimpleNamespace(
        real="docs", bits={"v": "ready"}, keys=SimpleNamespace(field="pk")
    )
    keys = list(range(rows.IDS + 2))
    binary_sidecar.delete(connection, layout, keys)
    assert [name for name, _ in deleted] == [binary_sidecar.name_of("docs", "v")] * 2
    listed = [text.removeprefix("pk in [").removesuffix("]").split(", ") for _, text in deleted]
    assert [int(each) for part in listed for each in part] == keys
    assert max(map(len, listed)) == rows.IDS


def test_sign_bits_that_another_client_dropped_stop_nothing(
    server: MilvusStore, sample: Sample
) -> None:
    """Searches use the index, writes and deletions go on, and `apply` writes the bits again."""
    database = Database(server)
    docs = database.create(NAME, dim=64)
    docs.write(qa.Batch(range(2000), {"": sample.rows}))
    docs.plan("binary:rescore=4", accept="differs").apply(yes=True)
    sidecar = binary_sidecar.name_of(server.reader.layout(NAME).real, "vector")
    server.connection.client.drop_collection(sidecar)

    hits = docs.search(sample.rows[5], k=1)
    assert hits.ids.tolist() == [[5]]
    assert any("rescore=4 is ignored" in note for note in hits.how.notes)
    docs.write(qa.Batch([5], {"": sample.rows[9:10]}))
    docs.delete([9])
    about = docs.info().vectors[""]
    assert about.status.state is State.IGNORED
    assert about.status.advice == "run `qadapt apply` to write them again"
    assert docs.verify(queries=60, k=5).recall.value == 1

    docs.plan("binary:rescore=4", accept="differs").apply(yes=True)
    assert docs.info().vectors[""].status.state is State.ACTIVE
    assert docs.search(sample.rows[9], k=1).ids.tolist() == [[5]]
