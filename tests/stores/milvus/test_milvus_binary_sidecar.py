"""Sign bits in a second collection follow the rows of the first."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from qadapt.stores.milvus import binary_sidecar, rows


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
