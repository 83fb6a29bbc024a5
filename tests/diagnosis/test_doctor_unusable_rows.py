"""Rows that another client wrote without a usable vector: doctor finds them, verify skips them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from qdrant_client.models import PointStruct

import qadapt as qa
from qadapt.api import Collection

DIM, KEY = 8, 1000
Row = list[float]


def local(store: Any, row: Row) -> None:
    store.connection.client.upsert("notes", [PointStruct(id=KEY, vector=row)])


def lite(store: Any, row: Row) -> None:
    client = store.connection.client
    fields = client.describe_collection("notes")["fields"]
    (key,) = [each["name"] for each in fields if each.get("is_primary")]
    (vector,) = [each["name"] for each in fields if "dim" in each["params"]]
    client.insert("notes", [{key: str(KEY), vector: row}])


def lance(store: Any, row: Row) -> None:
    table = store.connection.client.open_table("notes")
    (known,) = table.head(1).to_pylist()
    lists = {name for name, value in known.items() if isinstance(value, list)}
    new = {name: row if name in lists else value for name, value in known.items()}
    table.add(pa.Table.from_pylist([{**new, "id": KEY}], schema=table.schema))


def clickhouse(store: Any, row: Row) -> None:
    values, table = ", ".join(map(str, row)), f"{store.connection.database}.notes"
    store.connection.execute(
        f"INSERT INTO {table} (id, embedding) SELECT {KEY}, [{values}]", "write a row"
    )


def chroma(store: Any, row: Row) -> None:
    collection = store.connection.client.get_collection("notes")
    collection.add(ids=[str(KEY)], embeddings=[row])


def sqlite(store: Any, row: Row) -> None:
    with store.connection.session("write a row") as cursor:
        vector = np.array(row, "f4").tobytes()
        cursor.execute("INSERT INTO notes (id, embedding) VALUES (?, ?)", (KEY, vector))


WRITERS = {
    "qdrant-local": local,
    "milvus-lite": lite,
    "lancedb": lance,
    "clickhouse": clickhouse,
    "chroma": chroma,
    "sqlite-vec": sqlite,
}
# Chroma refuses vectors that are not finite.
CASES = [(engine, "zero") for engine in WRITERS] + [
    (engine, "infinite") for engine in WRITERS if engine != "chroma"
]


@pytest.fixture
def collection(
    live: Callable[[str], str], request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Collection]:
    engine = request.getfixturevalue("engine")
    address = {
        "qdrant-local": "qdrant::memory:",
        "lancedb": f"lancedb:{tmp_path}",
        "chroma": f"chroma:{tmp_path}",
        "sqlite-vec": f"sqlite-vec:{tmp_path / 'notes.db'}",
    }.get(engine) or live(engine)
    with qa.open(address) as db:
        notes = db.create("notes", dim=DIM)
        rows = np.random.default_rng(0).standard_normal((60, DIM))
        notes.write(qa.Batch(range(60), {"": rows}))
        yield notes


# Local mode and Lite divide by norms with numpy.
@pytest.mark.filterwarnings("ignore:invalid value encountered")
@pytest.mark.parametrize(("engine", "kind"), CASES)
def test_rows_of_other_clients_without_a_direction(
    engine: str, kind: str, collection: Collection
) -> None:
    row = [math.inf if kind == "infinite" else 0.0] + [0.0] * (DIM - 1)
    WRITERS[engine](collection._store, row)
    assert collection.count() == 61
    (found,) = [e for e in collection.doctor().findings if e.code == "unusable-vectors"]
    words = {"zero": "1 with all components 0", "infinite": "1 with NaN or infinite values"}
    assert found.message.startswith("1 of 61 sampled rows") and words[kind] in found.message
    assert str(KEY) in found.command
    check = collection.verify(queries=30)
    # Local mode ranks a row with NaN scores first, so one of ten hits is wrong.
    least = 0.9 if (engine, kind) == ("qdrant-local", "infinite") else 1
    assert check.recall is not None and check.recall.value == pytest.approx(least, abs=0.01)
    assert check.reachability is None or check.reachability.unreachable == ()


@pytest.mark.parametrize(("metric", "large"), [("euclidean", 1e19), ("dot", 2e19)])
def test_a_row_whose_scores_overflow_is_found(tmp_path: Path, metric: str, large: float) -> None:
    """Edge leaves it out of results; other engines rank it last."""
    with qa.open(f"chroma:{tmp_path}") as database:
        notes = database.create("notes", dim=2, metric=metric)
        notes.write(qa.Batch([2, 3], {"": [[1, 1], [5e18, 5e18]]}))
        chroma(database._store, [large, 0])
        (finding,) = [each for each in notes.doctor().findings if each.code == "unusable-vectors"]
    assert "1 of 3" in finding.message
    assert [each.value for each in finding.evidence][1:] == [[str(KEY)]]
